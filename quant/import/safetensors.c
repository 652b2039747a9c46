#include "quant/import/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "quant/import/json.h"

static const struct {
    const char *name;
    uint32_t bytes;
    obi_dtype type;
} dtypes[] = {
    { "F32", 4, OBI_DTYPE_F32 },         { "F16", 2, OBI_DTYPE_F16 },         { "BF16", 2, OBI_DTYPE_BF16 },
    { "F64", 8, OBI_DTYPE_F64 },         { "I8", 1, OBI_DTYPE_I8 },           { "U8", 1, OBI_DTYPE_FILE_END },
    { "I16", 2, OBI_DTYPE_I16 },         { "I32", 4, OBI_DTYPE_I32 },         { "I64", 8, OBI_DTYPE_I64 },
    { "U16", 2, OBI_DTYPE_FILE_END },    { "U32", 4, OBI_DTYPE_FILE_END },    { "U64", 8, OBI_DTYPE_FILE_END },
    { "BOOL", 1, OBI_DTYPE_FILE_END },   { "F8_E4M3", 1, OBI_DTYPE_FILE_END }, { "F8_E5M2", 1, OBI_DTYPE_FILE_END },
};

static obi_status read_entry(obi_safetensors_tensor *tensor, const json_t *entry, uint64_t data_bytes, const char *path)
{
    const char *name = tensor->name;
    if (!json_is_object(entry)) return obi_fail(OBI_ERROR_DATA, "%s: the header's entry for tensor %s is not an object", path, name);
    const char *dtype = NULL;
    const json_t *shape = NULL, *offsets = NULL;
    obi_status status = obi_json_get_text(entry, name, "dtype", true, &dtype);
    if (status == OBI_OK) status = obi_json_get_array(entry, name, "shape", true, &shape);
    if (status == OBI_OK) status = obi_json_get_array(entry, name, "data_offsets", true, &offsets);
    if (status != OBI_OK) return obi_fail_prefix(status, "%s: tensor", path);

    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (strcmp(dtype, dtypes[i].name) != 0) continue;
        tensor->dtype_name = dtypes[i].name;
        tensor->type = dtypes[i].type;
        bytes = dtypes[i].bytes;
    }
    if (bytes == 0) return obi_fail(OBI_ERROR_DATA, "%s: tensor %s has the unknown dtype \"%.32s\"", path, name, dtype);

    if (json_array_size(shape) > OBI_SAFETENSORS_MAX_DIMENSIONS)
        return obi_fail(OBI_ERROR_DATA, "%s: tensor %s has %zu dimensions; at most 8 are read", path, name, json_array_size(shape));
    tensor->dimensions = (uint32_t)json_array_size(shape);
    for (uint32_t i = 0; i < tensor->dimensions; i++) {
        status = obi_json_u64(json_array_get(shape, i), name, "shape", &tensor->shape[i]);
        if (status != OBI_OK) return obi_fail_prefix(status, "%s: tensor", path);
        if (!obi_checked_mul(bytes, tensor->shape[i], &bytes))
            return obi_fail(OBI_ERROR_DATA, "%s: the size of tensor %s overflows 64 bits", path, name);
    }

    uint64_t end = 0;
    if (json_array_size(offsets) != 2)
        return obi_fail(OBI_ERROR_DATA, "%s: tensor %s: \"data_offsets\" is not a pair", path, name);
    status = obi_json_u64(json_array_get(offsets, 0), name, "data_offsets", &tensor->begin);
    if (status == OBI_OK) status = obi_json_u64(json_array_get(offsets, 1), name, "data_offsets", &end);
    if (status != OBI_OK) return obi_fail_prefix(status, "%s: tensor", path);
    if (end < tensor->begin || end > data_bytes)
        return obi_fail(OBI_ERROR_DATA, "%s: tensor %s ends at byte %llu of %llu: the file is damaged or cut short", path, name,
                        (unsigned long long)end, (unsigned long long)data_bytes);
    tensor->bytes = end - tensor->begin;
    if (tensor->bytes != bytes)
        return obi_fail(OBI_ERROR_DATA, "%s: tensor %s has %llu bytes where its shape asks for %llu", path, name,
                        (unsigned long long)tensor->bytes, (unsigned long long)bytes);
    return OBI_OK;
}

static int by_begin(const void *left, const void *right)
{
    const obi_safetensors_tensor *a = left, *b = right;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    return a->bytes < b->bytes ? -1 : a->bytes > b->bytes; /* empty tensors before the one that starts where they lie */
}

static int by_name(const void *left, const void *right)
{
    const obi_safetensors_tensor *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static obi_status check_ranges(const obi_safetensors *file, uint64_t data_bytes, const char *path)
{
    uint64_t position = 0;
    for (size_t i = 0; i < file->count; i++) {
        const obi_safetensors_tensor *tensor = &file->tensors[i];
        if (tensor->begin < position) return obi_fail(OBI_ERROR_DATA, "%s: tensor %s overlaps another one", path, tensor->name);
        if (tensor->begin > position)
            return obi_fail(OBI_ERROR_DATA, "%s: %llu bytes before tensor %s belong to no tensor", path,
                            (unsigned long long)(tensor->begin - position), tensor->name);
        position = tensor->begin + tensor->bytes;
    }
    if (position != data_bytes)
        return obi_fail(OBI_ERROR_DATA, "%s: %llu bytes after the last tensor belong to no tensor", path,
                        (unsigned long long)(data_bytes - position));
    return OBI_OK;
}

static obi_status check_metadata(const json_t *metadata, const char *path)
{
    if (!metadata) return OBI_OK;
    if (!json_is_object(metadata)) return obi_fail(OBI_ERROR_DATA, "%s: \"__metadata__\" is not an object", path);
    for (void *i = json_object_iter((json_t *)metadata); i; i = json_object_iter_next((json_t *)metadata, i))
        if (!json_is_string(json_object_iter_value(i)))
            return obi_fail(OBI_ERROR_DATA, "%s: \"__metadata__\" holds something else than texts", path);
    return OBI_OK;
}

obi_status obi_safetensors_open(obi_safetensors *file, const obi_mapping *mapping)
{
    memset(file, 0, sizeof *file);
    file->mapping = mapping;
    const char *path = mapping->path;
    obi_reader reader = obi_reader_over(mapping->data, mapping->size);
    uint64_t header_bytes = obi_read_u64(&reader);
    if (reader.failed) return obi_fail(OBI_ERROR_DATA, "%s: not a safetensors file: it has only %llu bytes", path,
                                       (unsigned long long)mapping->size);
    if (header_bytes > OBI_JSON_MAX_BYTES)
        return obi_fail(OBI_ERROR_DATA, "%s: not a safetensors file: its header would have %llu bytes", path,
                        (unsigned long long)header_bytes);
    const uint8_t *header = obi_read_bytes(&reader, header_bytes);
    if (!header || header_bytes == 0 || header[0] != '{')
        return obi_fail(OBI_ERROR_DATA, "%s: %s", path, header ? "not a safetensors file: its header does not begin with {"
                                                                : "the file ends inside its header: it is cut short");
    uint64_t data_bytes = obi_reader_left(&reader);
    const uint8_t *data = mapping->data + 8 + header_bytes;

    obi_status status;
    OBI_TRY_GOTO(obi_json_parse(&file->header, header, header_bytes, path));
    OBI_TRY_GOTO(check_metadata(json_object_get(file->header, "__metadata__"), path));
    file->tensors = obi_calloc(json_object_size(file->header), sizeof *file->tensors);
    if (!file->tensors) {
        status = OBI_ERROR_MEMORY;
        goto done;
    }
    for (void *i = json_object_iter(file->header); i; i = json_object_iter_next(file->header, i)) {
        const char *name = json_object_iter_key(i);
        if (strcmp(name, "__metadata__") == 0) continue;
        obi_safetensors_tensor *tensor = &file->tensors[file->count];
        tensor->name = name;
        OBI_TRY_GOTO(read_entry(tensor, json_object_iter_value(i), data_bytes, path));
        tensor->data = data + tensor->begin;
        file->count++;
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, by_begin);
    OBI_TRY_GOTO(check_ranges(file, data_bytes, path));
    qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
done:
    if (status != OBI_OK) obi_safetensors_close(file);
    return status;
}

void obi_safetensors_close(obi_safetensors *file)
{
    obi_free(file->tensors);
    json_decref(file->header);
    memset(file, 0, sizeof *file);
}

const obi_safetensors_tensor *obi_safetensors_find(const obi_safetensors *file, const char *name)
{
    obi_safetensors_tensor key = { .name = name };
    if (file->count == 0) return NULL;
    return bsearch(&key, file->tensors, file->count, sizeof *file->tensors, by_name);
}

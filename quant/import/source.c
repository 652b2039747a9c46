#include "quant/import/source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "quant/import/import.h"
#include "quant/import/vocab_file.h"

#define READABLE "a Hugging Face directory (config.json and safetensors), a llama2.c .bin or a GGUF file"

/* ---- opening ------------------------------------------------------------------------------------------------ */

/* The last part of the path; of a file without the extensions that models have. */
static char *model_name(const char *path, bool directory)
{
    char *real = directory ? realpath(path, NULL) : NULL; /* "." and ".." have no name of their own */
    const char *base = real ? real : path;
    const char *slash = strrchr(base, '/');
    if (slash) base = slash + 1;
    size_t length = strlen(base);
    static const char *const extensions[] = { ".gguf", ".bin" };
    for (size_t i = 0; !directory && i < 2; i++) {
        size_t tail = strlen(extensions[i]);
        if (length > tail && strcmp(base + length - tail, extensions[i]) == 0) {
            length -= tail;
            break;
        }
    }
    char *name = obi_strndup(base, length);
    free(real);
    return name;
}

static obi_status refuse_file(const char *path, const uint8_t *bytes, uint64_t size)
{
    if (size == 0) return obi_fail(OBI_ERROR_DATA, "%s is empty", path);
    if (size >= 4 && memcmp(bytes, "PK\003\004", 4) == 0)
        return obi_fail(OBI_ERROR_DATA, "%s is a PyTorch file, which can run code and is not read here: load it with transformers and "
                        "save it again with save_pretrained(..., safe_serialization=True)", path);
    if (size >= 9 && bytes[8] == '{' && bytes[6] == 0 && bytes[7] == 0)
        return obi_fail(OBI_ERROR_DATA, "%s is a safetensors file: give the directory that holds it and config.json", path);
    if (bytes[0] == '{') return obi_fail(OBI_ERROR_DATA, "%s is a JSON file: give the directory that holds it", path);
    return obi_fail(OBI_ERROR_DATA, "%s is no model that we read: %s", path, READABLE);
}

static obi_status import_file(obi_source *source, const char *path)
{
    obi_mapping mapping;
    OBI_TRY(obi_mapping_open(&mapping, path));
    bool gguf = mapping.size >= 4 && memcmp(mapping.data, "GGUF", 4) == 0;
    bool llama2c = !gguf && obi_import_llama2c_recognises(mapping.data, mapping.size);
    obi_status status = OBI_OK;
    if (!gguf && !llama2c) status = refuse_file(path, mapping.data, mapping.size);
    obi_mapping_close(&mapping);
    if (status != OBI_OK) return status;
    return gguf ? obi_import_gguf(source, path) : obi_import_llama2c(source, path);
}

/* Fewer tokens than rows are padding, which many models have; more could give ids that have no row. */
static obi_status check_vocab(const obi_source *source, const char *path)
{
    if (source->vocab.count <= source->config.vocabulary) return OBI_OK;
    return obi_fail(OBI_ERROR_DATA, "%s: the tokenizer has %u tokens and the model only %u: they do not belong together", path,
                    source->vocab.count, source->config.vocabulary);
}

static obi_status open_source(obi_source *source, const char *path, const char *tokenizer_path)
{
    struct stat info;
    bool directory = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    source->name = model_name(path, directory);
    if (!source->name) return OBI_ERROR_MEMORY;
    if (directory) OBI_TRY(obi_import_hf(source, path));
    else OBI_TRY(import_file(source, path));

    if (tokenizer_path) {
        obi_vocab_free(&source->vocab);
        OBI_TRY(obi_vocab_file_read(&source->vocab, tokenizer_path, source->config.vocabulary));
    } else if (source->vocab.count == 0) {
        OBI_TRY(obi_vocab_file_beside(&source->vocab, path, directory, source->config.vocabulary));
    }
    return check_vocab(source, tokenizer_path ? tokenizer_path : path);
}

obi_status obi_source_open(obi_source **out, const char *path, const char *tokenizer_path)
{
    *out = NULL;
    obi_source *source = obi_calloc(1, sizeof *source);
    if (!source) return OBI_ERROR_MEMORY;
    obi_status status = open_source(source, path, tokenizer_path);
    if (status != OBI_OK) {
        obi_source_close(source);
        return status;
    }
    *out = source;
    return OBI_OK;
}

void obi_source_close(obi_source *source)
{
    if (!source) return;
    obi_import_gguf_close(source);
    for (size_t i = 0; i < source->mapping_count; i++) obi_mapping_close(&source->mappings[i]);
    obi_free(source->mappings);
    obi_vocab_free(&source->vocab);
    obi_free(source->tensors);
    obi_free((void *)source->rope_factors);
    obi_free(source->name);
    obi_free(source);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

const obi_source_tensor *obi_source_find(const obi_source *source, const char *name)
{
    /* A layer's name tells where to look, so that a model of a thousand layers is not searched from the front each time. */
    size_t begin = 0, end = source->tensor_count;
    if (strncmp(name, "blk.", 4) == 0 && source->layers_end > 0) {
        size_t per_layer = (source->layers_end - source->layers_begin) / source->config.layers;
        unsigned long layer = strtoul(name + 4, NULL, 10);
        if (layer >= source->config.layers) return NULL;
        begin = source->layers_begin + layer * per_layer;
        end = begin + per_layer;
    }
    for (size_t i = begin; i < end; i++)
        if (strcmp(source->tensors[i].name, name) == 0) return &source->tensors[i];
    return NULL;
}

static obi_status check_rows(const obi_source_tensor *tensor, uint64_t first, uint64_t count)
{
    if (first <= tensor->rows && count <= tensor->rows - first) return OBI_OK;
    return obi_fail(OBI_ERROR_ARGUMENT, "rows %llu to %llu of tensor %s, which has %llu", (unsigned long long)first,
                    (unsigned long long)(first + count), tensor->name, (unsigned long long)tensor->rows);
}

static float unaligned_float(const void *bytes)
{
    float value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

/* llama2.c's int8: groups run through the whole tensor and may cross rows. */
static void read_grouped(const obi_source_tensor *tensor, uint64_t first, uint64_t count, float *out)
{
    const int8_t *values = (const int8_t *)tensor->data;
    const uint8_t *scales = (const uint8_t *)tensor->group_scales;
    uint64_t element = first * tensor->columns, end = element + count * tensor->columns;
    while (element < end) {
        uint64_t group = element / tensor->group_size, group_end = (group + 1) * tensor->group_size;
        float scale = unaligned_float(scales + 4 * group);
        for (; element < group_end && element < end; element++) *out++ = (float)values[element] * scale;
    }
}

obi_status obi_source_read(const obi_source_tensor *tensor, uint64_t first, uint64_t count, float *out)
{
    OBI_TRY(check_rows(tensor, first, count));
    if (tensor->signs) return obi_fail(OBI_ERROR_ARGUMENT, "tensor %s holds signs, not numbers", tensor->name);
    if (tensor->group_scales) {
        read_grouped(tensor, first, count, out);
        return OBI_OK;
    }
    for (uint64_t row = 0; row < count; row++) {
        obi_status status = obi_dtype_to_float(tensor->type, tensor->data + (first + row) * tensor->row_bytes, tensor->columns,
                                               out + row * tensor->columns);
        if (status != OBI_OK) return obi_fail_prefix(status, "tensor %s", tensor->name);
    }
    return OBI_OK;
}

static void pack_bytes(const uint8_t *bytes, uint64_t columns, uint32_t *words)
{
    uint64_t count = obi_div_ceil(columns, 32), present = obi_div_ceil(columns, 8);
    for (uint64_t w = 0; w < count; w++) {
        uint32_t word = 0;
        for (uint64_t b = 0; b < 4 && 4 * w + b < present; b++) word |= (uint32_t)bytes[4 * w + b] << (8 * b);
        words[w] = word;
    }
    if (columns % 32 != 0) words[count - 1] &= (1u << columns % 32) - 1;
}

/* The sign of a latent weight; sign(0) = +1, and so is that of a NaN. */
static void pack_floats(const float *values, uint64_t columns, uint32_t *words)
{
    memset(words, 0, obi_div_ceil(columns, 32) * sizeof *words);
    for (uint64_t c = 0; c < columns; c++)
        if (values[c] < 0) words[c / 32] |= 1u << c % 32;
}

obi_status obi_source_read_signs(const obi_source_tensor *tensor, uint64_t first, uint64_t count, uint32_t *out)
{
    OBI_TRY(check_rows(tensor, first, count));
    if (!tensor->signs) return obi_fail(OBI_ERROR_ARGUMENT, "tensor %s holds numbers, not signs", tensor->name);
    uint64_t words = obi_div_ceil(tensor->columns, 32);
    const uint8_t *data = tensor->data + first * tensor->row_bytes;
    if (tensor->type == OBI_DTYPE_I32) {
        for (uint64_t row = 0; row < count; row++) pack_bytes(data + row * tensor->row_bytes, tensor->columns, out + row * words);
        return OBI_OK;
    }
    float *values = obi_calloc(tensor->columns, sizeof *values);
    if (!values) return OBI_ERROR_MEMORY;
    obi_status status = OBI_OK;
    for (uint64_t row = 0; row < count && status == OBI_OK; row++) {
        status = obi_dtype_to_float(tensor->type, data + row * tensor->row_bytes, tensor->columns, values);
        pack_floats(values, tensor->columns, out + row * words);
    }
    obi_free(values);
    return status == OBI_OK ? OBI_OK : obi_fail_prefix(status, "tensor %s", tensor->name);
}

void obi_source_release(const obi_source_tensor *tensor)
{
    if (!tensor->mapping) return;
    obi_mapping_release(tensor->mapping, (uint64_t)(tensor->data - tensor->mapping->data), obi_import_tensor_bytes(tensor));
}

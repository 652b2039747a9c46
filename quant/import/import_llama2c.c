/* llama2.c checkpoints. v0 has no magic: its seven header fields and the exact file size are what recognises it.
 * v1 and v2 begin with "ak42" as a little-endian number. All tensors lie back to back; RoPE rotates adjacent pairs. */
#include "quant/import/import.h"

#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"

#define MAGIC 0x616b3432u
enum { HEADER_V0 = 28, HEADER_V1 = 256 };

/* Where the tensors of one kind begin, and how far apart the layers are; all in bytes. */
typedef struct file_region { uint64_t offset, stride; } file_region;

typedef struct checkpoint {
    obi_source *source;
    const obi_mapping *mapping;
    int version;
    uint32_t group_size; /* v2 */
    file_region embedding, attention_norm, ffn_norm, linears[OBI_LINEAR_COUNT], output_norm, output;
    uint64_t end;
} checkpoint;

bool obi_import_llama2c_recognises(const uint8_t *bytes, uint64_t size)
{
    obi_reader reader = obi_reader_over(bytes, size);
    uint32_t first = obi_read_u32(&reader);
    if (!reader.failed && first == MAGIC) return true;
    uint32_t hidden = obi_read_u32(&reader), layers = obi_read_u32(&reader), heads = obi_read_u32(&reader);
    uint32_t kv_heads = obi_read_u32(&reader), vocabulary = obi_read_u32(&reader), context = obi_read_u32(&reader);
    if (reader.failed) return false;
    if (vocabulary > INT32_MAX) vocabulary = 0u - vocabulary;
    return first > 0 && first <= 1u << 20 && hidden > 0 && hidden <= 1u << 20 && layers > 0 && layers <= 1024 && heads > 0 &&
           heads <= first && kv_heads > 0 && kv_heads <= heads && vocabulary > 0 && vocabulary <= 1u << 22 && context > 0 &&
           context <= 1u << 24;
}

static obi_status read_header(checkpoint *file)
{
    const obi_mapping *mapping = file->mapping;
    obi_reader reader = obi_reader_over(mapping->data, mapping->size);
    if (mapping->size >= 4 && obi_read_u32(&reader) == MAGIC) {
        uint32_t version = obi_read_u32(&reader);
        if (!reader.failed && version != 1 && version != 2)
            return obi_fail(OBI_ERROR_DATA, "%s: llama2.c version %u is not known; versions 0, 1 and 2 are", mapping->path, version);
        file->version = (int)version;
    } else {
        reader = obi_reader_over(mapping->data, mapping->size);
    }
    uint32_t fields[7];
    for (int i = 0; i < 7; i++) fields[i] = obi_read_u32(&reader);
    bool tied = fields[5] <= INT32_MAX;
    if (file->version > 0) {
        tied = obi_read_u8(&reader) != 0;
        if (file->version == 2) file->group_size = obi_read_u32(&reader);
    } else if (!tied) {
        fields[5] = 0u - fields[5];
    }
    if (reader.failed || (file->version > 0 && mapping->size < HEADER_V1))
        return obi_fail(OBI_ERROR_DATA, "%s: the file ends inside its header: it is cut short", mapping->path);

    obi_config *config = &file->source->config;
    config->width = fields[0];
    config->ffn = fields[1];
    config->layers = fields[2];
    config->heads = fields[3];
    config->kv_heads = fields[4];
    config->vocabulary = fields[5];
    config->context = fields[6];
    if (config->heads == 0 || config->width % config->heads != 0)
        return obi_fail(OBI_ERROR_DATA, "%s: a width of %u cannot be split into %u heads", mapping->path, config->width, config->heads);
    config->head_size = config->width / config->heads;
    config->norm_eps = 1e-5f;
    config->rope_theta = 10000.0f;
    config->rope_dimensions = config->head_size;
    config->rope_scale = 1.0f;
    config->rope_layout = OBI_ROPE_PAIRS;
    config->post_norm_eps = 1e-5f;
    config->tied = tied;
    obi_status status = obi_config_check(config);
    if (status != OBI_OK) return obi_fail_prefix(status, "%s", mapping->path);
    return OBI_OK;
}

/* Appends `layers` tensors of `elements` values each. The bounds of obi_config_check keep one tensor below 2^42
 * values and all of them below 2^60 bytes, so nothing here can overflow; the checks hold even if those bounds move. */
static bool place(checkpoint *file, file_region *region, bool quantized, uint64_t layers, uint64_t elements)
{
    uint64_t bytes, total;
    if (quantized) {
        if (elements % file->group_size != 0) return false;
        if (!obi_checked_add(elements, elements / file->group_size * 4, &bytes)) return false;
    } else if (!obi_checked_mul(elements, 4, &bytes)) {
        return false;
    }
    region->offset = file->end;
    region->stride = bytes;
    return obi_checked_mul(bytes, layers, &total) && obi_checked_add(file->end, total, &file->end);
}

static bool place_linear(checkpoint *file, int role)
{
    const obi_config *config = &file->source->config;
    uint32_t rows, columns;
    obi_config_linear_shape(config, role, &rows, &columns);
    return place(file, &file->linears[role], file->version == 2, config->layers, (uint64_t)rows * columns);
}

static bool place_all(checkpoint *file)
{
    const obi_config *config = &file->source->config;
    uint64_t layers = config->layers, width = config->width, head = (uint64_t)config->vocabulary * width;
    bool quantized = file->version == 2;
    if (file->version == 0) {
        file->end = HEADER_V0;
        return place(file, &file->embedding, false, 1, head) && place(file, &file->attention_norm, false, layers, width) &&
               place_linear(file, OBI_LINEAR_Q) && place_linear(file, OBI_LINEAR_K) && place_linear(file, OBI_LINEAR_V) &&
               place_linear(file, OBI_LINEAR_O) && place(file, &file->ffn_norm, false, layers, width) &&
               place_linear(file, OBI_LINEAR_GATE) && place_linear(file, OBI_LINEAR_DOWN) && place_linear(file, OBI_LINEAR_UP) &&
               place(file, &file->output_norm, false, 1, width) &&
               /* the RoPE tables of old versions, which nobody reads */
               place(file, &file->output, false, 1, (uint64_t)config->context * config->head_size) &&
               (config->tied || place(file, &file->output, false, 1, head));
    }
    file->end = HEADER_V1;
    return place(file, &file->attention_norm, false, layers, width) && place(file, &file->ffn_norm, false, layers, width) &&
           place(file, &file->output_norm, false, 1, width) && place(file, &file->embedding, quantized, 1, head) &&
           place_linear(file, OBI_LINEAR_Q) && place_linear(file, OBI_LINEAR_K) && place_linear(file, OBI_LINEAR_V) &&
           place_linear(file, OBI_LINEAR_O) && place_linear(file, OBI_LINEAR_GATE) && place_linear(file, OBI_LINEAR_DOWN) &&
           place_linear(file, OBI_LINEAR_UP) && (config->tied || place(file, &file->output, quantized, 1, head));
}

static obi_status locate(void *user, const obi_import_want *want, obi_source_tensor *tensor)
{
    const checkpoint *file = user;
    const file_region *region = NULL;
    switch (want->part) {
    case OBI_PART_EMBEDDING: region = &file->embedding; break;
    case OBI_PART_ATTENTION_NORM: region = &file->attention_norm; break;
    case OBI_PART_FFN_NORM: region = &file->ffn_norm; break;
    case OBI_PART_LINEAR: region = &file->linears[want->role]; break;
    case OBI_PART_OUTPUT_NORM: region = &file->output_norm; break;
    case OBI_PART_OUTPUT: region = &file->output; break;
    default: return obi_fail(OBI_ERROR_DATA, "%s: no %s in this format", file->mapping->path, tensor->name);
    }
    tensor->mapping = file->mapping;
    tensor->data = file->mapping->data + region->offset + region->stride * want->layer;
    tensor->type = OBI_DTYPE_F32;
    tensor->row_bytes = 4 * tensor->columns;
    bool matrix = want->part == OBI_PART_EMBEDDING || want->part == OBI_PART_LINEAR || want->part == OBI_PART_OUTPUT;
    if (file->version == 2 && matrix) {
        tensor->type = OBI_DTYPE_I8;
        tensor->row_bytes = tensor->columns;
        tensor->group_size = file->group_size;
        tensor->group_scales = (const float *)(const void *)(tensor->data + tensor->rows * tensor->columns);
    }
    return OBI_OK;
}

obi_status obi_import_llama2c(obi_source *source, const char *path)
{
    source->format = "llama2.c";
    OBI_TRY(obi_import_reserve_mappings(source, 1));
    OBI_TRY(obi_mapping_open(&source->mappings[0], path));
    checkpoint file = { .source = source, .mapping = &source->mappings[0] };
    OBI_TRY(read_header(&file));
    if (file.version == 2 && file.group_size == 0)
        return obi_fail(OBI_ERROR_DATA, "%s: the group size of the int8 weights is 0", path);
    if (!place_all(&file)) {
        if (file.version == 2)
            return obi_fail(OBI_ERROR_DATA, "%s: the sizes of the tensors are not multiples of the group size %u", path, file.group_size);
        return obi_fail(OBI_ERROR_DATA, "%s: the sizes in its header overflow 64 bits", path);
    }
    if (file.end != file.mapping->size)
        return obi_fail(OBI_ERROR_DATA, "%s: the file has %llu bytes where its llama2.c header asks for %llu: it is damaged, cut short "
                        "or not a llama2.c checkpoint", path, (unsigned long long)file.mapping->size, (unsigned long long)file.end);
    return obi_import_tensors(source, locate, &file);
}

#include "engine/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/half.h"
#include "core/hash.h"
#include "ops/matrix.h"
#include "ops/op_int8.h"
#include "ops/op_planes.h"
#include "ops/sign_family.h"

/* What one load needs at hand. */
typedef struct loader {
    obi_device *device;
    const obi_gguf *gguf;
    obi_upload *upload;
    obi_weights *weights;
    obi_weights_progress progress;
    void *user;
    uint64_t bytes_done;
    uint64_t bytes_all;
    uint8_t *window; /* what is at hand of a file that is not in memory */
    uint64_t window_bytes;
} loader;

#define CHUNK_BYTES (32u << 20) /* of a matrix, between which pages of the file are let go */

static obi_status find_tensor(const loader *load, const char *name, uint64_t columns, uint64_t rows, const obi_gguf_tensor **out)
{
    const obi_gguf_tensor *tensor = obi_gguf_find_tensor(load->gguf, name);
    if (!tensor) return obi_fail(OBI_ERROR_DATA, "%s: the tensor %s is missing", load->gguf->mapping.path, name);
    if (tensor->shape[0] != columns || tensor->shape[1] != rows || tensor->shape[2] != 1 || tensor->shape[3] != 1)
        return obi_fail(OBI_ERROR_DATA,
                        "%s: the tensor %s is %" PRIu64 " x %" PRIu64 " where the model's sizes ask for %" PRIu64 " x %" PRIu64,
                        load->gguf->mapping.path, name, tensor->shape[0], tensor->shape[1], columns, rows);
    *out = tensor;
    return OBI_OK;
}

/* `count` bytes of a tensor from `offset` on; valid until the next call. */
static obi_status bytes_of(loader *load, const obi_gguf_tensor *tensor, uint64_t offset, uint64_t count, const uint8_t **out)
{
    if (tensor->data) {
        *out = tensor->data + offset;
        return OBI_OK;
    }
    if (count > load->window_bytes) {
        uint8_t *window = count <= SIZE_MAX ? obi_realloc(load->window, (size_t)count, 1) : NULL;
        if (!window) return OBI_ERROR_MEMORY;
        load->window = window;
        load->window_bytes = count;
    }
    *out = load->window;
    return obi_mapping_read(&load->gguf->mapping, tensor->offset + offset, load->window, count);
}

static obi_status count_done(loader *load, const obi_gguf_tensor *tensor, const char *what)
{
    load->bytes_done += tensor->bytes;
    if (load->progress && !load->progress((double)load->bytes_done / (double)load->bytes_all, what, load->user))
        return obi_fail(OBI_ERROR_CANCELLED, "loading was cancelled");
    return OBI_OK;
}

/* The same of a tensor that was copied: its pages are let go. */
static obi_status account(loader *load, const obi_gguf_tensor *tensor, const char *what)
{
    obi_mapping_release(&load->gguf->mapping, tensor->offset, tensor->bytes);
    return count_done(load, tensor, what);
}

/* A vector of `count` numbers as f32, to a place on the device. */
static obi_status load_vector_to(loader *load, const char *name, uint32_t count, obi_view to)
{
    const obi_gguf_tensor *tensor = NULL;
    OBI_TRY(find_tensor(load, name, count, 1, &tensor));
    float *values = obi_calloc(count, sizeof *values);
    if (!values) return OBI_ERROR_MEMORY;
    const uint8_t *bytes = NULL;
    obi_status status;
    OBI_TRY_GOTO(bytes_of(load, tensor, 0, tensor->bytes, &bytes));
    OBI_TRY_GOTO(obi_dtype_to_float(tensor->type, bytes, count, values));
    OBI_TRY_GOTO(obi_upload_bytes(load->upload, to, values, (uint64_t)count * 4));
    load->weights->device_bytes += (uint64_t)count * 4;
    load->weights->parameters += count;
    load->weights->fingerprint = obi_hash(values, (size_t)count * 4, load->weights->fingerprint);
    OBI_TRY_GOTO(account(load, tensor, name));
done:
    obi_free(values);
    return status == OBI_OK ? OBI_OK : obi_fail_prefix(status, "tensor %s", name);
}

/* The same in a buffer of its own. */
static obi_status load_vector(loader *load, const char *name, uint32_t count, obi_buffer **out)
{
    OBI_TRY(obi_buffer_create(load->device, (uint64_t)count * 4, OBI_MEMORY_DEVICE, out));
    return load_vector_to(load, name, count, obi_view_of(*out));
}

/* "STEM.weight" of a norm, and OPT's "STEM.bias". */
static obi_status load_norm(loader *load, const char *stem, obi_buffer **weight, obi_buffer **bias)
{
    const obi_config *config = &load->weights->config;
    char name[64];
    snprintf(name, sizeof name, "%s.weight", stem);
    OBI_TRY(load_vector(load, name, config->width, weight));
    if (config->family == OBI_FAMILY_LLAMA) return OBI_OK;
    snprintf(name, sizeof name, "%s.bias", stem);
    return load_vector(load, name, config->width, bias);
}

/* What a tensor takes on the device. */
static uint64_t device_bytes(const obi_device *device, const obi_config *config, const obi_gguf_tensor *tensor)
{
    uint64_t elements = tensor->shape[0] * tensor->shape[1]; /* the reader has checked the product */
    switch (tensor->type) {
    case OBI_DTYPE_BF16:
    case OBI_DTYPE_F64: return elements * 4;
    case OBI_DTYPE_F16: return tensor->dimensions == 1 ? elements * 4 : tensor->bytes; /* a vector becomes f32 */
    case OBI_DTYPE_Q8_0:
    case OBI_DTYPE_Q4_0: return elements * 2;
    case OBI_DTYPE_I32: /* signs, if their sizes are a matrix's; what is not will be refused */
        if (tensor->shape[0] > UINT32_MAX / 32 || tensor->shape[1] >= UINT32_MAX) return tensor->bytes;
        return obi_sign_weight_bytes(device, (uint32_t)tensor->shape[1] + config->offset, (uint32_t)tensor->shape[0] * 32);
    case OBI_DTYPE_I8: /* bytes; the same holds */
        if (tensor->shape[0] > UINT32_MAX) return tensor->bytes;
        return tensor->shape[1] * obi_weight_row_words(OBI_WEIGHT_I8, (uint32_t)tensor->shape[0]) * 4;
    default: return tensor->bytes;
    }
}

/* Whether the file has a matrix as the device reads it. */
static bool is_as_needed(const obi_gguf_tensor *tensor)
{
    return tensor->type == OBI_DTYPE_F32 || (tensor->type == OBI_DTYPE_F16 && tensor->shape[0] % 2 == 0);
}

typedef struct dense_rows {
    const obi_gguf_tensor *tensor;
    const obi_weight *weight;
    uint64_t row_bytes;  /* in the file */
    const uint8_t *rows; /* from row `first` on */
    uint32_t first;
} dense_rows;

/* Q8_0 and Q4_0 as halves, some blocks at a time; halves are 16-bit words in order. */
static void halves_of_blocks(const dense_rows *of, const uint8_t *source, uint32_t *words)
{
    float some[8 * 32];
    uint32_t columns = of->weight->columns, block = obi_dtype_block(of->tensor->type);
    for (uint32_t first = 0; first < columns; first += 8 * block) {
        uint32_t count = columns - first < 8 * block ? columns - first : 8 * block;
        const uint8_t *from = source + (uint64_t)(first / block) * obi_dtype_block_bytes(of->tensor->type);
        (void)obi_dtype_to_float(of->tensor->type, from, count, some); /* whole blocks of a type that load_matrix knows */
        for (uint32_t i = 0; i < count; i += 2)
            words[(first + i) / 2] = obi_float_to_half(some[i]) | (uint32_t)obi_float_to_half(some[i + 1]) << 16;
    }
}

/* Rows of a dense tensor in the device's layout. */
static void convert_rows(void *user, uint32_t first, uint32_t count, uint32_t *words)
{
    const dense_rows *of = user;
    const obi_weight *weight = of->weight;
    for (uint32_t i = 0; i < count; i++, words += weight->row_words) {
        const uint8_t *source = of->rows + (uint64_t)(first - of->first + i) * of->row_bytes;
        if (weight->type == OBI_WEIGHT_F32) {
            (void)obi_dtype_to_float(of->tensor->type, source, weight->columns, (float *)words);
        } else if (of->tensor->type != OBI_DTYPE_F16) {
            halves_of_blocks(of, source, words);
        } else {
            if (weight->columns % 2) words[weight->row_words - 1] = 0; /* the pad of an odd width */
            memcpy(words, source, (size_t)of->row_bytes);
        }
    }
}

static obi_status load_matrix(loader *load, const char *name, uint32_t rows, uint32_t columns, obi_weight *weight)
{
    const obi_gguf_tensor *tensor;
    OBI_TRY(find_tensor(load, name, columns, rows, &tensor));
    obi_weight_type type;
    switch (tensor->type) {
    case OBI_DTYPE_F32:
    case OBI_DTYPE_BF16:
    case OBI_DTYPE_F64: type = OBI_WEIGHT_F32; break;
    case OBI_DTYPE_F16:
    case OBI_DTYPE_Q8_0:
    case OBI_DTYPE_Q4_0: type = OBI_WEIGHT_F16; break;
    default:
        return obi_fail(OBI_ERROR_DATA, "%s: the tensor %s is of type %s, which a matrix cannot have here", load->gguf->mapping.path, name,
                        obi_dtype_name(tensor->type));
    }
    dense_rows of = { .tensor = tensor, .weight = weight };
    if (!obi_dtype_bytes(tensor->type, columns, &of.row_bytes))
        return obi_fail(OBI_ERROR_DATA, "rows of %u columns do not fill whole blocks", columns);
    load->weights->device_bytes += (uint64_t)rows * obi_weight_row_words(type, columns) * 4;
    load->weights->parameters += (uint64_t)rows * columns;
    if (is_as_needed(tensor) && obi_weight_import(load->device, type, rows, columns, &load->weights->mapping, tensor->offset, weight))
        return count_done(load, tensor, name);
    OBI_TRY(obi_weight_create(load->device, type, rows, columns, 0, weight));
    uint32_t rows_at_once = obi_weight_upload_rows(weight, CHUNK_BYTES);
    for (uint32_t first = 0; first < rows; first += rows_at_once) {
        uint32_t count = rows - first < rows_at_once ? rows - first : rows_at_once;
        OBI_TRY(bytes_of(load, tensor, of.row_bytes * first, of.row_bytes * count, &of.rows));
        of.first = first;
        OBI_TRY(obi_weight_upload_filled(load->upload, weight, first, count, convert_rows, &of));
        /* Pages are let go as the reading goes on: an embedding may be gigabytes. */
        obi_mapping_release(&load->gguf->mapping, tensor->offset + of.row_bytes * first, of.row_bytes * count);
    }
    return account(load, tensor, name);
}

/* The `rows` of signs in a file, and behind them in `one_more` a row of + (obi_linear). A type in tiles takes whole tiles, so that row goes
 * up together with the last rows of the file. */
static obi_status upload_signs(loader *load, const obi_gguf_tensor *tensor, uint32_t rows, bool one_more, const obi_weight *weight)
{
    uint64_t row_bytes = (uint64_t)weight->row_words * 4;
    uint32_t with_last = one_more ? rows % OBI_TILE_ROWS : 0, end = rows - with_last;
    uint32_t rows_at_once = tensor->data ? rows : obi_weight_upload_rows(weight, CHUNK_BYTES);
    const uint8_t *bytes = NULL;
    for (uint32_t first = 0; first < end; first += rows_at_once) {
        uint32_t count = end - first < rows_at_once ? end - first : rows_at_once;
        OBI_TRY(bytes_of(load, tensor, first * row_bytes, count * row_bytes, &bytes));
        OBI_TRY(obi_weight_upload(load->upload, weight, first, count, bytes));
    }
    if (!one_more) return OBI_OK;
    uint8_t *last = obi_calloc(with_last + 1, (size_t)row_bytes);
    if (!last) return OBI_ERROR_MEMORY;
    obi_status status = OBI_OK;
    if (with_last > 0) status = bytes_of(load, tensor, end * row_bytes, with_last * row_bytes, &bytes);
    if (status == OBI_OK && with_last > 0) memcpy(last, bytes, (size_t)(with_last * row_bytes));
    if (status == OBI_OK) status = obi_weight_upload(load->upload, weight, end, with_last + 1, last);
    obi_free(last);
    return status;
}

/* A vector of a linear, "blk.N.R." and `what`, to `out`. */
static obi_status read_part(loader *load, const char *role, const char *what, uint32_t count, float *out)
{
    char name[64];
    const obi_gguf_tensor *tensor = NULL;
    const uint8_t *bytes = NULL;
    snprintf(name, sizeof name, "%s.%s", role, what);
    OBI_TRY(find_tensor(load, name, count, 1, &tensor));
    OBI_TRY(bytes_of(load, tensor, 0, tensor->bytes, &bytes));
    OBI_TRY(obi_dtype_to_float(tensor->type, bytes, count, out));
    return account(load, tensor, name);
}

/* g, h and c of a linear; c_i = h_i o_i, exact where both are halves. */
static obi_status load_scales(loader *load, const char *role, uint32_t m, const obi_linear *linear)
{
    const obi_config *config = &load->weights->config;
    uint32_t n = linear->weight.columns, rows = linear->weight.rows - config->offset;
    float *scales = obi_calloc(1, (size_t)linear->scales.size), *c = config->offset ? obi_calloc(m, sizeof *c) : NULL;
    obi_status status = OBI_ERROR_MEMORY;
    if (!scales || (config->offset && !c)) goto done;
    float *h = scales + obi_scales_h_offset(n);
    for (uint32_t j = 0; config->no_input_factor && j < n; j++) scales[j] = 1;
    if (!config->no_input_factor) OBI_TRY_GOTO(read_part(load, role, "input_factor", n, scales));
    OBI_TRY_GOTO(read_part(load, role, "weight_scale", rows, h));
    if (config->offset) {
        OBI_TRY_GOTO(read_part(load, role, "weight_offset", m, c));
        h[rows] = 1;
        for (uint32_t i = 0; i < m; i++) c[i] *= h[i];
        OBI_TRY_GOTO(obi_upload_bytes(load->upload, linear->offset, c, (uint64_t)m * 4));
        load->weights->device_bytes += linear->offset.size;
    }
    OBI_TRY_GOTO(obi_upload_bytes(load->upload, linear->scales, scales, linear->scales.size));
    load->weights->device_bytes += linear->scales.size;
    status = OBI_OK;
done:
    obi_free(scales);
    obi_free(c);
    return status;
}

static obi_status load_signs(loader *load, const char *name, const char *role, uint32_t m, uint32_t n, obi_linear *linear)
{
    const obi_gguf_tensor *tensor;
    uint32_t row_words = obi_weight_row_words(OBI_WEIGHT_SIGN, n), rows = linear->weight.rows - load->weights->config.offset;
    OBI_TRY(find_tensor(load, name, row_words, rows, &tensor));
    if (tensor->type != OBI_DTYPE_I32) /* a narrower type would end before the last row */
        return obi_fail(OBI_ERROR_DATA, "%s: the tensor %s is of type %s where signs are I32", load->gguf->mapping.path, name,
                        obi_dtype_name(tensor->type));
    OBI_TRY(upload_signs(load, tensor, rows, load->weights->config.offset, &linear->weight));
    load->weights->device_bytes += (uint64_t)linear->weight.rows * row_words * 4;
    load->weights->parameters += (uint64_t)m * n;
    OBI_TRY(account(load, tensor, name));
    return load_scales(load, role, m, linear);
}

typedef struct byte_rows {
    const uint8_t *rows; /* from row `first` on */
    const float *scales; /* of all rows */
    uint32_t first, columns, row_words;
} byte_rows;

/* Rows of bytes, each with its scale behind it. */
static void fill_byte_rows(void *user, uint32_t first, uint32_t count, uint32_t *words)
{
    const byte_rows *of = user;
    for (uint32_t i = 0; i < count; i++, words += of->row_words) {
        if (of->row_words > 1) words[of->row_words - 2] = 0; /* the pad of an odd width */
        memcpy(words, of->rows + (uint64_t)(first - of->first + i) * of->columns, of->columns);
        memcpy(words + of->row_words - 1, &of->scales[first + i], 4);
    }
}

static obi_status load_bytes(loader *load, const char *name, const char *role, uint32_t m, uint32_t n, obi_linear *linear)
{
    const obi_gguf_tensor *tensor;
    OBI_TRY(find_tensor(load, name, n, m, &tensor));
    if (tensor->type != OBI_DTYPE_I8)
        return obi_fail(OBI_ERROR_DATA, "%s: the tensor %s is of type %s where bytes are I8", load->gguf->mapping.path, name,
                        obi_dtype_name(tensor->type));
    obi_weight *weight = &linear->weight;
    OBI_TRY(obi_weight_create(load->device, OBI_WEIGHT_I8, m, n, 0, weight));
    float *scales = obi_calloc(m, sizeof *scales);
    if (!scales) return OBI_ERROR_MEMORY;
    byte_rows of = { .scales = scales, .columns = n, .row_words = weight->row_words };
    uint32_t rows_at_once = obi_weight_upload_rows(weight, CHUNK_BYTES);
    obi_status status;
    OBI_TRY_GOTO(read_part(load, role, "weight_scale", m, scales));
    for (uint32_t first = 0; first < m; first += rows_at_once) {
        uint32_t count = m - first < rows_at_once ? m - first : rows_at_once;
        OBI_TRY_GOTO(bytes_of(load, tensor, (uint64_t)first * n, (uint64_t)count * n, &of.rows));
        of.first = first;
        OBI_TRY_GOTO(obi_weight_upload_filled(load->upload, weight, first, count, fill_byte_rows, &of));
    }
    load->weights->device_bytes += (uint64_t)m * weight->row_words * 4;
    load->weights->parameters += (uint64_t)m * n;
    status = account(load, tensor, name);
done:
    obi_free(scales);
    return status;
}

/* Where a vector of the layer's scales lies, `floats` into it. */
static obi_view part_of_scales(uint64_t *floats, uint64_t count)
{
    obi_view view = { NULL, *floats * 4, count * 4 };
    *floats += obi_align_up(count, OBI_BUFFER_ALIGNMENT / 4);
    return view;
}

obi_status obi_layer_signs_create(obi_device *device, const obi_config *config, obi_layer_weights *layer, uint64_t *scale_floats)
{
    const bool gate = obi_config_has_linear(config, OBI_LINEAR_GATE);
    const int groups[][2] = { { OBI_LINEAR_Q, 3 }, { OBI_LINEAR_O, 1 }, { gate ? OBI_LINEAR_GATE : OBI_LINEAR_UP, gate ? 2 : 1 },
                              { OBI_LINEAR_DOWN, 1 } };
    uint32_t planes = obi_config_planes(config), m[OBI_LINEAR_COUNT];
    uint64_t floats = 0;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        uint32_t rows[3], columns = 0, count = (uint32_t)groups[i][1];
        obi_weight weights[3];
        obi_linear *linear = &layer->linear[groups[i][0]];
        for (uint32_t j = 0; j < count; j++) {
            obi_config_linear_shape(config, groups[i][0] + (int)j, &m[groups[i][0] + (int)j], &columns);
            rows[j] = (uint32_t)obi_planes_rows(m[groups[i][0] + (int)j], planes, config->offset); /* at most 4 * 2^20 + 1 */
            linear[j].scales = part_of_scales(&floats, obi_scales_floats(rows[j], columns));
        }
        OBI_TRY(obi_sign_weight_create(device, rows, count, columns, weights));
        for (uint32_t j = 0; j < count; j++) linear[j].weight = weights[j];
    }
    for (int i = 0; config->offset && i < OBI_LINEAR_COUNT; i++)
        if (obi_config_has_linear(config, i)) layer->linear[i].offset = part_of_scales(&floats, m[i]);
    OBI_TRY(obi_buffer_create(device, floats * 4, OBI_MEMORY_DEVICE, &layer->scales));
    for (int i = 0; i < OBI_LINEAR_COUNT; i++) {
        if (!obi_config_has_linear(config, i)) continue;
        layer->linear[i].scales.buffer = layer->scales;
        if (config->offset) layer->linear[i].offset.buffer = layer->scales;
        layer->linear[i].planes = planes;
    }
    *scale_floats = floats;
    return OBI_OK;
}

/* The biases of a layer's linears, in one buffer. */
static obi_status load_biases(loader *load, uint32_t index)
{
    const obi_config *config = &load->weights->config;
    obi_layer_weights *layer = &load->weights->layers[index];
    uint64_t bytes = 0;
    for (int i = 0; i < OBI_LINEAR_COUNT; i++) {
        uint32_t rows, columns;
        obi_config_linear_shape(config, i, &rows, &columns);
        layer->linear[i].bias = (obi_view){ NULL, bytes, rows * 4ull };
        bytes += obi_align_up(rows * 4ull, OBI_BUFFER_ALIGNMENT);
    }
    OBI_TRY(obi_buffer_create(load->device, bytes, OBI_MEMORY_DEVICE, &layer->biases));
    for (int i = 0; i < OBI_LINEAR_COUNT; i++) {
        obi_view *bias = &layer->linear[i].bias;
        char name[64];
        if (!obi_config_has_linear(config, i)) continue;
        bias->buffer = layer->biases;
        snprintf(name, sizeof name, "blk.%u.%s.bias", index, obi_linear_roles[i]);
        OBI_TRY(load_vector_to(load, name, (uint32_t)(bias->size / 4), *bias));
    }
    return OBI_OK;
}

static obi_status load_layer(loader *load, uint32_t index)
{
    const obi_config *config = &load->weights->config;
    obi_layer_weights *layer = &load->weights->layers[index];
    char role[48], name[64];
    snprintf(name, sizeof name, "blk.%u.attn_norm", index);
    OBI_TRY(load_norm(load, name, &layer->attn_norm, &layer->attn_norm_bias));
    snprintf(name, sizeof name, "blk.%u.ffn_norm", index);
    OBI_TRY(load_norm(load, name, &layer->ffn_norm, &layer->ffn_norm_bias));
    uint64_t scale_floats;
    bool signs = config->onebit && !config->int8_rows;
    if (signs) OBI_TRY(obi_layer_signs_create(load->device, config, layer, &scale_floats));
    for (int i = 0; i < OBI_LINEAR_COUNT; i++) {
        uint32_t rows, columns;
        if (!obi_config_has_linear(config, i)) continue;
        obi_config_linear_shape(config, i, &rows, &columns);
        snprintf(role, sizeof role, "blk.%u.%s", index, obi_linear_roles[i]);
        snprintf(name, sizeof name, "%s.weight", role);
        if (signs) OBI_TRY(load_signs(load, name, role, rows, columns, &layer->linear[i]));
        else if (config->int8_rows) OBI_TRY(load_bytes(load, name, role, rows, columns, &layer->linear[i]));
        else OBI_TRY(load_matrix(load, name, rows, columns, &layer->linear[i].weight));
    }
    return config->family == OBI_FAMILY_OPT ? load_biases(load, index) : OBI_OK;
}

/* What OPT has beside layers, embedding and head. */
static obi_status load_opt(loader *load)
{
    obi_weights *weights = load->weights;
    uint32_t D = weights->config.width, E = weights->config.embedding_width;
    OBI_TRY(load_matrix(load, "position_embd.weight", obi_config_position_rows(&weights->config), D, &weights->positions));
    if (E == 0) return OBI_OK;
    OBI_TRY(load_matrix(load, "project_in.weight", D, E, &weights->project_in));
    return load_matrix(load, "project_out.weight", E, D, &weights->project_out);
}

static obi_status load_rope_factors(loader *load)
{
    const obi_gguf_tensor *tensor = obi_gguf_find_tensor(load->gguf, "rope_freqs.weight");
    if (!tensor) return OBI_OK;
    uint32_t count = load->weights->config.rope_dimensions / 2;
    OBI_TRY(find_tensor(load, "rope_freqs.weight", count, 1, &tensor));
    load->weights->rope_factors = obi_calloc(count, sizeof(float));
    if (!load->weights->rope_factors) return OBI_ERROR_MEMORY;
    const uint8_t *bytes = NULL;
    OBI_TRY(bytes_of(load, tensor, 0, tensor->bytes, &bytes));
    return obi_dtype_to_float(tensor->type, bytes, count, load->weights->rope_factors);
}

/* What the file format allows and the kernels do not. */
static obi_status check_widths(const obi_config *config, const obi_gguf *gguf)
{
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        uint32_t rows, columns;
        obi_config_linear_shape(config, kind, &rows, &columns);
        if (columns > OBI_MATRIX_COLUMNS_MAX)
            return obi_fail(OBI_ERROR_DATA, "%s: %s has %u inputs, and the kernels here take at most %u", gguf->mapping.path,
                            obi_linear_roles[kind], columns, OBI_MATRIX_COLUMNS_MAX);
    }
    if (config->embedding_width > OBI_MATRIX_COLUMNS_MAX)
        return obi_fail(OBI_ERROR_DATA, "%s: project_in has %u inputs, and the kernels here take at most %u", gguf->mapping.path,
                        config->embedding_width, OBI_MATRIX_COLUMNS_MAX);
    return OBI_OK;
}

obi_status obi_weights_load(obi_device *device, const obi_gguf *gguf, obi_weights_progress progress, void *user, obi_weights **out)
{
    *out = NULL;
    obi_weights *weights = obi_calloc(1, sizeof *weights);
    if (!weights) return OBI_ERROR_MEMORY;
    weights->device = device;
    loader load = { .device = device, .gguf = gguf, .weights = weights, .progress = progress, .user = user };
    const obi_config *config = &weights->config;
    obi_status status;
    OBI_TRY_GOTO(obi_config_from_gguf(&weights->config, gguf));
    weights->config.tied = obi_gguf_find_tensor(gguf, "output.weight") == NULL;
    uint64_t needed = 0;
    for (uint64_t i = 0; i < gguf->tensor_count; i++) {
        load.bytes_all += gguf->tensors[i].bytes;
        needed += device_bytes(device, config, &gguf->tensors[i]); /* pages of the file, too: every token reads them all */
    }
    OBI_TRY_GOTO(check_widths(config, gguf));
    if (config->int8_rows && !obi_int8_possible(device)) {
        status = obi_fail(OBI_ERROR_NO_DEVICE, "%s: its weights are bytes, and the kernels for them do not work on %s",
                          gguf->mapping.path, device->caps.name);
        goto done;
    }
    weights->fingerprint = obi_hash(gguf->mapping.data, (size_t)gguf->header_bytes, 0);
    OBI_TRY_GOTO(obi_memory_fits(device, needed, "the weights"));
    weights->layers = obi_calloc(config->layers, sizeof *weights->layers);
    if (!weights->layers) {
        status = OBI_ERROR_MEMORY;
        goto done;
    }
    if (gguf->lend) (void)obi_mapping_share(&gguf->mapping, &weights->mapping); /* without it everything is copied */
    OBI_TRY_GOTO(obi_upload_create(device, &load.upload));
    obi_upload_in_place(load.upload);
    OBI_TRY_GOTO(load_matrix(&load, "token_embd.weight", config->vocabulary, obi_config_embedding_width(config), &weights->embedding));
    if (config->family == OBI_FAMILY_OPT) OBI_TRY_GOTO(load_opt(&load));
    if (!config->norm_last) OBI_TRY_GOTO(load_norm(&load, "output_norm", &weights->output_norm, &weights->output_norm_bias));
    if (!config->tied)
        OBI_TRY_GOTO(load_matrix(&load, "output.weight", config->vocabulary, obi_config_embedding_width(config), &weights->head));
    OBI_TRY_GOTO(load_rope_factors(&load));
    for (uint32_t i = 0; i < config->layers; i++) OBI_TRY_GOTO(load_layer(&load, i));
    OBI_TRY_GOTO(obi_upload_finish(load.upload));
done:
    obi_upload_destroy(load.upload);
    obi_free(load.window);
    if (status != OBI_OK) obi_weights_free(weights);
    else *out = weights;
    return status;
}

void obi_weights_free(obi_weights *weights)
{
    if (!weights) return;
    obi_device *device = weights->device;
    for (uint32_t i = 0; weights->layers && i < weights->config.layers; i++) {
        obi_layer_weights *layer = &weights->layers[i];
        obi_buffer_destroy(device, layer->attn_norm);
        obi_buffer_destroy(device, layer->ffn_norm);
        for (int j = 0; j < OBI_LINEAR_COUNT; j++) obi_weight_destroy(device, &layer->linear[j].weight);
        obi_buffer_destroy(device, layer->scales);
        obi_buffer_destroy(device, layer->attn_norm_bias);
        obi_buffer_destroy(device, layer->ffn_norm_bias);
        obi_buffer_destroy(device, layer->biases);
    }
    obi_free(weights->layers);
    obi_weight_destroy(device, &weights->embedding);
    obi_weight_destroy(device, &weights->head);
    obi_weight_destroy(device, &weights->positions);
    obi_weight_destroy(device, &weights->project_in);
    obi_weight_destroy(device, &weights->project_out);
    obi_buffer_destroy(device, weights->output_norm);
    obi_buffer_destroy(device, weights->output_norm_bias);
    obi_mapping_close(&weights->mapping);
    obi_free(weights->rope_factors);
    obi_free(weights);
}

const obi_weight *obi_weights_head(const obi_weights *weights) { return weights->config.tied ? &weights->embedding : &weights->head; }

#include "quant/convert.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/half.h"
#include "quant/import/rope_permute.h"
#include "quant/planes.h"
#include "quant/svid.h"

#define CHUNK_BYTES (4ull << 20)

/* What one conversion needs at hand. */
typedef struct converter {
    obi_device *device;
    obi_upload *upload; /* these two only where SVID runs */
    obi_svid *svid;
    uint32_t row_words; /* of the sign tensor being written */
    const obi_source *source;
    const obi_convert_desc *desc;
    obi_convert_report *report;
    obi_config config; /* of the output */
    obi_gguf_writer *writer;
    float *floats;  /* a chunk of rows */
    uint8_t *bytes; /* the same, converted */
    uint64_t chunk_floats;
    double work_done, work_all; /* weights */
    double layer_work;          /* of the layer that a maker is asked for */
    double told;                /* the last fraction: it only grows */
    bool has_wide_zeros;        /* zeros that take more bits than were counted before they were known */
} converter;

static obi_status progress_to(converter *convert, double work, const char *what)
{
    convert->told = fmax(convert->told, fmin(1, work / convert->work_all));
    if (convert->desc->progress && !convert->desc->progress(convert->told, what, convert->desc->user))
        return obi_fail(OBI_ERROR_CANCELLED, "the conversion was cancelled; nothing was written");
    return OBI_OK;
}

static obi_status progress(converter *convert, double work, const char *what)
{
    convert->work_done += work;
    return progress_to(convert, convert->work_done, what);
}

/* A maker does the work of a layer when the first of its linears is asked for. */
static obi_status part_of_layer(void *user, double part, const char *what)
{
    converter *convert = user;
    return progress_to(convert, convert->work_done + part * convert->layer_work, what);
}

static const obi_linear_maker *maker_of(const converter *convert) { return convert->desc->maker; }

/* A linear is written as numbers: of a dense form, or of a maker whose grids have no planes. */
static bool writes_numbers(const converter *convert)
{
    return convert->desc->form != OBI_FORM_ONEBIT || (maker_of(convert) && maker_of(convert)->storage == OBI_STORAGE_HALVES);
}

/* Norms and biases are vectors, everything else that is not a sign tensor's scale is a matrix. */
static bool is_vector(const char *name)
{
    size_t length = strlen(name);
    return strstr(name, "norm.weight") || strcmp(name, "rope_freqs.weight") == 0 || (length > 5 && strcmp(name + length - 5, ".bias") == 0);
}

static obi_dtype dense_type(const converter *convert, const char *name)
{
    return is_vector(name) || convert->desc->form == OBI_FORM_F32 ? OBI_DTYPE_F32 : OBI_DTYPE_F16;
}

/* ---- the plan: every tensor of the output, in order ------------------------------------------------------------ */

typedef obi_status (*tensor_visit)(converter *convert, const char *name, int linear);

/* "STEM.weight" and, of OPT, "STEM.bias". */
static obi_status visit_with_bias(converter *convert, tensor_visit visit, const char *stem, int linear)
{
    char name[64];
    snprintf(name, sizeof name, "%s.weight", stem);
    OBI_TRY(visit(convert, name, linear));
    if (convert->config.family == OBI_FAMILY_LLAMA) return OBI_OK;
    snprintf(name, sizeof name, "%s.bias", stem);
    return visit(convert, name, -1);
}

/* Calls `visit` for each tensor name in file order; a linear layer is visited once, under its weight's name. */
static obi_status for_each_tensor(converter *convert, tensor_visit visit)
{
    const obi_config *config = &convert->config;
    char stem[48];
    OBI_TRY(visit(convert, "token_embd.weight", -1));
    if (config->family == OBI_FAMILY_OPT) OBI_TRY(visit(convert, "position_embd.weight", -1));
    if (config->embedding_width) OBI_TRY(visit(convert, "project_in.weight", -1));
    if (config->embedding_width) OBI_TRY(visit(convert, "project_out.weight", -1));
    if (!config->norm_last) OBI_TRY(visit_with_bias(convert, visit, "output_norm", -1));
    if (!config->tied) OBI_TRY(visit(convert, "output.weight", -1));
    if (convert->source->rope_factors) OBI_TRY(visit(convert, "rope_freqs.weight", -1));
    for (uint32_t layer = 0; layer < config->layers; layer++) {
        snprintf(stem, sizeof stem, "blk.%u.attn_norm", layer);
        OBI_TRY(visit_with_bias(convert, visit, stem, -1));
        snprintf(stem, sizeof stem, "blk.%u.ffn_norm", layer);
        OBI_TRY(visit_with_bias(convert, visit, stem, -1));
        for (int i = 0; i < OBI_LINEAR_COUNT; i++) {
            if (!obi_config_has_linear(config, i)) continue;
            snprintf(stem, sizeof stem, "blk.%u.%s", layer, obi_linear_roles[i]);
            OBI_TRY(visit_with_bias(convert, visit, stem, i));
        }
    }
    return OBI_OK;
}

/* "blk.0.attn_q.weight" -> "blk.0.attn_q.input_factor" */
static void sibling(const char *name, const char *suffix, char out[64])
{
    snprintf(out, 64, "%.*s%s", (int)(strlen(name) - strlen("weight")), name, suffix);
}

static void declare(converter *convert, const char *name, obi_dtype type, uint64_t columns, uint64_t rows)
{
    uint64_t shape[2] = { columns, rows }, bytes = 0;
    obi_gguf_add_tensor(convert->writer, name, type, rows == 1 ? 1 : 2, shape);
    if (obi_dtype_bytes(type, columns, &bytes)) convert->report->tensor_bytes += bytes * rows;
}

static obi_status declare_tensor(converter *convert, const char *name, int linear)
{
    const obi_source_tensor *tensor = obi_source_find(convert->source, name);
    if (strcmp(name, "rope_freqs.weight") == 0) {
        declare(convert, name, OBI_DTYPE_F32, convert->config.rope_dimensions / 2, 1);
        return OBI_OK;
    }
    if (!tensor) return obi_fail(OBI_ERROR_DATA, "the tensor %s is missing", name);
    double weights = (double)tensor->rows * (double)tensor->columns;
    const obi_linear_maker *maker = maker_of(convert);
    convert->work_all += weights;
    if (linear >= 0) {
        convert->report->linear_weights += weights;
        convert->report->linear_bits += maker ? maker->bits(maker->user, (uint32_t)tensor->rows, (uint32_t)tensor->columns)
                                              : weights * (convert->desc->form == OBI_FORM_ONEBIT ? 1
                                                           : convert->desc->form == OBI_FORM_F16  ? 16
                                                                                                  : 32);
    }
    if (linear < 0 || writes_numbers(convert)) {
        declare(convert, name, dense_type(convert, name), tensor->columns, tensor->rows);
        return OBI_OK;
    }
    char vector[64];
    if (maker) {
        uint64_t planes = maker->storage == OBI_STORAGE_PLANES ? maker->planes : 1;
        if (maker->storage == OBI_STORAGE_PLANES)
            declare(convert, name, OBI_DTYPE_I32, obi_div_ceil(tensor->columns, 32), planes * tensor->rows);
        else declare(convert, name, OBI_DTYPE_I8, tensor->columns, tensor->rows);
        if (maker->input_factor) {
            sibling(name, "input_factor", vector);
            declare(convert, vector, OBI_DTYPE_F16, tensor->columns, 1);
        }
        sibling(name, "weight_scale", vector);
        declare(convert, vector, OBI_DTYPE_F16, planes * tensor->rows, 1);
        if (!maker->offset) return OBI_OK;
        sibling(name, "weight_offset", vector);
        declare(convert, vector, OBI_DTYPE_F16, tensor->rows, 1);
        return OBI_OK;
    }
    convert->report->linear_bits += 16.0 * ((double)tensor->rows + (double)tensor->columns);
    declare(convert, name, OBI_DTYPE_I32, obi_div_ceil(tensor->columns, 32), tensor->rows);
    sibling(name, "input_factor", vector);
    declare(convert, vector, OBI_DTYPE_F16, tensor->columns, 1);
    sibling(name, "weight_scale", vector);
    declare(convert, vector, OBI_DTYPE_F16, tensor->rows, 1);
    return OBI_OK;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

static obi_status check_finite(const char *name, float value)
{
    if (isfinite(value)) return OBI_OK;
    return obi_fail(OBI_ERROR_DATA, "the tensor %s holds %g: the model is damaged", name, (double)value);
}

static obi_status to_half(const char *name, float value, uint16_t *half)
{
    OBI_TRY(check_finite(name, value));
    *half = obi_float_to_half(value);
    if ((*half & 0x7c00) == 0x7c00)
        return obi_fail(OBI_ERROR_DATA, "the tensor %s holds %g, which F16 cannot; convert with --form f32", name, (double)value);
    return OBI_OK;
}

static obi_status write_floats(converter *convert, const char *name, obi_dtype type, const float *values, uint64_t count)
{
    if (type == OBI_DTYPE_F32) {
        for (uint64_t i = 0; i < count; i++) OBI_TRY(check_finite(name, values[i]));
        return obi_gguf_write(convert->writer, values, count * 4); /* little-endian hosts only, as all Vulkan ones are */
    }
    uint16_t *halves = (uint16_t *)(void *)convert->bytes;
    for (uint64_t i = 0; i < count; i++) OBI_TRY(to_half(name, values[i], &halves[i]));
    return obi_gguf_write(convert->writer, halves, count * 2);
}

/* GGUF's architecture "llama" means adjacent pairs: q and k of a Hugging Face model change their row order. */
static bool needs_permutation(const converter *convert, int linear)
{
    return (linear == OBI_LINEAR_Q || linear == OBI_LINEAR_K) && convert->config.rope_layout != convert->source->config.rope_layout;
}

/* Pages are let go as the reading goes on: a 70B model's embedding is gigabytes in the file. Rows that are wanted after all
 * are read again. */
static void release_rows(const obi_source_tensor *tensor, uint64_t first, uint64_t count)
{
    if (!tensor->mapping) return;
    uint64_t start = (uint64_t)(tensor->data - tensor->mapping->data);
    obi_mapping_release(tensor->mapping, start + first * tensor->row_bytes, count * tensor->row_bytes);
}

static obi_status write_dense(converter *convert, const obi_source_tensor *tensor, const char *name, int linear)
{
    const obi_config *config = &convert->config;
    obi_dtype type = dense_type(convert, name);
    bool permute = needs_permutation(convert, linear);
    uint64_t rows_at_once = convert->chunk_floats / tensor->columns;
    if (rows_at_once == 0) rows_at_once = 1;
    for (uint64_t first = 0; first < tensor->rows; first += rows_at_once) {
        uint64_t count = tensor->rows - first < rows_at_once ? tensor->rows - first : rows_at_once;
        if (!permute) {
            OBI_TRY(obi_source_read(tensor, first, count, convert->floats));
        } else {
            for (uint64_t i = 0; i < count; i++) {
                uint64_t row = obi_rope_source_row(convert->source->config.rope_layout, config->rope_layout, config->head_size,
                                                   config->rope_dimensions, first + i);
                OBI_TRY(obi_source_read(tensor, row, 1, convert->floats + i * tensor->columns));
            }
        }
        OBI_TRY(write_floats(convert, name, type, convert->floats, count * tensor->columns));
        release_rows(tensor, first, count);
        OBI_TRY(progress(convert, (double)count * (double)tensor->columns, name));
    }
    obi_source_release(tensor);
    return OBI_OK;
}

/* A source that is 1-bit already: words as they are, scales as F16. */
static obi_status write_signs(converter *convert, const obi_source_tensor *tensor, const char *name)
{
    uint64_t row_words = obi_div_ceil(tensor->columns, 32);
    uint64_t rows_at_once = convert->chunk_floats / row_words;
    uint32_t *words = (uint32_t *)(void *)convert->bytes;
    if (rows_at_once == 0) rows_at_once = 1;
    for (uint64_t first = 0; first < tensor->rows; first += rows_at_once) {
        uint64_t count = tensor->rows - first < rows_at_once ? tensor->rows - first : rows_at_once;
        OBI_TRY(obi_source_read_signs(tensor, first, count, words));
        OBI_TRY(obi_gguf_write(convert->writer, words, count * row_words * 4));
        OBI_TRY(progress(convert, (double)count * (double)tensor->columns, name));
    }
    static const char *const suffixes[2] = { "input_factor", "weight_scale" };
    for (int i = 0; i < 2; i++) {
        char vector[64];
        sibling(name, suffixes[i], vector);
        const obi_source_tensor *scale = obi_source_find(convert->source, vector);
        if (!scale) return obi_fail(OBI_ERROR_DATA, "the tensor %s is missing", vector);
        OBI_TRY(obi_source_read(scale, 0, 1, convert->floats));
        OBI_TRY(write_floats(convert, vector, OBI_DTYPE_F16, convert->floats, scale->columns));
    }
    obi_source_release(tensor);
    return OBI_OK;
}

static obi_status upload_matrix(converter *convert, const obi_source_tensor *tensor, const obi_weight *weight)
{
    uint64_t rows_at_once = convert->chunk_floats / tensor->columns;
    if (rows_at_once == 0) rows_at_once = 1;
    for (uint64_t first = 0; first < tensor->rows; first += rows_at_once) {
        uint64_t count = tensor->rows - first < rows_at_once ? tensor->rows - first : rows_at_once;
        OBI_TRY(obi_source_read(tensor, first, count, convert->floats));
        OBI_TRY(
            obi_weight_upload(convert->upload, weight, (uint32_t)first, (uint32_t)count, (const uint32_t *)(const void *)convert->floats));
        release_rows(tensor, first, count);
    }
    return obi_upload_finish(convert->upload);
}

static obi_status write_words(void *user, uint32_t first, uint32_t count, const uint32_t *words)
{
    (void)first;
    converter *convert = user;
    return obi_gguf_write(convert->writer, words, (uint64_t)count * convert->row_words * 4);
}

static obi_status write_svid(converter *convert, const obi_source_tensor *tensor, const char *name)
{
    obi_weight weight = { 0 };
    obi_svid_result result;
    uint32_t rows = (uint32_t)tensor->rows, columns = (uint32_t)tensor->columns;
    obi_svid_options options = { .rank1_iterations = OBI_SVID_RANK1_ITERATIONS, .seed = 1, .words = write_words, .user = convert };
    obi_convert_row *row = &convert->report->layers[convert->report->layer_count];
    convert->row_words = obi_weight_row_words(OBI_WEIGHT_SIGN, columns);
    obi_status status;
    OBI_TRY_GOTO(obi_weight_create(convert->device, OBI_WEIGHT_F32, rows, columns, 0, &weight));
    OBI_TRY_GOTO(upload_matrix(convert, tensor, &weight));
    status = obi_svid_run(convert->svid, &weight, &options, &result);
    if (status != OBI_OK) {
        obi_fail_prefix(status, "the tensor %s", name);
        goto done;
    }
    OBI_TRY_GOTO(write_floats(convert, name, OBI_DTYPE_F16, result.b, columns));
    OBI_TRY_GOTO(write_floats(convert, name, OBI_DTYPE_F16, result.a, rows));
    snprintf(row->name, sizeof row->name, "%s", name);
    row->rows = rows;
    row->columns = columns;
    row->error = row->error_svid = result.error_svid;
    row->output_error = (double)NAN;
    row->error_rank1 = result.error_rank1;
    row->error_xnor = result.error_xnor;
    row->norm2 = result.norm2;
    row->bits = (double)rows * columns + 16.0 * ((double)rows + columns);
    convert->report->layer_count++;
    status = progress(convert, (double)rows * columns, name);
done:
    obi_weight_destroy(convert->device, &weight);
    return status;
}

/* ---- what a maker made ----------------------------------------------------------------------------------------- */

static obi_status pack_planes(const obi_codes *codes, const obi_planes *planes)
{
    float *steps = obi_calloc(codes->rows, sizeof *steps), *zeros = obi_calloc(codes->rows, sizeof *zeros);
    obi_status status = steps && zeros ? OBI_OK : OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < codes->rows && status == OBI_OK; i++) {
        steps[i] = codes->grids[i].scale;
        zeros[i] = codes->grids[i].zero;
    }
    if (status == OBI_OK) status = obi_planes_pack(codes->bits, codes->rows, codes->columns, codes->codes, steps, zeros, planes);
    obi_free(steps);
    obi_free(zeros);
    return status;
}

static obi_status write_factors(converter *convert, const obi_made_linear *made, const char *name)
{
    uint32_t n = made->codes->columns;
    for (uint32_t j = 0; j < n; j++) convert->floats[j] = made->factors ? made->factors[j] : 1;
    return write_floats(convert, name, OBI_DTYPE_F16, convert->floats, n);
}

static obi_status write_planes(converter *convert, const obi_made_linear *made, const char *name)
{
    const obi_codes *codes = made->codes;
    uint64_t words = obi_planes_words(codes->bits, codes->rows, codes->columns), scales = (uint64_t)codes->bits * codes->rows;
    obi_planes planes = { obi_calloc(words, 4), obi_calloc(scales, 2), NULL };
    obi_status status = planes.words && planes.scale ? OBI_OK : OBI_ERROR_MEMORY;
    if (status == OBI_OK && maker_of(convert)->offset) {
        planes.offset = obi_calloc(codes->rows, 2);
        if (!planes.offset) status = OBI_ERROR_MEMORY;
    }
    if (status != OBI_OK) goto done;
    OBI_TRY_GOTO(pack_planes(codes, &planes));
    OBI_TRY_GOTO(obi_gguf_write(convert->writer, planes.words, words * 4));
    if (maker_of(convert)->input_factor) OBI_TRY_GOTO(write_factors(convert, made, name));
    OBI_TRY_GOTO(obi_gguf_write(convert->writer, planes.scale, scales * 2));
    if (planes.offset) status = obi_gguf_write(convert->writer, planes.offset, codes->rows * 2ull);
done:
    obi_free(planes.words);
    obi_free(planes.scale);
    obi_free(planes.offset);
    return status;
}

static uint64_t row_of_source(const converter *convert, int linear, uint64_t row)
{
    if (!needs_permutation(convert, linear)) return row;
    return obi_rope_source_row(convert->source->config.rope_layout, convert->config.rope_layout, convert->config.head_size,
                               convert->config.rope_dimensions, row);
}

static obi_status write_numbers(converter *convert, const obi_made_linear *made, const char *name, int linear)
{
    const obi_codes *codes = made->codes;
    for (uint32_t row = 0; row < codes->rows; row++) {
        obi_codes_row(codes, (uint32_t)row_of_source(convert, linear, row), convert->floats);
        for (uint32_t j = 0; made->factors && j < codes->columns; j++) convert->floats[j] *= made->factors[j];
        OBI_TRY(write_floats(convert, name, OBI_DTYPE_F16, convert->floats, codes->columns));
    }
    return OBI_OK;
}

static obi_status write_bytes(converter *convert, const obi_made_linear *made, const char *name, uint32_t rows, uint32_t columns)
{
    char vector[64];
    OBI_TRY(obi_gguf_write(convert->writer, made->bytes, (uint64_t)rows * columns));
    sibling(name, "weight_scale", vector);
    return write_floats(convert, vector, OBI_DTYPE_F16, made->scales, rows);
}

static obi_status write_made(converter *convert, const obi_source_tensor *tensor, const char *name, int linear)
{
    const obi_linear_maker *maker = maker_of(convert);
    obi_convert_row *row = &convert->report->layers[convert->report->layer_count];
    obi_made_linear made = { 0 };
    uint32_t rows = (uint32_t)tensor->rows, columns = (uint32_t)tensor->columns;
    uint32_t layer = (uint32_t)strtoul(name + strlen("blk."), NULL, 10);
    OBI_TRY(maker->make(maker->user, layer, linear, part_of_layer, convert, &made));
    if (maker->storage == OBI_STORAGE_PLANES) OBI_TRY(write_planes(convert, &made, name));
    else if (maker->storage == OBI_STORAGE_HALVES) OBI_TRY(write_numbers(convert, &made, name, linear));
    else OBI_TRY(write_bytes(convert, &made, name, rows, columns));
    snprintf(row->name, sizeof row->name, "%s", name);
    row->rows = rows;
    row->columns = columns;
    row->error = made.error;
    row->output_error = made.output_error;
    row->error_svid = row->error_rank1 = row->error_xnor = (double)NAN;
    row->norm2 = made.norm2;
    double wide = made.codes ? obi_codes_wide_zero_bits(made.codes) : 0;
    row->bits = maker->bits(maker->user, rows, columns) + wide;
    convert->report->linear_bits += wide;
    convert->has_wide_zeros = convert->has_wide_zeros || wide > 0;
    convert->report->layer_count++;
    return progress(convert, (double)rows * columns, name);
}

static obi_status write_tensor(converter *convert, const char *name, int linear)
{
    if (strcmp(name, "rope_freqs.weight") == 0)
        return obi_gguf_write(convert->writer, convert->source->rope_factors, convert->config.rope_dimensions / 2 * 4ull);
    const obi_source_tensor *tensor = obi_source_find(convert->source, name);
    obi_status status;
    if (linear >= 0 && maker_of(convert)) status = write_made(convert, tensor, name, linear);
    else if (linear < 0 || convert->desc->form != OBI_FORM_ONEBIT) status = write_dense(convert, tensor, name, linear);
    else if (tensor->signs) status = write_signs(convert, tensor, name);
    else status = write_svid(convert, tensor, name);
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

/* What the file says of linears that a maker makes. */
static obi_status prepare_made(converter *convert)
{
    const obi_linear_maker *maker = maker_of(convert);
    const obi_config *config = &convert->source->config;
    if (config->onebit || convert->desc->form != OBI_FORM_ONEBIT)
        return obi_fail(OBI_ERROR_ARGUMENT, "the method %s is for ordinary models and the form onebit", maker->method);
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        uint32_t rows, columns;
        obi_config_linear_shape(config, kind, &rows, &columns);
        convert->layer_work += (double)rows * columns;
    }
    if (maker->storage == OBI_STORAGE_HALVES) {
        if (config->family == OBI_FAMILY_LLAMA) convert->config.rope_layout = OBI_ROPE_PAIRS;
        return OBI_OK;
    }
    convert->config.onebit = true;
    convert->config.post_norm = false;
    convert->config.int8_rows = maker->storage == OBI_STORAGE_BYTES;
    convert->config.int8_threshold = maker->int8_threshold;
    convert->config.no_input_factor = !convert->config.int8_rows && !maker->input_factor;
    convert->config.planes = convert->config.int8_rows ? 1 : maker->planes;
    convert->config.offset = maker->offset;
    return OBI_OK;
}

static const char linear_bits[] = "onebit.linear_bits";

static float said_bits(const converter *convert) { return (float)(convert->report->linear_bits / convert->report->linear_weights); }

static void put_method(converter *convert)
{
    const obi_linear_maker *maker = maker_of(convert);
    if (convert->desc->form != OBI_FORM_ONEBIT || convert->source->config.onebit) return;
    obi_gguf_put_string(convert->writer, "onebit.method", maker ? maker->method : "svid");
    obi_gguf_put_f32(convert->writer, linear_bits, said_bits(convert));
}

static obi_status prepare(converter *convert)
{
    const obi_source *source = convert->source;
    uint64_t longest = 0;
    for (size_t i = 0; i < source->tensor_count; i++)
        if (source->tensors[i].columns > longest) longest = source->tensors[i].columns;
    if (source->tensor_count == 0 || longest == 0) return obi_fail(OBI_ERROR_DATA, "the model has no tensors");
    convert->chunk_floats = CHUNK_BYTES / 4 > longest ? CHUNK_BYTES / 4 : longest;
    convert->floats = obi_calloc(convert->chunk_floats, 4);
    convert->bytes = obi_calloc(convert->chunk_floats, 4);
    convert->report->layers = obi_calloc((size_t)source->config.layers * OBI_LINEAR_COUNT, sizeof *convert->report->layers);
    if (!convert->floats || !convert->bytes || !convert->report->layers) return OBI_ERROR_MEMORY;

    convert->config = source->config;
    if (maker_of(convert)) return prepare_made(convert);
    if (convert->desc->form == OBI_FORM_ONEBIT) {
        if (!source->config.onebit) {
            convert->config.onebit = true;
            convert->config.post_norm = true;
            convert->config.post_norm_eps = 1e-5f;
            if (!convert->device) return obi_fail(OBI_ERROR_NO_DEVICE, "decomposing a model to 1 bit needs a Vulkan device");
            OBI_TRY(obi_upload_create(convert->device, &convert->upload));
            OBI_TRY(obi_svid_create(convert->device, convert->upload, &convert->svid));
        }
    } else {
        if (source->config.onebit)
            return obi_fail(OBI_ERROR_ARGUMENT, "the input is a 1-bit model; it can only be written with --form onebit");
        if (source->config.family == OBI_FAMILY_LLAMA) convert->config.rope_layout = OBI_ROPE_PAIRS;
    }
    return OBI_OK;
}

obi_status obi_convert(obi_device *device, const obi_source *source, const obi_convert_desc *desc, obi_convert_report *report)
{
    memset(report, 0, sizeof *report);
    converter convert = { .device = device, .source = source, .desc = desc, .report = report };
    obi_status status;
    OBI_TRY_GOTO(prepare(&convert));
    OBI_TRY_GOTO(obi_gguf_writer_create(&convert.writer, desc->output));
    obi_config_to_gguf(&convert.config, convert.writer);
    obi_gguf_put_u32(convert.writer, "general.file_type", desc->form == OBI_FORM_F32 ? 0 : 1); /* all F32, or mostly F16 */
    obi_gguf_put_string(convert.writer, "general.name", source->name ? source->name : "model");
    if (source->vocab.count > 0) obi_vocab_to_gguf(&source->vocab, convert.writer);
    OBI_TRY_GOTO(for_each_tensor(&convert, declare_tensor));
    put_method(&convert);
    OBI_TRY_GOTO(obi_gguf_writer_begin(convert.writer));
    OBI_TRY_GOTO(for_each_tensor(&convert, write_tensor));
    if (convert.has_wide_zeros) OBI_TRY_GOTO(obi_gguf_rewrite_f32(convert.writer, linear_bits, said_bits(&convert)));
    status = obi_gguf_writer_commit(convert.writer, &report->file_bytes);
    convert.writer = NULL;
done:
    obi_gguf_writer_abandon(convert.writer);
    obi_svid_destroy(convert.svid);
    obi_upload_destroy(convert.upload);
    obi_free(convert.floats);
    obi_free(convert.bytes);
    if (status != OBI_OK) obi_convert_report_clear(report);
    return status;
}

void obi_convert_report_clear(obi_convert_report *report)
{
    obi_free(report->layers);
    memset(report, 0, sizeof *report);
}

#include "engine/random_weights.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/rng.h"
#include "ops/matrix.h"
#include "ops/op_planes.h"
#include "ops/sign_family.h"

#define PIECE_BYTES (1u << 20)

/* ---- the shape ------------------------------------------------------------------------------------------------- */

static obi_status refuse(const char *sentence) { return obi_fail(OBI_ERROR_ARGUMENT, "a model of this shape cannot be: %s", sentence); }

obi_status obi_random_config(uint32_t width, uint32_t ffn, uint32_t layers, uint32_t heads, uint32_t kv_heads, uint32_t vocabulary,
                             uint32_t context, obi_config *out)
{
    if (width == 0 || ffn == 0 || layers == 0 || heads == 0 || kv_heads == 0 || vocabulary == 0 || context == 0)
        return refuse("each size must be at least 1");
    if (width % heads != 0) return refuse("the width is no multiple of the heads");
    if (heads % kv_heads != 0) return refuse("the heads are no multiple of the kv_heads");
    if (width / heads % 2 != 0 || width / heads > 256) return refuse("the width of a head must be even and at most 256");
    if (width > OBI_MATRIX_COLUMNS_MAX || ffn > OBI_MATRIX_COLUMNS_MAX) return refuse("width and ffn go up to 65536");
    if (layers > 1024) return refuse("layers go up to 1024");
    if (vocabulary > 1u << 22) return refuse("vocab goes up to 4194304");
    if (context > 1u << 24) return refuse("contexts go up to 16777216");
    *out = (obi_config){ .onebit = true,
                         .post_norm = true,
                         .post_norm_eps = 1e-5f,
                         .width = width,
                         .layers = layers,
                         .heads = heads,
                         .kv_heads = kv_heads,
                         .head_size = width / heads,
                         .ffn = ffn,
                         .vocabulary = vocabulary,
                         .context = context,
                         .norm_eps = 1e-5f,
                         .rope_theta = 10000,
                         .rope_dimensions = width / heads,
                         .rope_scale = 1,
                         .rope_layout = OBI_ROPE_HALF };
    return obi_config_check(out);
}

obi_status obi_random_config_planes(obi_config *config, uint32_t planes)
{
    if (planes > OBI_PLANES_MAX) return refuse("there are up to 4 sign planes");
    config->planes = planes;
    config->offset = config->no_input_factor = true;
    config->post_norm = false;
    return obi_config_check(config);
}

static uint64_t matrix_bytes(obi_weight_type type, uint32_t rows, uint32_t columns)
{
    return (uint64_t)rows * obi_weight_row_words(type, columns) * 4;
}

uint64_t obi_random_weights_bytes(const obi_device *device, const obi_config *config)
{
    uint64_t layer = (uint64_t)config->width * 8, bytes;
    for (int i = 0; i < OBI_LINEAR_COUNT; i++) {
        uint32_t rows, columns;
        obi_config_linear_shape(config, i, &rows, &columns);
        uint32_t all = (uint32_t)obi_planes_rows(rows, obi_config_planes(config), config->offset);
        layer += obi_sign_weight_bytes(device, all, columns) + obi_scales_floats(all, columns) * 4;
        if (config->offset) layer += obi_align_up((uint64_t)rows * 4, OBI_BUFFER_ALIGNMENT);
    }
    bytes = layer * config->layers + (uint64_t)config->width * 4; /* at most 2^10 layers of 7 * 2^30 bytes: no overflow */
    return bytes + 2 * matrix_bytes(OBI_WEIGHT_F16, config->vocabulary, config->width);
}

/* ---- the contents ---------------------------------------------------------------------------------------------- */

typedef struct maker {
    obi_device *device;
    obi_upload *upload;
    obi_weights *weights;
    obi_rng rng;
    uint32_t *words; /* a piece: PIECE_BYTES, or one row if that is more */
    obi_weights_progress progress;
    void *user;
    uint64_t bytes_all;
} maker;

static obi_status account(maker *make, uint64_t bytes, const char *what)
{
    make->weights->device_bytes += bytes;
    double fraction = (double)make->weights->device_bytes / (double)make->bytes_all;
    if (make->progress && !make->progress(fraction, what, make->user))
        return obi_fail(OBI_ERROR_CANCELLED, "making the model was cancelled");
    return OBI_OK;
}

/* Halves of random sign and mantissa from 2^-6 to 2^-5: with rows of that size logits of a normalised vector are of order 1. */
static uint32_t two_halves(uint64_t bits) { return ((uint32_t)bits & 0x83ff83ffu) | 0x24002400u; }

static void fill_rows(maker *make, const obi_weight *weight, uint32_t rows)
{
    uint64_t count = (uint64_t)rows * weight->row_words;
    for (uint64_t i = 0; i < count; i += 2) {
        uint64_t bits = obi_rng_next(&make->rng);
        bool last = i + 1 == count;
        make->words[i] = obi_weight_is_signs(weight->type) ? (uint32_t)bits : two_halves(bits);
        if (!last) make->words[i + 1] = obi_weight_is_signs(weight->type) ? (uint32_t)(bits >> 32) : two_halves(bits >> 32);
    }
    uint32_t in_word = obi_weight_is_signs(weight->type) ? 32 : 2, rest = weight->columns % in_word;
    if (rest == 0) return;
    uint32_t mask = (1u << rest * (32 / in_word)) - 1; /* the pad behind the last column is 0 */
    for (uint32_t row = 1; row <= rows; row++) make->words[(uint64_t)row * weight->row_words - 1] &= mask;
}

/* Fills a weight that was created. */
static obi_status fill_matrix(maker *make, const char *what, const obi_weight *out)
{
    uint32_t rows = out->rows;
    uint32_t row_bytes = out->row_words * 4, at_once = obi_weight_upload_rows(out, PIECE_BYTES);
    for (uint32_t first = 0; first < rows; first += at_once) {
        uint32_t count = rows - first < at_once ? rows - first : at_once;
        fill_rows(make, out, count);
        OBI_TRY(obi_weight_upload(make->upload, out, first, count, make->words));
    }
    return account(make, (uint64_t)rows * row_bytes, what);
}

/* Of halves. */
static obi_status make_matrix(maker *make, uint32_t rows, uint32_t columns, const char *what, obi_weight *out)
{
    OBI_TRY(obi_weight_create(make->device, OBI_WEIGHT_F16, rows, columns, 0, out));
    make->weights->parameters += (uint64_t)rows * columns;
    return fill_matrix(make, what, out);
}

/* Numbers from 0.5 to 1.5. */
static obi_status fill_vector(maker *make, uint64_t count, const char *what, const obi_buffer *out)
{
    float *values = obi_calloc((size_t)count, sizeof *values);
    if (!values) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i++) values[i] = (float)(0.5 + obi_rng_uniform(&make->rng));
    obi_status status = obi_upload_bytes(make->upload, obi_view_of(out), values, count * 4);
    obi_free(values);
    return status == OBI_OK ? account(make, count * 4, what) : status;
}

static obi_status make_vector(maker *make, uint64_t count, const char *what, obi_buffer **out)
{
    OBI_TRY(obi_buffer_create(make->device, count * 4, OBI_MEMORY_DEVICE, out));
    return fill_vector(make, count, what, *out);
}

static obi_status make_layer(maker *make, uint32_t index)
{
    const obi_config *config = &make->weights->config;
    obi_layer_weights *layer = &make->weights->layers[index];
    char what[32];
    snprintf(what, sizeof what, "random layer %u", index + 1);
    OBI_TRY(make_vector(make, config->width, what, &layer->attn_norm));
    OBI_TRY(make_vector(make, config->width, what, &layer->ffn_norm));
    make->weights->parameters += 2 * (uint64_t)config->width;
    uint64_t scale_floats;
    OBI_TRY(obi_layer_signs_create(make->device, config, layer, &scale_floats));
    for (int i = 0; i < OBI_LINEAR_COUNT; i++) {
        OBI_TRY(fill_matrix(make, what, &layer->linear[i].weight));
        make->weights->parameters += (uint64_t)obi_linear_rows(&layer->linear[i]) * layer->linear[i].weight.columns;
    }
    return fill_vector(make, scale_floats, what, layer->scales);
}

obi_status obi_random_weights_create(obi_device *device, const obi_config *config, uint64_t seed, obi_weights_progress progress, void *user,
                                     obi_weights **out)
{
    *out = NULL;
    uint64_t bytes = obi_random_weights_bytes(device, config);
    OBI_TRY(obi_memory_fits(device, bytes, "the weights"));
    obi_weights *weights = obi_calloc(1, sizeof *weights);
    if (!weights) return OBI_ERROR_MEMORY;
    weights->device = device;
    weights->config = *config;
    maker make = { .device = device, .weights = weights, .rng = obi_rng_seed(seed), .progress = progress, .user = user };
    make.bytes_all = bytes;
    uint64_t row_bytes = (uint64_t)config->width * 2 + 4; /* the widest row is one of halves */
    obi_status status;
    weights->layers = obi_calloc(config->layers, sizeof *weights->layers);
    make.words = obi_calloc(1, row_bytes > PIECE_BYTES ? row_bytes : PIECE_BYTES);
    if (!weights->layers || !make.words) {
        status = OBI_ERROR_MEMORY;
        goto done;
    }
    OBI_TRY_GOTO(obi_upload_create(device, &make.upload));
    obi_upload_in_place(make.upload);
    OBI_TRY_GOTO(make_matrix(&make, config->vocabulary, config->width, "random embedding", &weights->embedding));
    OBI_TRY_GOTO(make_vector(&make, config->width, "random norm", &weights->output_norm));
    weights->parameters += config->width;
    OBI_TRY_GOTO(make_matrix(&make, config->vocabulary, config->width, "random head", &weights->head));
    for (uint32_t i = 0; i < config->layers; i++) OBI_TRY_GOTO(make_layer(&make, i));
    OBI_TRY_GOTO(obi_upload_finish(make.upload));
done:
    obi_upload_destroy(make.upload);
    obi_free(make.words);
    if (status != OBI_OK) obi_weights_free(weights);
    else *out = weights;
    return status;
}

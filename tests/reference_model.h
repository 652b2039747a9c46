/* reference_model: a LLaMA or OneBit model run in double straight from its GGUF file, one token after the other. Written
 * from the equations (onebit notes, section 1.1, and the LLaMA paper's), not from the engine: what both agree on is right.
 *
 * It can also add random errors of the size that f32 or half arithmetic makes, at every step where that rounds. The
 * spread of the logits over some such runs is what a right engine may differ by: see reference_tolerance. */
#ifndef OB_TESTS_REFERENCE_MODEL_H
#define OB_TESTS_REFERENCE_MODEL_H

#include <math.h>
#include <string.h>

#include "data.h"
#include "core/rng.h"
#include "model/config.h"

enum { REF_Q, REF_K, REF_V, REF_O, REF_GATE, REF_UP, REF_DOWN, REF_LINEARS };

/* (rows, columns) numbers, or signs with g (columns) and h (rows). Several sign planes are their sum, dense numbers: the engine adds up
 * in another way. */
typedef struct reference_linear {
    uint32_t rows, columns;
    obi_dtype type; /* in the file */
    float *w;       /* signs as +1 and -1 */
    float *g, *h;   /* NULL where the weight is dense; g also where the file has none, h where w holds it */
    float threshold; /* of bytes: inputs below it in size are rounded to 127th parts of the largest; else 0 */
    float *parts;   /* (rows) of several planes: the root of the sum of the squares of what a weight is the sum of; else NULL */
} reference_linear;

typedef struct reference_layer {
    float *attn_norm, *ffn_norm;
    reference_linear linear[REF_LINEARS];
} reference_layer;

typedef struct reference_model {
    obi_config config;
    reference_linear embedding, head; /* head.w NULL: the embedding */
    float *output_norm, *factors;
    reference_layer *layers;
} reference_model;

/* ---- the file -------------------------------------------------------------------------------------------------- */

static inline float *reference_floats(const obi_gguf *gguf, const char *name, bool required, obi_dtype *type)
{
    const obi_gguf_tensor *tensor = obi_gguf_find_tensor(gguf, name);
    if (!tensor && !required) return NULL;
    if (!tensor) fail_msg("the reference finds no tensor %s", name);
    uint64_t count = tensor->shape[0] * tensor->shape[1];
    float *values = malloc(count * sizeof *values);
    if (obi_dtype_to_float(tensor->type, tensor->data, count, values) != OBI_OK) fail_msg("%s: %s", name, obi_last_error());
    if (type) *type = tensor->type;
    return values;
}

static inline reference_linear reference_dense(const obi_gguf *gguf, const char *name, bool required, uint32_t rows, uint32_t columns)
{
    reference_linear linear = { .rows = rows, .columns = columns };
    linear.w = reference_floats(gguf, name, required, &linear.type);
    return linear;
}

/* Signs: word j of a row holds columns 32j .. 32j+31, the lowest bit first; 1 is -1. */
static inline reference_linear reference_signs(const obi_gguf *gguf, const char *stem, uint32_t rows, uint32_t columns)
{
    reference_linear linear = { .rows = rows, .columns = columns, .type = OBI_DTYPE_I32 };
    linear.w = malloc((size_t)rows * columns * sizeof *linear.w);
    char name[80];
    snprintf(name, sizeof name, "%s.weight", stem);
    const obi_gguf_tensor *tensor = obi_gguf_find_tensor(gguf, name);
    if (!tensor || tensor->type != OBI_DTYPE_I32) fail_msg("the reference finds no signs in %s", name);
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < columns; j++) {
            const uint8_t *row = tensor->data + (size_t)i * ((columns + 31) / 32) * 4; /* little-endian: byte j / 8 */
            linear.w[(size_t)i * columns + j] = row[j / 8] >> j % 8 & 1 ? -1.0f : 1.0f;
        }
    snprintf(name, sizeof name, "%s.input_factor", stem);
    linear.g = reference_floats(gguf, name, false, NULL); /* the engine refuses a file that should have it */
    snprintf(name, sizeof name, "%s.weight_scale", stem);
    linear.h = reference_floats(gguf, name, true, NULL);
    return linear;
}

/* Plane p of output i is row p m + i: W_ij = sum_p h_pi S_pij + h_0i o_i. */
static inline reference_linear reference_planes(const obi_gguf *gguf, const obi_config *config, const char *stem, uint32_t rows,
                                                uint32_t columns)
{
    uint32_t planes = obi_config_planes(config);
    reference_linear stack = reference_signs(gguf, stem, planes * rows, columns), linear = stack;
    char name[80];
    snprintf(name, sizeof name, "%s.weight_offset", stem);
    float *o = reference_floats(gguf, name, config->offset, NULL);
    linear.rows = rows;
    linear.h = NULL;
    linear.w = malloc((size_t)rows * columns * sizeof *linear.w);
    linear.parts = malloc(rows * sizeof *linear.parts);
    for (uint32_t i = 0; i < rows; i++) {
        double c = o ? (double)stack.h[i] * (double)o[i] : 0, squares = c * c;
        for (uint32_t p = 0; p < planes; p++) squares += (double)stack.h[p * rows + i] * (double)stack.h[p * rows + i];
        linear.parts[i] = (float)sqrt(squares);
        for (uint32_t j = 0; j < columns; j++) {
            double sum = c;
            for (size_t row = i; row < (size_t)planes * rows; row += rows) sum += (double)stack.h[row] * (double)stack.w[row * columns + j];
            linear.w[(size_t)i * columns + j] = (float)sum;
        }
    }
    free(stack.w);
    free(stack.h);
    free(o);
    return linear;
}

/* Bytes and a scale for each row as numbers. */
static inline reference_linear reference_int8(const obi_gguf *gguf, const obi_config *config, const char *stem, uint32_t rows,
                                              uint32_t columns)
{
    reference_linear linear = { .rows = rows, .columns = columns, .type = OBI_DTYPE_I8, .threshold = config->int8_threshold };
    char name[80];
    snprintf(name, sizeof name, "%s.weight_scale", stem);
    float *scales = reference_floats(gguf, name, true, NULL);
    snprintf(name, sizeof name, "%s.weight", stem);
    const obi_gguf_tensor *tensor = obi_gguf_find_tensor(gguf, name);
    if (!tensor || tensor->type != OBI_DTYPE_I8) fail_msg("the reference finds no bytes in %s", name);
    linear.w = malloc((size_t)rows * columns * sizeof *linear.w);
    for (size_t i = 0; i < (size_t)rows * columns; i++) linear.w[i] = scales[i / columns] * (float)(int8_t)tensor->data[i]; /* exact */
    free(scales);
    return linear;
}

static inline reference_model *reference_open(const char *path)
{
    static const char *const roles[REF_LINEARS] = { "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down" };
    obi_gguf gguf;
    reference_model *model = calloc(1, sizeof *model);
    if (obi_gguf_open(&gguf, path) != OBI_OK || obi_config_from_gguf(&model->config, &gguf) != OBI_OK) fail_msg("%s", obi_last_error());
    const obi_config *config = &model->config;
    uint32_t D = config->width, F = config->ffn, q = config->heads * config->head_size, kv = config->kv_heads * config->head_size;
    const uint32_t shapes[REF_LINEARS][2] = { { q, D }, { kv, D }, { kv, D }, { D, q }, { F, D }, { F, D }, { D, F } };
    model->embedding = reference_dense(&gguf, "token_embd.weight", true, config->vocabulary, D);
    model->head = reference_dense(&gguf, "output.weight", false, config->vocabulary, D);
    model->output_norm = reference_floats(&gguf, "output_norm.weight", true, NULL);
    model->factors = reference_floats(&gguf, "rope_freqs.weight", false, NULL);
    model->layers = calloc(config->layers, sizeof *model->layers);
    for (uint32_t l = 0; l < config->layers; l++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.attn_norm.weight", l);
        model->layers[l].attn_norm = reference_floats(&gguf, name, true, NULL);
        snprintf(name, sizeof name, "blk.%u.ffn_norm.weight", l);
        model->layers[l].ffn_norm = reference_floats(&gguf, name, true, NULL);
        for (int i = 0; i < REF_LINEARS; i++) {
            reference_linear *linear = &model->layers[l].linear[i];
            snprintf(name, sizeof name, "blk.%u.%s%s", l, roles[i], config->onebit ? "" : ".weight");
            if (!config->onebit) *linear = reference_dense(&gguf, name, true, shapes[i][0], shapes[i][1]);
            else if (obi_config_is_svid(config)) *linear = reference_signs(&gguf, name, shapes[i][0], shapes[i][1]);
            else if (config->int8_rows) *linear = reference_int8(&gguf, config, name, shapes[i][0], shapes[i][1]);
            else *linear = reference_planes(&gguf, config, name, shapes[i][0], shapes[i][1]);
        }
    }
    obi_gguf_close(&gguf);
    return model;
}

static inline void reference_close(reference_model *model)
{
    for (uint32_t l = 0; l < model->config.layers; l++) {
        for (int i = 0; i < REF_LINEARS; i++) {
            free(model->layers[l].linear[i].w);
            free(model->layers[l].linear[i].g);
            free(model->layers[l].linear[i].h);
            free(model->layers[l].linear[i].parts);
        }
        free(model->layers[l].attn_norm);
        free(model->layers[l].ffn_norm);
    }
    free(model->layers);
    free(model->embedding.w);
    free(model->head.w);
    free(model->output_norm);
    free(model->factors);
    free(model);
}

/* ---- the equations --------------------------------------------------------------------------------------------- */

/* What arithmetic adds; NULL: nothing. */
typedef struct reference_noise {
    bool half_layers, half_head; /* matrix-vector kernels of tier C: sums of signs, and products with F16 weights, in half */
    bool half_cache;             /* keys and values are kept as halves */
    bool byte_cache;             /* or as bytes, with a scale for each head's vector */
    bool half;                   /* of these, what holds for the matrix at hand */
    obi_rng rng;
} reference_noise;

/* Each element of a vector to within half a scale, any error as likely: a deviation of 1 / sqrt(12) of it. */
static inline void reference_bytes(double *x, uint32_t C, reference_noise *noise)
{
    double top = 0;
    for (uint32_t c = 0; c < C; c++) top = fmax(top, fabs(x[c]));
    for (uint32_t c = 0; c < C; c++) x[c] += top / 127 / sqrt(12) * obi_rng_normal(&noise->rng);
}

/* Some roundings to f32, and functions (exp, 1/sqrt, sin) that Vulkan allows a few units: 2^-22 of the value. */
static inline double reference_round(double value, reference_noise *noise)
{
    return noise ? value * (1 + 0x1p-22 * obi_rng_normal(&noise->rng)) : value;
}

/* The deviation of a sum of `terms` products whose squares add up to `squares`. Sequential f32 sums of terms of random
 * sign: 0.41 * 2^-24 * sqrt(terms * squares), and 2^-24 for the products. In half: 1.23 * 2^-11 * sqrt(squares) for
 * chains of eight signed terms, 0.82 * 2^-11 for products of halves, so about 10^3 times as much as in f32: tier C needs
 * a tolerance of its own. Blocks of Q8_0 and Q4_0 lie on the device as F16: 0.29 * 2^-11 of each weight in every tier. */
static inline double reference_deviation(const reference_linear *linear, double squares, const reference_noise *noise)
{
    double unit = 0x1p-24 * (1 + 0.41 * sqrt(linear->columns));
    bool blocks = linear->type == OBI_DTYPE_Q8_0 || linear->type == OBI_DTYPE_Q4_0;
    if (blocks) unit += 0.29 * 0x1p-11;
    if (noise->half && linear->type == OBI_DTYPE_I32) unit += 1.23 * 0x1p-11;
    if (noise->half && (blocks || linear->type == OBI_DTYPE_F16)) unit += 0.82 * 0x1p-11;
    return unit * sqrt(squares);
}

/* Inputs in bytes: each is off by up to half a step, any error as likely. Columns that other tokens of a batch make outliers are off by
 * less. */
static inline void reference_round_inputs(double *u, const reference_linear *linear, reference_noise *noise)
{
    double top = 0;
    for (uint32_t j = 0; j < linear->columns; j++)
        if (fabs(u[j]) < (double)linear->threshold) top = fmax(top, fabs(u[j]));
    for (uint32_t j = 0; j < linear->columns; j++)
        if (fabs(u[j]) < (double)linear->threshold) u[j] += top / 127 / sqrt(12) * obi_rng_normal(&noise->rng);
}

/* y = W x, or y = h * (S (g * x)). */
static inline void reference_apply(double *y, const double *x, const reference_linear *linear, reference_noise *noise)
{
    double *u = malloc(linear->columns * sizeof *u);
    for (uint32_t j = 0; j < linear->columns; j++) u[j] = x[j] * (linear->g ? (double)linear->g[j] : 1);
    if (noise && linear->threshold > 0) reference_round_inputs(u, linear, noise);
    for (uint32_t i = 0; i < linear->rows; i++) {
        const float *row = linear->w + (size_t)i * linear->columns;
        double sum = 0, squares = 0;
        for (uint32_t j = 0; j < linear->columns; j++) {
            double term = (double)row[j] * u[j];
            sum += term;
            squares += linear->parts ? pow((double)linear->parts[i] * u[j], 2) : term * term; /* each part is a sum of its own */
        }
        if (noise) sum += reference_deviation(linear, squares, noise) * obi_rng_normal(&noise->rng);
        y[i] = sum * (linear->h ? (double)linear->h[i] : 1);
    }
    free(u);
}

/* (y - mean) / sqrt(variance + eps), the variance that divides by the count; no scale and no shift. */
static inline void reference_layernorm(double *y, uint32_t count, double eps, reference_noise *noise)
{
    double mean = 0, variance = 0, largest = 0;
    for (uint32_t i = 0; i < count; i++) mean += y[i] / count;
    for (uint32_t i = 0; i < count; i++) variance += (y[i] - mean) * (y[i] - mean) / count;
    for (uint32_t i = 0; i < count; i++) largest = fmax(largest, fabs(y[i]));
    for (uint32_t i = 0; i < count; i++) {
        double lost = noise ? 0x1p-23 * largest * obi_rng_normal(&noise->rng) : 0; /* the mean in f32, and y - mean */
        y[i] = reference_round((y[i] - mean + lost) / sqrt(variance + eps), noise);
    }
}

static inline void reference_rmsnorm(double *y, const double *x, const float *w, uint32_t count, double eps, reference_noise *noise)
{
    double square = 0;
    for (uint32_t i = 0; i < count; i++) square += x[i] * x[i] / count;
    for (uint32_t i = 0; i < count; i++) y[i] = reference_round(x[i] / sqrt(square + eps) * (double)w[i], noise);
}

/* Turns pair i of one head by position * theta^(-2i/R) / (scale * factor[i]). */
static inline void reference_rope(double *head, uint32_t position, const reference_model *model, reference_noise *noise)
{
    const obi_config *config = &model->config;
    uint32_t R = config->rope_dimensions;
    for (uint32_t i = 0; i < R / 2; i++) {
        double angle = position / (double)config->rope_scale * pow((double)config->rope_theta, -2.0 * i / R);
        if (model->factors) angle /= (double)model->factors[i];
        bool pairs = config->rope_layout == OBI_ROPE_PAIRS;
        double *a = &head[pairs ? 2 * i : i], *b = &head[pairs ? 2 * i + 1 : i + R / 2];
        double was = *a;
        *a = reference_round(was * cos(angle) - *b * sin(angle), noise);
        *b = reference_round(was * sin(angle) + *b * cos(angle), noise);
    }
}

/* One projection with all that follows it. */
static inline void reference_project(double *y, const double *x, const reference_model *model, uint32_t layer, int role,
                                     reference_noise *noise)
{
    const reference_linear *linear = &model->layers[layer].linear[role];
    reference_apply(y, x, linear, noise);
    if (model->config.post_norm) reference_layernorm(y, linear->rows, (double)model->config.post_norm_eps, noise);
}

/* Attention of the query heads at `position` over keys and values (position+1, kv_heads * C). */
static inline void reference_attend(double *out, const double *q, const double *keys, const double *values, uint32_t position,
                                    const obi_config *config, reference_noise *noise)
{
    uint32_t C = config->head_size, group = config->heads / config->kv_heads, kv = config->kv_heads * C;
    double *p = calloc(position + 1, sizeof *p);
    for (uint32_t head = 0; head < config->heads; head++) {
        double largest = -INFINITY, sum = 0;
        for (uint32_t s = 0; s <= position; s++) {
            p[s] = 0;
            for (uint32_t c = 0; c < C; c++) p[s] += q[head * C + c] * keys[(size_t)s * kv + head / group * C + c] / sqrt(C);
            p[s] = reference_round(p[s], noise);
            largest = fmax(largest, p[s]);
        }
        for (uint32_t s = 0; s <= position; s++) sum += p[s] = reference_round(exp(p[s] - largest), noise);
        for (uint32_t c = 0; c < C; c++) {
            double mix = 0;
            for (uint32_t s = 0; s <= position; s++) mix += p[s] / sum * values[(size_t)s * kv + head / group * C + c];
            out[head * C + c] = reference_round(mix, noise);
        }
    }
    free(p);
}

/* The logits (count, V) after each of the ids; free them. */
static inline double *reference_run(const reference_model *model, const uint32_t *ids, size_t count, reference_noise *noise)
{
    const obi_config *config = &model->config;
    uint32_t D = config->width, F = config->ffn, V = config->vocabulary, C = config->head_size;
    uint32_t Q = config->heads * C, kv = config->kv_heads * C;
    size_t cache = count * kv;
    double *logits = malloc(count * V * sizeof *logits);
    double *keys = calloc(config->layers * cache, sizeof *keys), *values = calloc(config->layers * cache, sizeof *values);
    double *x = calloc(4 * (size_t)D + 2 * Q + 2 * (size_t)F, sizeof *x);
    double *normed = x + D, *projected = normed + D, *q = projected + D, *attended = q + Q, *gate = attended + Q, *up = gate + F;
    for (uint32_t t = 0; t < count; t++) {
        if (noise) noise->half = noise->half_layers;
        for (uint32_t i = 0; i < D; i++) x[i] = (double)model->embedding.w[(size_t)ids[t] * D + i];
        for (uint32_t l = 0; l < config->layers; l++) {
            const reference_layer *layer = &model->layers[l];
            double *k = keys + l * cache, *v = values + l * cache;
            reference_rmsnorm(normed, x, layer->attn_norm, D, (double)config->norm_eps, noise);
            reference_project(q, normed, model, l, REF_Q, noise);
            reference_project(k + (size_t)t * kv, normed, model, l, REF_K, noise);
            reference_project(v + (size_t)t * kv, normed, model, l, REF_V, noise);
            for (uint32_t h = 0; h < config->heads; h++) reference_rope(q + h * C, t, model, noise);
            for (uint32_t h = 0; h < config->kv_heads; h++) reference_rope(k + (size_t)t * kv + h * C, t, model, noise);
            for (uint32_t i = 0; noise && noise->half_cache && i < kv; i++) { /* each to within 2^-11, or 2^-10 where towards zero */
                k[(size_t)t * kv + i] *= 1 + 0x1p-11 * obi_rng_normal(&noise->rng);
                v[(size_t)t * kv + i] *= 1 + 0x1p-11 * obi_rng_normal(&noise->rng);
            }
            for (uint32_t h = 0; noise && noise->byte_cache && h < config->kv_heads; h++) {
                reference_bytes(k + (size_t)t * kv + h * C, C, noise);
                reference_bytes(v + (size_t)t * kv + h * C, C, noise);
            }
            reference_attend(attended, q, k, v, t, config, noise);
            reference_project(projected, attended, model, l, REF_O, noise);
            for (uint32_t i = 0; i < D; i++) x[i] = reference_round(x[i] + projected[i], noise);

            reference_rmsnorm(normed, x, layer->ffn_norm, D, (double)config->norm_eps, noise);
            reference_project(gate, normed, model, l, REF_GATE, noise);
            reference_project(up, normed, model, l, REF_UP, noise);
            for (uint32_t i = 0; i < F; i++) gate[i] = reference_round(gate[i] / (1 + exp(-gate[i])) * up[i], noise);
            reference_project(projected, gate, model, l, REF_DOWN, noise);
            for (uint32_t i = 0; i < D; i++) x[i] = reference_round(x[i] + projected[i], noise);
        }
        reference_rmsnorm(normed, x, model->output_norm, D, (double)config->norm_eps, noise);
        if (noise) noise->half = noise->half_head;
        reference_apply(logits + (size_t)t * V, normed, model->head.w ? &model->head : &model->embedding, noise);
    }
    free(x);
    free(keys);
    free(values);
    return logits;
}

/* tolerance[t]: by how much a logit after ids[t] may differ from `exact`. Three runs with random errors give the
 * deviation of all logits of one position; ten deviations, because a driver's errors are of that size but need not be
 * independent, and the largest of some thousand numbers is looked for. */
static inline double *reference_tolerance_of(const reference_model *model, const uint32_t *ids, size_t count, const double *exact,
                                             reference_noise kind)
{
    enum { DRAWS = 3 };
    uint32_t V = model->config.vocabulary;
    double *tolerance = calloc(count, sizeof *tolerance);
    for (int draw = 0; draw < DRAWS; draw++) {
        reference_noise noise = kind;
        noise.rng = obi_rng_seed(77 + (uint64_t)draw);
        double *logits = reference_run(model, ids, count, &noise);
        for (size_t t = 0; t < count; t++)
            for (uint32_t i = 0; i < V; i++) {
                double difference = logits[t * V + i] - exact[t * V + i];
                tolerance[t] += difference * difference / V / DRAWS;
            }
        free(logits);
    }
    for (size_t t = 0; t < count; t++) tolerance[t] = 10 * sqrt(tolerance[t]);
    return tolerance;
}

static inline double *reference_tolerance(const reference_model *model, const uint32_t *ids, size_t count, const double *exact,
                                          bool half_layers, bool half_head)
{
    return reference_tolerance_of(model, ids, count, exact, (reference_noise){ .half_layers = half_layers, .half_head = half_head });
}

#endif

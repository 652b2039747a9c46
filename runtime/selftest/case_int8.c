/* Cases of the family int8. sizes: m, n, T, outliers (columns; 0: none, more than n: all), rows a block (0: one block if it fits). */
#include <math.h>
#include <string.h>

#include "ops/op_int8.h"
#include "ref/ref_int8.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define THRESHOLD 6.0f

typedef struct layer {
    uint32_t m, n, T;
    float *x, *steps;
    uint32_t *list;
    int8_t *q;
} layer;

static void *bytes_of(obi_case_env *env, uint64_t count) { return obi_case_zeros(env, (count + 3) / 4); }

/* Normal values below the threshold, but in some columns, each of which has one element far above it in one token; and a token of zeros. */
static bool make(obi_case_env *env, const uint32_t *sizes, layer *l)
{
    *l = (layer){ .m = sizes[0], .n = sizes[1], .T = sizes[2] };
    uint64_t count = (uint64_t)l->n * l->T;
    l->x = obi_case_normal(env, count, 1.0);
    l->steps = obi_case_zeros(env, l->T);
    l->list = (uint32_t *)(void *)obi_case_zeros(env, 1 + (uint64_t)l->n);
    l->q = bytes_of(env, count);
    if (!l->x || !l->steps || !l->list || !l->q) return false;
    for (uint64_t i = 0; i < count; i++) l->x[i] = fminf(fmaxf(l->x[i], -5.5f), 5.5f);
    if (l->T > 2) memset(l->x + l->n, 0, l->n * sizeof *l->x);
    uint32_t some = sizes[3] < l->n ? sizes[3] : l->n;
    for (uint32_t k = 0; k < some; k++) {
        uint32_t j = (uint32_t)((uint64_t)k * l->n / some), t = k % l->T;
        l->x[(size_t)t * l->n + j] = k % 3 == 0 ? -THRESHOLD : 20.0f + (float)k; /* at the threshold counts, too */
    }
    ref_int8_outliers(l->list, l->x, l->n, l->T, THRESHOLD);
    ref_int8_quantise(l->q, l->steps, l->x, l->list, l->n, l->T);
    return true;
}

/* The list exactly, steps to the 2.5 ulp of a division, and bytes: x * (127 / top) is off by 4 units of 2^-24 of itself, so
 * that within 127 * 2^-22 of a tie a byte may be its neighbour. */
static obi_status prepare(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    layer l;
    if (!make(env, sizes, &l)) return OBI_ERROR_MEMORY;
    uint64_t count = (uint64_t)l.n * l.T, words = (l.n + 3) / 4;
    obi_view x, range;
    OBI_TRY(obi_case_upload(env, l.x, count * 4, &x));
    OBI_TRY(obi_case_output(env, obi_op_int8_scratch_bytes(l.n, l.T), &range));
    obi_int8_acts acts = obi_int8_acts_of(range, l.n, l.T);
    obi_cmd_begin(env->cmd);
    obi_int8_prepare(env->cmd, &acts, x, l.n, l.T, THRESHOLD);
    OBI_TRY(obi_cmd_run(env->cmd));

    uint32_t *list = (uint32_t *)(void *)obi_case_zeros(env, 1 + (uint64_t)l.n);
    float *steps = obi_case_zeros(env, acts.bytes.size / 4), *want = obi_case_zeros(env, 2 * count + l.n), *got = want + count;
    if (!list || !steps || !want) return OBI_ERROR_MEMORY;
    OBI_TRY(obi_case_download(env, acts.list, list, acts.list.size));
    OBI_TRY(obi_case_download(env, acts.bytes, steps, acts.bytes.size));
    float lengths[2] = { (float)list[0], (float)l.list[0] };
    obi_case_compare(result, "the list's length", &lengths[0], &lengths[1], 1, NULL, 0, 0);
    for (uint32_t k = 0; k < l.list[0]; k++) {
        want[k] = (float)l.list[1 + k];
        got[k] = (float)list[1 + k];
    }
    obi_case_compare(result, "a column", got, want, l.list[0], NULL, 0, 0);
    obi_case_compare(result, "step", steps, l.steps, l.T, NULL, 4 * 0x1p-24, 0);

    const uint8_t *bytes = (const uint8_t *)(const void *)(steps + (acts.bytes_at - acts.steps_at));
    float *tolerance = obi_case_zeros(env, count);
    if (!tolerance) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t t = i / l.n, j = i % l.n;
        want[i] = l.q[i];
        got[i] = (float)(int8_t)bytes[t * words * 4 + j];
        double exact = l.steps[t] > 0 ? (double)l.x[i] / (double)l.steps[t] : 0, tie = fabs(exact - floor(exact) - 0.5);
        tolerance[i] = tie < 127 * 0x1p-22 ? 1 : 0;
    }
    obi_case_compare(result, "q", got, want, count, tolerance, 0, 0);
    return OBI_OK;
}

/* Rows of bytes with their scales, as OBI_WEIGHT_I8 has them. */
static uint32_t *weight_words(obi_case_env *env, const int8_t *w, const float *s, uint32_t m, uint32_t n)
{
    size_t row_words = obi_weight_row_words(OBI_WEIGHT_I8, n);
    uint32_t *words = (uint32_t *)(void *)obi_case_zeros(env, m * row_words);
    for (uint32_t i = 0; words && i < m; i++) {
        memcpy(words + i * row_words, w + (size_t)i * n, n);
        memcpy(words + (i + 1) * row_words - 1, &s[i], 4);
    }
    return words;
}

/* What is added up of bytes is exact; made a float, times step, plus the outliers, times s: four roundings of the whole. The outliers
 * are a sum in f32 (obi_case_sum_error), of at most `list` terms. */
static void fill_tolerance(float *tolerance, const layer *l, const int8_t *w, const float *s, const float *want)
{
    for (size_t t = 0; t < l->T; t++)
        for (size_t i = 0; i < l->m; i++) {
            double squares = 0, sum = 0;
            for (uint32_t k = 1; k <= l->list[0]; k++) {
                double term = (double)w[i * l->n + l->list[k]] * (double)l->x[t * l->n + l->list[k]];
                squares += term * term;
                sum += term;
            }
            double whole = fabs((double)want[t * l->m + i]) + 2 * fabs(sum * (double)s[i]);
            double others = fabs((double)s[i]) * obi_case_sum_error(2.0 * l->list[0], squares);
            tolerance[t * l->m + i] = (float)(8 * 0x1p-24 * whole + others + 1e-30);
        }
}

static obi_status products(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    layer l;
    if (!make(env, sizes, &l)) return OBI_ERROR_MEMORY;
    uint64_t outputs = (uint64_t)l.m * l.T, words = (l.n + 3) / 4;
    int8_t *w = bytes_of(env, (uint64_t)l.m * l.n);
    float *s = obi_case_normal(env, l.m, 0.01), *want = obi_case_zeros(env, outputs), *got = obi_case_zeros(env, outputs),
          *tolerance = obi_case_zeros(env, outputs), *acts_words = obi_case_zeros(env, obi_op_int8_scratch_bytes(l.n, l.T) / 4);
    if (!w || !s || !want || !got || !tolerance || !acts_words) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < (uint64_t)l.m * l.n; i++) w[i] = (int8_t)(obi_rng_next(&env->rng) >> 40); /* -128, too: a file may have it */
    uint32_t *weight_rows = weight_words(env, w, s, l.m, l.n);
    if (!weight_rows) return OBI_ERROR_MEMORY;
    ref_int8_fwd(want, l.x, l.list, l.q, l.steps, w, s, l.m, l.n, l.T);
    fill_tolerance(tolerance, &l, w, s, want);

    obi_view x, y, range = { 0 };
    obi_int8_acts acts = obi_int8_acts_of(range, l.n, l.T);
    memcpy(acts_words, l.list, (1 + (size_t)l.list[0]) * 4);
    memcpy(acts_words + acts.steps_at, l.steps, l.T * sizeof *l.steps);
    for (size_t t = 0; t < l.T; t++) memcpy(acts_words + acts.bytes_at + t * words, l.q + t * l.n, l.n);
    obi_weight weight;
    OBI_TRY(obi_case_upload(env, l.x, (uint64_t)l.n * l.T * 4, &x));
    OBI_TRY(obi_case_upload(env, acts_words, obi_op_int8_scratch_bytes(l.n, l.T), &range));
    OBI_TRY(obi_case_output(env, outputs * 4, &y));
    OBI_TRY(obi_case_weight(env, OBI_WEIGHT_I8, l.m, l.n, sizes[4], weight_rows, &weight));
    acts = obi_int8_acts_of(range, l.n, l.T);
    obi_cmd_begin(env->cmd);
    obi_int8_products(env->cmd, y, &acts, x, &weight, l.T);
    obi_status status = obi_cmd_run(env->cmd);
    obi_weight_destroy(env->device, &weight);
    if (status == OBI_OK) status = obi_case_download(env, y, got, outputs * 4);
    if (status == OBI_OK) obi_case_compare(result, "y", got, want, outputs, tolerance, 0, 0);
    return status;
}

OBI_CASE_FORMS(products)
#define SIZES "m n T outliers block_rows"
const obi_case obi_case_int8_flags = { "int8_flags", OBI_KERNEL_INT8_FLAGS_FWD, SIZES, { 1, 333, 5, 7 }, prepare };
const obi_case obi_case_int8_list = { "int8_list", OBI_KERNEL_INT8_LIST_FWD, SIZES, { 1, 131, 3, 40 }, prepare };
const obi_case obi_case_int8_quantise = { "int8_quantise", OBI_KERNEL_INT8_QUANTISE_FWD, SIZES, { 1, 205, 4, 2 }, prepare };
const obi_case obi_case_int8_products = { "int8_products", OBI_KERNEL_INT8_PRODUCTS_FWD, SIZES, { 67, 333, 9, 5, 40 }, products_plain };
const obi_case obi_case_int8_gemv_straight = { "int8_gemv_straight", OBI_KERNEL_INT8_GEMV_STRAIGHT, SIZES, { 67, 384, 3, 5, 64 },
                                               products_straight };

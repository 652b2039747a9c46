/* Cases of the family bitlinear with activations in bytes. sizes: m, n, T, rows a block (0: one block if it fits). */
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "ops/gemv_int8.h"
#include "ops/op_bitlinear.h"
#include "ops/sign_family.h"
#include "ops/sign_gemm.h"
#include "ref/ref_bitlinear.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define RECORD_WORDS 12u
#define RECORD_COLUMNS 32u

/* Inputs and what the reference makes of them. */
typedef struct layer {
    uint32_t m, n, T, block, blocks; /* block: columns that share a step; blocks of a token */
    float *x, *scales, *steps;
    int8_t *q;
} layer;

static bool make_layer(obi_case_env *env, const uint32_t *sizes, uint32_t block, layer *l)
{
    *l = (layer){ .m = sizes[0], .n = sizes[1], .T = sizes[2], .block = block, .blocks = (uint32_t)obi_div_ceil(sizes[1], block) };
    l->x = obi_case_normal(env, (uint64_t)l->n * l->T, 1.0);
    l->scales = obi_case_normal(env, obi_scales_floats(l->m, l->n), 0.5); /* padding too: it must not matter */
    l->steps = obi_case_zeros(env, (uint64_t)l->T * l->blocks);
    l->q = (int8_t *)(void *)obi_case_zeros(env, (uint64_t)l->T * l->blocks * l->block / 4);
    if (!l->x || !l->scales || !l->steps || !l->q) return false;
    for (uint32_t j = 0; j < l->n; j++) /* blocks of very different sizes, and one of zeros */
        l->x[j] *= j / block % 5 == 3 ? 0.0f : ldexpf(1.0f, (int)(j / block % 41) - 20);
    ref_quantise(l->q, l->steps, l->x, l->scales, l->n, l->T, block);
    return true;
}

/* Bytes and their sums must be the reference's, exactly. 1 / scale is a division, which Vulkan lets be off by 2.5 ulp. */
static obi_status quantise(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    layer l;
    if (!make_layer(env, sizes, RECORD_COLUMNS, &l)) return OBI_ERROR_MEMORY;
    uint64_t count = (uint64_t)l.T * l.blocks;
    uint32_t *records = (uint32_t *)(void *)obi_case_zeros(env, count * RECORD_WORDS);
    float *got = obi_case_zeros(env, count * 35), *want = obi_case_zeros(env, count * 35), *tolerance = obi_case_zeros(env, count * 35);
    if (!records || !got || !want || !tolerance) return OBI_ERROR_MEMORY;
    obi_view x, scales, out;
    OBI_TRY(obi_case_upload(env, l.x, (uint64_t)l.n * l.T * 4, &x));
    OBI_TRY(obi_case_upload(env, l.scales, obi_scales_floats(l.m, l.n) * 4, &scales));
    OBI_TRY(obi_case_output(env, obi_quantise_bytes(l.n, l.T), &out));
    obi_cmd_begin(env->cmd);
    obi_quantise(env->cmd, out, x, scales, l.n, l.T);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, out, records, count * RECORD_WORDS * 4));
    for (uint64_t b = 0; b < count; b++) {
        const uint32_t *record = records + b * RECORD_WORDS;
        float *g = got + b * 35, *w = want + b * 35;
        int sum = 0;
        for (uint32_t j = 0; j < 32; j++) {
            int8_t byte = (int8_t)(record[j % 8] >> j / 8 * 8 & 255);
            g[j] = (float)byte;
            w[j] = (float)l.q[b * 32 + j];
            sum += l.q[b * 32 + j];
        }
        memcpy(&g[32], &record[8], 4);
        w[32] = l.steps[b];
        tolerance[b * 35 + 32] = 3 * 2 * (float)OBI_UNIT_FLOAT * l.steps[b];
        g[33] = (float)(int32_t)record[9];
        w[33] = (float)sum;
        g[34] = record[10] == 0 && record[11] == 0 ? 0.0f : 1.0f;
    }
    obi_case_compare(result, "record", got, want, count * 35, tolerance, 0, 0);
    return OBI_OK;
}

/* Tolerance of y[t,i]. Sums of bytes are exact, also as f32; each block's is rounded once, times a step that is off by 2.5 ulp, 5 u. The
 * signs of an element are random to q, so the squares of the blocks' sums add up to those of all elements, and the errors of
 * the steps to at most 5 u sqrt(blocks * squares); adding up is as in obi_case_sum_error, of blocks. */
static void fill_tolerance(const layer *l, float *tolerance)
{
    for (uint32_t t = 0; t < l->T; t++) {
        double squares = 0;
        for (uint32_t b = 0; b < l->blocks; b++)
            for (uint32_t k = 0; k < l->block; k++) {
                double value = (double)l->steps[t * l->blocks + b] * l->q[((size_t)t * l->blocks + b) * l->block + k];
                squares += value * value;
            }
        double error = obi_case_sum_error(l->blocks + 8.0, squares) + 5 * OBI_UNIT_FLOAT * sqrt(l->blocks * squares);
        for (uint32_t i = 0; i < l->m; i++)
            tolerance[(size_t)t * l->m + i] = (float)(error * fabs((double)l->scales[obi_scales_h_offset(l->n) + i]) + 1e-30);
    }
}

static obi_status run_family(obi_case_env *env, obi_weight_type type, obi_sign_family family, uint32_t block, const uint32_t *sizes,
                             obi_case_result *result)
{
    layer l;
    if (!make_layer(env, sizes, block, &l)) return OBI_ERROR_MEMORY;
    uint64_t outputs = (uint64_t)l.m * l.T;
    uint32_t *words = obi_case_signs(env, l.m, l.n);
    float *want = obi_case_zeros(env, outputs), *got = obi_case_zeros(env, outputs), *tolerance = obi_case_zeros(env, outputs);
    if (!words || !want || !got || !tolerance) return OBI_ERROR_MEMORY;
    ref_bitlinear_int8(want, l.q, l.steps, words, l.scales + obi_scales_h_offset(l.n), l.m, l.n, l.T, block);
    fill_tolerance(&l, tolerance);
    obi_view x, scales, y;
    obi_weight weight;
    OBI_TRY(obi_case_upload(env, l.x, (uint64_t)l.n * l.T * 4, &x));
    OBI_TRY(obi_case_upload(env, l.scales, obi_scales_floats(l.m, l.n) * 4, &scales));
    OBI_TRY(obi_case_output(env, outputs * 4, &y));
    OBI_TRY(obi_case_weight(env, type, l.m, l.n, sizes[3], words, &weight));
    weight.family = (uint32_t)family;
    obi_cmd_begin(env->cmd);
    obi_op_bitlinear_fwd(env->cmd, y, x, &weight, scales, l.T);
    obi_status status = obi_cmd_run(env->cmd);
    obi_weight_destroy(env->device, &weight);
    if (status == OBI_OK) status = obi_case_download(env, y, got, outputs * 4);
    if (status == OBI_OK) obi_case_compare(result, "y", got, want, outputs, tolerance, 0, 0);
    return status;
}

static obi_status run(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_family(env, OBI_WEIGHT_SIGN, OBI_SIGN_INT8, RECORD_COLUMNS, sizes, result);
}

static obi_status tiles(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_family(env, OBI_WEIGHT_SIGN_TILES, OBI_SIGN_STRAIGHT_INT8, obi_sign_gemm_block(sizes[1]), sizes, result);
}

static obi_status straight(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return obi_case_form(env, true, tiles, sizes, result);
}

/* With the device's dot products, fast or not, or without them. */
static obi_status run_form(obi_case_env *env, bool with_dot, const uint32_t *sizes, obi_case_result *result)
{
    bool *fast = &env->device->caps.integer_dot_fast, was = *fast;
    if (with_dot && !env->device->caps.integer_dot) return OBI_OK;
    *fast = with_dot;
    obi_status status = run(env, sizes, result);
    *fast = was;
    return status;
}

static obi_status emulated(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_form(env, false, sizes, result);
}

static obi_status dot(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_form(env, true, sizes, result);
}

const obi_case obi_case_bitlinear_quantise = { "bitlinear_quantise", OBI_KERNEL_BITLINEAR_QUANTISE, "m n T", { 1, 333, 2 }, quantise };
const obi_case obi_case_bitlinear_gemv_int8 = { "bitlinear_gemv_int8", OBI_KERNEL_BITLINEAR_GEMV_INT8, "m n T block_rows",
                                                { 67, 333, 2, 40 }, emulated };
const obi_case obi_case_bitlinear_gemv_int8_dot = { "bitlinear_gemv_int8_dot", OBI_KERNEL_BITLINEAR_GEMV_INT8_DOT, "m n T block_rows",
                                                    { 67, 333, 2, 40 }, dot };
const obi_case obi_case_bitlinear_gemm_int8_straight = { "bitlinear_gemm_int8_straight", OBI_KERNEL_BITLINEAR_GEMM_INT8_STRAIGHT,
                                                         "m n T block_rows", { 141, 333, 21, 0 }, straight };
const obi_case obi_case_bitlinear_sums_int8 = { "bitlinear_sums_int8", OBI_KERNEL_BITLINEAR_SUMS_INT8_STRAIGHT, "m n T block_rows",
                                                { 64, 512, 32, 0 }, straight };

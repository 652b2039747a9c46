/* Cases of the family dense. sizes: m, n, T, rows a block (0: one block if it fits). */
#include <math.h>

#include "ops/matrix.h"
#include "ops/op_dense.h"
#include "ref/ref_dense.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

/* `squares` (from the reference) becomes the tolerance. Tiers A and B: products and n partial sums are rounded in f32.
 * Tier C: x and the product are rounded to half, two errors of deviation u/sqrt(3) a term: 0.82 u sqrt(squares); eight
 * u sqrt(squares) is ten of them. A driver that flushes small halves loses up to 2^-14 of each product, of x scaled to
 * [8, 16): 2^-17 of the largest x. */
static void make_tolerance(const obi_case_env *env, int kernel, float *squares, const float *x, uint32_t m, uint32_t n, uint32_t T)
{
    bool half = obi_case_half(env, kernel);
    for (uint32_t t = 0; t < T; t++) {
        double largest = 0;
        for (uint32_t j = 0; j < n; j++) largest = fmax(largest, fabs((double)x[(size_t)t * n + j]));
        for (uint32_t i = 0; i < m; i++) {
            float *at = &squares[(size_t)t * m + i];
            double error = obi_case_sum_error(2.0 * n, (double)*at);
            if (half) error += 8 * OBI_UNIT_HALF * sqrt((double)*at) + 0x1p-17 * largest * sqrt(n);
            *at = (float)(error + 1e-30);
        }
    }
}

static obi_status run(obi_case_env *env, const uint32_t *sizes, obi_case_result *result, obi_weight_type type)
{
    uint32_t m = sizes[0], n = sizes[1], T = sizes[2];
    uint64_t outputs = (uint64_t)m * T;
    float *x = obi_case_normal(env, (uint64_t)n * T, 1.0);
    float *w = obi_case_normal(env, (uint64_t)m * n, 0.05);
    float *want = obi_case_zeros(env, outputs), *got = obi_case_zeros(env, outputs), *tolerance = obi_case_zeros(env, outputs);
    if (!x || !w || !want || !got || !tolerance) return OBI_ERROR_MEMORY;
    float *words = type == OBI_WEIGHT_F16 ? obi_case_halves(env, w, m, n) : w;
    if (!words) return OBI_ERROR_MEMORY;
    bool gemv = T < OBI_MATRIX_GEMM_TOKENS;
    int kernel = type == OBI_WEIGHT_F16 ? (gemv ? OBI_KERNEL_DENSE_GEMV_F16 : OBI_KERNEL_DENSE_GEMM_F16)
                                        : (gemv ? OBI_KERNEL_DENSE_GEMV_F32 : OBI_KERNEL_DENSE_GEMM_F32);
    ref_dense_fwd(want, tolerance, x, w, m, n, T);
    if (gemv && env->device->caps.straight && n % 64 == 0 && n <= 32768) kernel = OBI_KERNEL_DENSE_GEMV_F32_STRAIGHT; /* sums in f32 */
    make_tolerance(env, kernel, tolerance, x, m, n, T);

    obi_view x_view, y_view;
    obi_weight weight;
    OBI_TRY(obi_case_upload(env, x, (uint64_t)n * T * 4, &x_view));
    OBI_TRY(obi_case_output(env, outputs * 4, &y_view));
    OBI_TRY(obi_case_weight(env, type, m, n, sizes[3], words, &weight));
    obi_cmd_begin(env->cmd);
    obi_op_dense_fwd(env->cmd, y_view, x_view, &weight, T);
    obi_status status = obi_cmd_run(env->cmd);
    obi_weight_destroy(env->device, &weight);
    if (status == OBI_OK) status = obi_case_download(env, y_view, got, outputs * 4);
    if (status == OBI_OK) obi_case_compare(result, "y", got, want, outputs, tolerance, 0, 0);
    return status;
}

static obi_status run_f32(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run(env, sizes, result, OBI_WEIGHT_F32);
}

static obi_status run_f16(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run(env, sizes, result, OBI_WEIGHT_F16);
}

OBI_CASE_FORMS(run_f32)
OBI_CASE_FORMS(run_f16)
const obi_case obi_case_dense_gemv_f32 = { "dense_gemv_f32", OBI_KERNEL_DENSE_GEMV_F32, "m n T block_rows", { 67, 333, 2, 40 },
                                           run_f32_plain };
const obi_case obi_case_dense_gemv_f16 = { "dense_gemv_f16", OBI_KERNEL_DENSE_GEMV_F16, "m n T block_rows", { 67, 333, 2, 40 },
                                           run_f16_plain };
#define SIZES "m n T block_rows"
const obi_case obi_case_dense_gemm_f32 = { "dense_gemm_f32", OBI_KERNEL_DENSE_GEMM_F32, SIZES, { 131, 205, 37, 70 }, run_f32_plain };
const obi_case obi_case_dense_gemm_f16 = { "dense_gemm_f16", OBI_KERNEL_DENSE_GEMM_F16, SIZES, { 131, 205, 37, 70 }, run_f16_plain };
const obi_case obi_case_dense_dot_straight = { "dense_dot_straight", OBI_KERNEL_DENSE_DOT_STRAIGHT, SIZES,
                                                    { 43, 41, 21, 0 }, run_f32_straight };
const obi_case obi_case_dense_gemm_f16_straight = { "dense_gemm_f16_straight", OBI_KERNEL_DENSE_GEMM_F16_STRAIGHT, SIZES,
                                                    { 43, 41, 21, 0 }, run_f16_straight };
const obi_case obi_case_dense_gemv_f32_straight = { "dense_gemv_f32_straight", OBI_KERNEL_DENSE_GEMV_F32_STRAIGHT, SIZES,
                                                    { 67, 384, 2, 40 }, run_f32_straight };
const obi_case obi_case_dense_gemv_f16_straight = { "dense_gemv_f16_straight", OBI_KERNEL_DENSE_GEMV_F16_STRAIGHT, SIZES,
                                                    { 67, 384, 2, 40 }, run_f16_straight };

/* Cases of the family bitlinear. sizes: m, n, T, rows a block (0: one block if it fits). */
#include <math.h>

#include "ops/matrix.h"
#include "ops/gemv_table.h"
#include "ops/op_bitlinear.h"
#include "ops/sign_family.h"
#include "ops/sign_gemv.h"
#include "ref/ref_bitlinear.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

/* Tolerance of y[t,i]. Every term is +-(g x): only the sign depends on i, so one number a token is enough. All but
 * family half round n partial sums in f32 (obi_case_sum_error). That one rounds each term to half and then sums chains of eight in
 * half: the variance of a chain's error is below u^2/3 * (8 + 1+2+..+7) = 12 u^2 times the mean square of its terms, 1.5
 * u^2 a term, so the deviation of y is 1.23 u sqrt(squares), u = 2^-11; 8 u sqrt(squares) is 6.5 of them. A driver that
 * flushes halves below the normal range adds 2^-26 of the largest term, each. */
static void fill_tolerance(bool half, float *tolerance, const float *x, const float *g, const float *h,
                           uint32_t m, uint32_t n, uint32_t T)
{
    for (uint32_t t = 0; t < T; t++) {
        double squares = 0, largest = 0;
        for (uint32_t j = 0; j < n; j++) {
            double term = (double)g[j] * (double)x[(size_t)t * n + j];
            squares += term * term;
            largest = fmax(largest, fabs(term));
        }
        double error = obi_case_sum_error(n, squares);
        if (half) error += 8 * OBI_UNIT_HALF * sqrt(squares) + 0x1p-26 * largest * 8 * sqrt(n);
        for (uint32_t i = 0; i < m; i++) tolerance[(size_t)t * m + i] = (float)(error * fabs((double)h[i]) + 1e-30);
    }
}

static obi_status run_family(obi_case_env *env, obi_weight_type type, obi_sign_family family, const uint32_t *sizes,
                             obi_case_result *result)
{
    uint32_t m = sizes[0], n = sizes[1], T = sizes[2];
    uint64_t outputs = (uint64_t)m * T, h_offset = obi_scales_h_offset(n);
    float *x = obi_case_normal(env, (uint64_t)n * T, 1.0);
    float *scales = obi_case_normal(env, obi_scales_floats(m, n), 0.5); /* padding too: it must not matter */
    uint32_t *words = obi_case_signs(env, m, n);
    float *want = obi_case_zeros(env, outputs), *got = obi_case_zeros(env, outputs), *tolerance = obi_case_zeros(env, outputs);
    if (!x || !scales || !words || !want || !got || !tolerance) return OBI_ERROR_MEMORY;

    bool half = T < OBI_MATRIX_GEMM_TOKENS && family == OBI_SIGN_HALF;
    ref_bitlinear_fwd(want, x, words, scales, scales + h_offset, m, n, T);
    fill_tolerance(half, tolerance, x, scales, scales + h_offset, m, n, T);

    obi_view x_view, scales_view, y_view;
    obi_weight weight;
    OBI_TRY(obi_case_upload(env, x, (uint64_t)n * T * 4, &x_view));
    OBI_TRY(obi_case_upload(env, scales, obi_scales_floats(m, n) * 4, &scales_view));
    OBI_TRY(obi_case_output(env, outputs * 4, &y_view));
    OBI_TRY(obi_case_weight(env, type, m, n, sizes[3], words, &weight));
    weight.family = (uint32_t)family;
    obi_cmd_begin(env->cmd);
    obi_op_bitlinear_fwd(env->cmd, y_view, x_view, &weight, scales_view, T);
    obi_status status = obi_cmd_run(env->cmd);
    obi_weight_destroy(env->device, &weight);
    if (status == OBI_OK) status = obi_case_download(env, y_view, got, outputs * 4);
    if (status == OBI_OK) obi_case_compare(result, "y", got, want, outputs, tolerance, 0, 0);
    return status;
}

static obi_status run(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_family(env, OBI_WEIGHT_SIGN, OBI_SIGN_XOR, sizes, result);
}

static obi_status tiles(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_family(env, OBI_WEIGHT_SIGN_TILES, OBI_SIGN_STRAIGHT, sizes, result);
}

static obi_status tiles_straight(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return obi_case_form(env, true, tiles, sizes, result);
}

/* Also on subgroups that are too small for it to pay. */
static obi_status table(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return obi_gemv_table_possible(env->device) ? run_family(env, OBI_WEIGHT_SIGN, OBI_SIGN_TABLE, sizes, result) : OBI_OK;
}

static obi_status halves(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return obi_gemv_half_possible(env->device) ? run_family(env, OBI_WEIGHT_SIGN, OBI_SIGN_HALF, sizes, result) : OBI_OK;
}

const obi_case obi_case_bitlinear_gemv_half = { "bitlinear_gemv_half", OBI_KERNEL_BITLINEAR_GEMV_HALF, "m n T block_rows",
                                                { 67, 333, 2, 40 }, halves };
const obi_case obi_case_bitlinear_gemv_table = { "bitlinear_gemv_table", OBI_KERNEL_BITLINEAR_GEMV_TABLE, "m n T block_rows",
                                                 { 67, 333, 2, 40 }, table };
const obi_case obi_case_bitlinear_gemv = { "bitlinear_gemv", OBI_KERNEL_BITLINEAR_GEMV, "m n T block_rows", { 67, 333, 2, 40 }, run };
OBI_CASE_FORMS(run)
const obi_case obi_case_bitlinear_gemm = {
    "bitlinear_gemm", OBI_KERNEL_BITLINEAR_GEMM, "m n T block_rows", { 131, 205, 37, 70 }, run_plain
};
const obi_case obi_case_bitlinear_gemm_straight = { "bitlinear_gemm_straight", OBI_KERNEL_BITLINEAR_GEMM_STRAIGHT, "m n T block_rows",
                                                    { 75, 45, 21, 0 }, run_straight };
const obi_case obi_case_bitlinear_gemv_straight = { "bitlinear_gemv_straight", OBI_KERNEL_BITLINEAR_GEMV_STRAIGHT, "m n T block_rows",
                                                    { 141, 333, 2, 133 }, tiles_straight };
const obi_case obi_case_bitlinear_gemm_tiles = { "bitlinear_gemm_tiles", OBI_KERNEL_BITLINEAR_GEMM_SUMS_STRAIGHT, "m n T block_rows",
                                                 { 141, 333, 21, 0 }, tiles_straight };
const obi_case obi_case_bitlinear_sums = { "bitlinear_sums", OBI_KERNEL_BITLINEAR_SUMS_STRAIGHT, "m n T block_rows", { 64, 512, 32, 0 },
                                           tiles_straight };

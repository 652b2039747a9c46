/* Cases of the training passes of the family bitlinear. */
#include <math.h>

#include "ops/op_bitlinear_bwd.h"
#include "ops/op_scale_matrix.h"
#include "ref/ref_bitlinear.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

/* Sums of +-value: one number a token serves all outputs of it (obi_case_sum_error). */
static void fill_tolerance(float *tolerance, const float *values, uint32_t terms, uint32_t outputs, uint32_t T)
{
    for (uint32_t t = 0; t < T; t++) {
        double squares = 0;
        for (uint32_t k = 0; k < terms; k++) squares += (double)values[(size_t)t * terms + k] * (double)values[(size_t)t * terms + k];
        for (uint32_t i = 0; i < outputs; i++) tolerance[(size_t)t * outputs + i] = (float)(obi_case_sum_error(terms, squares) + 1e-30);
    }
}

/* sizes: m, n, T, rows a block (0: one block if it fits). `backward`: dU = dV S, else V = U S^T. */
static obi_status run_product(obi_case_env *env, const uint32_t *sizes, obi_case_result *result, bool backward)
{
    uint32_t m = sizes[0], n = sizes[1], T = sizes[2], terms = backward ? m : n, width = backward ? n : m;
    uint64_t outputs = (uint64_t)width * T, inputs = (uint64_t)terms * T;
    float *in = obi_case_normal(env, inputs, 1.0);
    uint32_t *words = obi_case_signs(env, m, n);
    float *want = obi_case_zeros(env, outputs), *got = obi_case_zeros(env, outputs), *tolerance = obi_case_zeros(env, outputs);
    if (!in || !words || !want || !got || !tolerance) return OBI_ERROR_MEMORY;
    if (backward) ref_bitlinear_bwd_x(want, in, words, m, n, T);
    else ref_sign_gemm(want, in, words, m, n, T);
    fill_tolerance(tolerance, in, terms, width, T);

    obi_view in_view, out_view;
    obi_weight weight;
    OBI_TRY(obi_case_upload(env, in, inputs * 4, &in_view));
    OBI_TRY(obi_case_output(env, outputs * 4, &out_view));
    OBI_TRY(obi_case_weight(env, OBI_WEIGHT_SIGN, m, n, sizes[3], words, &weight));
    obi_cmd_begin(env->cmd);
    if (backward) obi_op_bitlinear_bwd_x(env->cmd, out_view, in_view, &weight, T);
    else obi_op_sign_gemm(env->cmd, out_view, in_view, &weight, T);
    obi_status status = obi_cmd_run(env->cmd);
    obi_weight_destroy(env->device, &weight);
    if (status == OBI_OK) status = obi_case_download(env, out_view, got, outputs * 4);
    if (status == OBI_OK) obi_case_compare(result, backward ? "du" : "v", got, want, outputs, tolerance, 0, 0);
    return status;
}

static obi_status run_sign_gemm(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_product(env, sizes, result, false);
}

static obi_status run_bwd_x(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_product(env, sizes, result, true);
}

/* sizes: T, n, 1 = added to what y held. One product, which both sides round alike, and one sum; an ulp is left for a
 * device that rounds otherwise. */
static obi_status run_scale(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], n = sizes[1];
    bool accumulate = sizes[2] != 0;
    uint64_t count = (uint64_t)T * n;
    float *x = obi_case_normal(env, count, 1.0), *s = obi_case_normal(env, n, 1.0), *old = obi_case_normal(env, count, 1.0);
    float *want = obi_case_zeros(env, count), *got = obi_case_zeros(env, count), *tolerance = obi_case_zeros(env, count);
    if (!x || !s || !old || !want || !got || !tolerance) return OBI_ERROR_MEMORY;
    ref_scale_columns(want, x, s, T, n);
    for (uint64_t i = 0; i < count; i++) {
        tolerance[i] = (float)(2 * OBI_UNIT_FLOAT * (fabs((double)want[i]) + (accumulate ? fabs((double)old[i]) : 0)) + 1e-38);
        if (accumulate) want[i] += old[i];
    }
    obi_view x_view, s_view, y_view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &x_view));
    OBI_TRY(obi_case_upload(env, s, (uint64_t)n * 4, &s_view));
    if (accumulate) OBI_TRY(obi_case_upload(env, old, count * 4, &y_view));
    else OBI_TRY(obi_case_output(env, count * 4, &y_view));
    obi_cmd_begin(env->cmd);
    obi_op_scale_columns(env->cmd, y_view, x_view, s_view, T, n, accumulate);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, y_view, got, count * 4));
    obi_case_compare(result, "y", got, want, count, tolerance, 0, 0);
    return OBI_OK;
}

/* sizes: m, n, rows a block. Two products, each of which a device may round an ulp away. */
static obi_status run_scale_matrix(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t m = sizes[0], n = sizes[1];
    uint64_t count = (uint64_t)m * n;
    float *w = obi_case_normal(env, count, 1.0), *h = obi_case_normal(env, m, 1.0), *g = obi_case_normal(env, n, 1.0);
    float *want = obi_case_zeros(env, count), *got = obi_case_zeros(env, count);
    if (!w || !h || !g || !want || !got) return OBI_ERROR_MEMORY;
    ref_scale_matrix(want, w, h, g, m, n);
    obi_view h_view, g_view;
    obi_weight from = { 0 }, to = { 0 };
    OBI_TRY(obi_case_upload(env, h, (uint64_t)m * 4, &h_view));
    OBI_TRY(obi_case_upload(env, g, (uint64_t)n * 4, &g_view));
    obi_status status = obi_case_weight(env, OBI_WEIGHT_F32, m, n, sizes[2], w, &from);
    if (status == OBI_OK) status = obi_case_weight(env, OBI_WEIGHT_F32, m, n, sizes[2], got, &to);
    if (status == OBI_OK) {
        obi_cmd_begin(env->cmd);
        obi_op_scale_matrix(env->cmd, &to, &from, h_view, g_view);
        status = obi_cmd_run(env->cmd);
    }
    if (status == OBI_OK) status = obi_case_weight_download(env, &to, got);
    obi_weight_destroy(env->device, &from);
    obi_weight_destroy(env->device, &to);
    if (status == OBI_OK) obi_case_compare(result, "out", got, want, count, NULL, 4 * OBI_UNIT_FLOAT, 1e-37);
    return status;
}

/* sizes: T, n. Products and partial sums are rounded in f32, and the addition to `out` once more. */
static obi_status run_column_dot(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], n = sizes[1];
    uint64_t count = (uint64_t)T * n;
    float *a = obi_case_normal(env, count, 1.0), *b = obi_case_normal(env, count, 1.0), *old = obi_case_normal(env, n, 1.0);
    float *want = obi_case_zeros(env, n), *got = obi_case_zeros(env, n), *tolerance = obi_case_zeros(env, n);
    if (!a || !b || !old || !want || !got || !tolerance) return OBI_ERROR_MEMORY;
    ref_column_dot(want, tolerance, a, b, T, n);
    for (uint32_t j = 0; j < n; j++) {
        tolerance[j] = (float)(obi_case_sum_error(2.0 * T, (double)tolerance[j]) + 2 * OBI_UNIT_FLOAT * fabs((double)old[j]) + 1e-30);
        want[j] += old[j];
    }
    obi_view a_view, b_view, scratch, out;
    OBI_TRY(obi_case_upload(env, a, count * 4, &a_view));
    OBI_TRY(obi_case_upload(env, b, count * 4, &b_view));
    OBI_TRY(obi_case_upload(env, old, (uint64_t)n * 4, &out));
    OBI_TRY(obi_case_output(env, obi_column_dot_floats(T, n) * 4, &scratch));
    obi_cmd_begin(env->cmd);
    obi_op_column_dot(env->cmd, out, scratch, a_view, b_view, T, n);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, out, got, (uint64_t)n * 4));
    obi_case_compare(result, "out", got, want, n, tolerance, 0, 0);
    return OBI_OK;
}

OBI_CASE_FORMS(run_sign_gemm)
OBI_CASE_FORMS(run_bwd_x)
OBI_CASE_FORMS(run_scale)
OBI_CASE_FORMS(run_column_dot)
OBI_CASE_FORMS(run_scale_matrix)

#define PRODUCT_SIZES "m n T block_rows"
const obi_case obi_case_bitlinear_sign_gemm = { "bitlinear_sign_gemm", OBI_KERNEL_BITLINEAR_GEMM, PRODUCT_SIZES, { 67, 205, 37, 40 }, run_sign_gemm_plain };
const obi_case obi_case_bitlinear_sign_gemm_straight = { "bitlinear_sign_gemm_straight", OBI_KERNEL_BITLINEAR_GEMM_STRAIGHT, PRODUCT_SIZES,
                                                         { 75, 45, 21, 0 }, run_sign_gemm_straight };
const obi_case obi_case_bitlinear_bwd_x = { "bitlinear_bwd_x", OBI_KERNEL_BITLINEAR_BWD_X, PRODUCT_SIZES, { 131, 69, 37, 70 }, run_bwd_x_plain };
const obi_case obi_case_bitlinear_bwd_x_straight = { "bitlinear_bwd_x_straight", OBI_KERNEL_BITLINEAR_TURN_STRAIGHT, PRODUCT_SIZES,
                                                     { 43, 75, 21, 0 }, run_bwd_x_straight };
const obi_case obi_case_bitlinear_scale_columns = { "bitlinear_scale_columns", OBI_KERNEL_BITLINEAR_SCALE_COLUMNS, "T n accumulate",
                                                    { 7, 61, 1 }, run_scale_plain };
const obi_case obi_case_bitlinear_column_dot = { "bitlinear_column_dot", OBI_KERNEL_BITLINEAR_COLUMN_DOT, "T n", { 31, 67 }, run_column_dot_plain };
const obi_case obi_case_bitlinear_column_fold = { "bitlinear_column_fold", OBI_KERNEL_BITLINEAR_COLUMN_FOLD, "T n", { 71, 67 }, run_column_dot_plain };
const obi_case obi_case_bitlinear_scale_columns_straight = { "bitlinear_scale_columns_straight", OBI_KERNEL_ACT_ROWS_STRAIGHT,
                                                             "T n accumulate", { 16, 160, 1 }, run_scale_straight };
const obi_case obi_case_bitlinear_column_dot_straight = { "bitlinear_column_dot_straight", OBI_KERNEL_BITLINEAR_COLUMN_DOT_STRAIGHT, "T n",
                                                          { 75, 56 }, run_column_dot_straight };
const obi_case obi_case_bitlinear_column_fold_straight = { "bitlinear_column_fold_straight", OBI_KERNEL_BITLINEAR_COLUMN_FOLD_STRAIGHT,
                                                           "T n", { 139, 24 }, run_column_dot_straight };
const obi_case obi_case_bitlinear_scale_matrix = { "bitlinear_scale_matrix", OBI_KERNEL_BITLINEAR_SCALE_MATRIX, "m n block_rows",
                                                   { 37, 61, 20 }, run_scale_matrix_plain };
const obi_case obi_case_bitlinear_scale_matrix_straight = { "bitlinear_scale_matrix_straight", OBI_KERNEL_ACT_ROWS_STRAIGHT,
                                                            "m n block_rows", { 32, 88, 0 }, run_scale_matrix_straight };

/* Cases of the backward passes of the family dense. */
#include <math.h>

#include "ops/op_dense_bwd.h"
#include "ref/ref_dense.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

/* Products and partial sums are rounded in f32, as in the forward pass. A result that is added to something of size `old`
 * rounds once more. */
static void make_tolerance(float *squares, const float *old, double terms, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        squares[i] = (float)(obi_case_sum_error(2 * terms, (double)squares[i]) + 2 * OBI_UNIT_FLOAT * fabs(old ? (double)old[i] : 0) + 1e-30);
}

/* sizes: m, n, T, rows a block (0: one block if it fits), 1 = added to what dx held. */
static obi_status run_x(obi_case_env *env, const uint32_t *sizes, obi_case_result *result, obi_weight_type type)
{
    uint32_t m = sizes[0], n = sizes[1], T = sizes[2];
    bool accumulate = sizes[4] != 0;
    uint64_t outputs = (uint64_t)n * T;
    float *dy = obi_case_normal(env, (uint64_t)m * T, 1.0), *w = obi_case_normal(env, (uint64_t)m * n, 0.05);
    float *old = obi_case_normal(env, outputs, 1.0);
    float *want = obi_case_zeros(env, outputs), *got = obi_case_zeros(env, outputs), *tolerance = obi_case_zeros(env, outputs);
    if (!dy || !w || !old || !want || !got || !tolerance) return OBI_ERROR_MEMORY;
    float *words = type == OBI_WEIGHT_F16 ? obi_case_halves(env, w, m, n) : w;
    if (!words) return OBI_ERROR_MEMORY;
    ref_dense_bwd_x(want, tolerance, dy, w, m, n, T);
    make_tolerance(tolerance, accumulate ? old : NULL, m, outputs);
    for (uint64_t i = 0; accumulate && i < outputs; i++) want[i] += old[i];

    obi_view dy_view, dx_view;
    obi_weight weight;
    OBI_TRY(obi_case_upload(env, dy, (uint64_t)m * T * 4, &dy_view));
    if (accumulate) OBI_TRY(obi_case_upload(env, old, outputs * 4, &dx_view));
    else OBI_TRY(obi_case_output(env, outputs * 4, &dx_view));
    OBI_TRY(obi_case_weight(env, type, m, n, sizes[3], words, &weight));
    obi_cmd_begin(env->cmd);
    obi_op_dense_bwd_x(env->cmd, dx_view, dy_view, &weight, T, accumulate);
    obi_status status = obi_cmd_run(env->cmd);
    obi_weight_destroy(env->device, &weight);
    if (status == OBI_OK) status = obi_case_download(env, dx_view, got, outputs * 4);
    if (status == OBI_OK) obi_case_compare(result, "dx", got, want, outputs, tolerance, 0, 0);
    return status;
}

static obi_status run_x_f32(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_x(env, sizes, result, OBI_WEIGHT_F32);
}

static obi_status run_x_f16(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_x(env, sizes, result, OBI_WEIGHT_F16);
}

/* sizes: m, n, T, rows a block. */
static obi_status run_w(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t m = sizes[0], n = sizes[1], T = sizes[2];
    uint64_t outputs = (uint64_t)m * n;
    float *dy = obi_case_normal(env, (uint64_t)m * T, 1.0), *x = obi_case_normal(env, (uint64_t)n * T, 1.0);
    float *old = obi_case_normal(env, outputs, 1.0);
    float *want = obi_case_zeros(env, outputs), *got = obi_case_zeros(env, outputs), *tolerance = obi_case_zeros(env, outputs);
    if (!dy || !x || !old || !want || !got || !tolerance) return OBI_ERROR_MEMORY;
    ref_dense_bwd_w(want, tolerance, dy, x, m, n, T);
    make_tolerance(tolerance, old, T, outputs);
    for (uint64_t i = 0; i < outputs; i++) want[i] += old[i];

    obi_view dy_view, x_view;
    obi_weight weight;
    OBI_TRY(obi_case_upload(env, dy, (uint64_t)m * T * 4, &dy_view));
    OBI_TRY(obi_case_upload(env, x, (uint64_t)n * T * 4, &x_view));
    OBI_TRY(obi_case_weight(env, OBI_WEIGHT_F32, m, n, sizes[3], old, &weight));
    obi_cmd_begin(env->cmd);
    obi_op_dense_bwd_w(env->cmd, &weight, dy_view, x_view, T);
    obi_status status = obi_cmd_run(env->cmd);
    if (status == OBI_OK) status = obi_case_weight_download(env, &weight, got);
    obi_weight_destroy(env->device, &weight);
    if (status == OBI_OK) obi_case_compare(result, "dw", got, want, outputs, tolerance, 0, 0);
    return status;
}

OBI_CASE_FORMS(run_x_f32)
OBI_CASE_FORMS(run_x_f16)
OBI_CASE_FORMS(run_w)

#define X_SIZES "m n T block_rows accumulate"
const obi_case obi_case_dense_bwd_x_f32 = { "dense_bwd_x_f32", OBI_KERNEL_DENSE_BWD_X_F32, X_SIZES, { 131, 68, 37, 70, 1 }, run_x_f32_plain };
const obi_case obi_case_dense_bwd_x_f16 = { "dense_bwd_x_f16", OBI_KERNEL_DENSE_BWD_X_F16, X_SIZES, { 131, 69, 37, 70, 0 }, run_x_f16_plain };
const obi_case obi_case_dense_bwd_w = { "dense_bwd_w", OBI_KERNEL_DENSE_BWD_W, "m n T block_rows", { 67, 83, 37, 40 }, run_w_plain };
const obi_case obi_case_dense_turn_straight = { "dense_turn_straight", OBI_KERNEL_DENSE_TURN_STRAIGHT, X_SIZES,
                                                { 41, 75, 21, 0, 1 }, run_x_f32_straight };
const obi_case obi_case_dense_bwd_x_f16_straight = { "dense_bwd_x_f16_straight", OBI_KERNEL_DENSE_BWD_X_F16_STRAIGHT, X_SIZES,
                                                     { 41, 75, 21, 0, 0 }, run_x_f16_straight };
const obi_case obi_case_dense_bwd_w_straight = { "dense_bwd_w_straight", OBI_KERNEL_DENSE_TURN_STRAIGHT, "m n T block_rows",
                                                 { 37, 43, 39, 20 }, run_w_straight };

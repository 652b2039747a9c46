#include <math.h>
#include <string.h>

#include "ops/op_norm_bwd.h"
#include "ref/ref_norm_bwd.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define EPS 1e-5f
#define U 0x1p-24 /* the rounding of one f32 operation */

/* Roundings in a row's sum: a lane adds every 32nd element or fewer, then the lanes are joined in at most 32 steps. */
static double sum_steps(uint32_t n) { return (double)n / 32 + 32; }

static double rms_scale(const float *x, uint32_t n)
{
    double squares = 0;
    for (uint32_t i = 0; i < n; i++) squares += (double)x[i] * (double)x[i] / n;
    return 1 / sqrt(squares + (double)EPS);
}

/* r is off relatively by e = (steps/2 + 12) u as in the forward case. The mean of w dy x has cancellation: it is off by
 * (steps + 3) u of the mean of its magnitudes. */
static void rmsnorm_tolerance(float *tolerance, const float *before, const float *dy, const float *x, const float *w, uint32_t T,
                              uint32_t n)
{
    for (uint64_t row = 0; row < T; row++) {
        const float *in = x + row * n, *grad = dy + row * n;
        double r = rms_scale(in, n), e = (sum_steps(n) / 2 + 12) * U, along = 0, far = 0;
        for (uint32_t i = 0; i < n; i++) {
            double term = (double)w[i] * (double)grad[i] * (double)in[i];
            along += term / n;
            far += fabs(term) / n;
        }
        double along_error = (sum_steps(n) + 3) * U * far + fabs(along) * (2 * e + 4 * U);
        for (uint32_t i = 0; i < n; i++) {
            double straight = r * fabs((double)w[i] * (double)grad[i]), pulled = r * r * r * fabs((double)in[i]);
            double value = (straight + pulled * fabs(along)) * (e + 8 * U) + pulled * along_error;
            tolerance[row * n + i] = (float)(value + 2 * U * (before ? fabs((double)before[row * n + i]) : 0) + 1e-30);
        }
    }
}

static obi_status run_rmsnorm(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], n = sizes[1];
    bool accumulate = sizes[2] != 0;
    uint64_t count = (uint64_t)T * n;
    float *x = obi_case_normal(env, count, 1.5), *w = obi_case_normal(env, n, 1.0), *dy = obi_case_normal(env, count, 1.0);
    float *want = obi_case_normal(env, count, 1.0), *got = obi_case_zeros(env, count), *tolerance = obi_case_zeros(env, count);
    if (!x || !w || !dy || !want || !got || !tolerance) return OBI_ERROR_MEMORY;
    obi_view x_view, w_view, dy_view, dx_view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &x_view));
    OBI_TRY(obi_case_upload(env, w, (uint64_t)n * 4, &w_view));
    OBI_TRY(obi_case_upload(env, dy, count * 4, &dy_view));
    OBI_TRY(obi_case_upload(env, want, count * 4, &dx_view));
    rmsnorm_tolerance(tolerance, accumulate ? want : NULL, dy, x, w, T, n);
    ref_norm_rmsnorm_bwd(want, dy, x, w, T, n, (double)EPS, accumulate);
    obi_cmd_begin(env->cmd);
    obi_op_rmsnorm_bwd(env->cmd, dx_view, dy_view, x_view, w_view, T, n, EPS, accumulate);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, dx_view, got, count * 4));
    obi_case_compare(result, "dx", got, want, count, tolerance, 0, 0);
    return OBI_OK;
}

/* Each term is off relatively by e as above and two products; a column's sum has at most 64 + T/64 roundings. */
static obi_status run_rmsnorm_w(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], n = sizes[1];
    uint64_t count = (uint64_t)T * n;
    float *x = obi_case_normal(env, count, 1.5), *dy = obi_case_normal(env, count, 1.0), *want = obi_case_normal(env, n, 1.0);
    float *got = obi_case_zeros(env, n), *tolerance = obi_case_zeros(env, n);
    double *sums = (double *)(void *)obi_case_zeros(env, 2 * (uint64_t)n);
    if (!x || !dy || !want || !got || !tolerance || !sums) return OBI_ERROR_MEMORY;
    obi_view x_view, dy_view, dw_view, scratch_view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &x_view));
    OBI_TRY(obi_case_upload(env, dy, count * 4, &dy_view));
    OBI_TRY(obi_case_upload(env, want, (uint64_t)n * 4, &dw_view));
    OBI_TRY(obi_case_output(env, obi_op_rmsnorm_bwd_w_scratch_bytes(T, n), &scratch_view));
    double relative = (sum_steps(n) / 2 + 16 + 64 + (double)T / 64) * U;
    for (uint32_t i = 0; i < n; i++) tolerance[i] = (float)(2 * fabs((double)want[i]) * U);
    for (uint64_t row = 0; row < T; row++) {
        double r = rms_scale(x + row * n, n);
        for (uint32_t i = 0; i < n; i++) tolerance[i] += (float)(relative * fabs((double)dy[row * n + i] * (double)x[row * n + i] * r));
    }
    ref_norm_rmsnorm_bwd_w(want, sums, dy, x, T, n, (double)EPS);
    obi_cmd_begin(env->cmd);
    obi_op_rmsnorm_bwd_w(env->cmd, dw_view, scratch_view, dy_view, x_view, T, n, EPS);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, dw_view, got, (uint64_t)n * 4));
    obi_case_compare(result, "dw", got, want, n, tolerance, 0, 0);
    return OBI_OK;
}

/* As in the forward case, d = x - mean is off by at most e, and r relatively by s = (steps/2 + 12) u + e r. The mean of dz is
 * off by g = steps u mean|dz|; that of (dz - mean) d by e and g times the mean magnitudes of the other factor, and by its
 * own sum. */
static void layernorm_tolerance(float *tolerance, const float *want, const float *dz, const float *x, uint32_t T, uint32_t n)
{
    for (uint64_t row = 0; row < T; row++) {
        const float *in = x + row * n, *grad = dz + row * n;
        double mean = 0, variance = 0, far = 0, farthest = 0, dz_mean = 0, dz_far = 0, d_far = 0, apart = 0, along = 0, terms = 0;
        for (uint32_t i = 0; i < n; i++) {
            double from_pivot = fabs((double)in[i] - (double)in[0]);
            mean += (double)in[i] / n;
            dz_mean += (double)grad[i] / n;
            dz_far += fabs((double)grad[i]) / n;
            far += from_pivot / n;
            farthest = fmax(farthest, from_pivot);
        }
        for (uint32_t i = 0; i < n; i++) {
            double d = (double)in[i] - mean, other = (double)grad[i] - dz_mean;
            variance += d * d / n;
            d_far += fabs(d) / n;
            apart += fabs(other) / n;
            along += d * other / n;
            terms += fabs(d * other) / n;
        }
        double r = 1 / sqrt(variance + (double)EPS), e = (sum_steps(n) * far + 2 * farthest) * U, s = (sum_steps(n) / 2 + 12) * U + e * r;
        double g = (sum_steps(n) + 1) * U * dz_far, along_error = e * apart + g * d_far + (sum_steps(n) + 4) * U * terms;
        for (uint32_t i = 0; i < n; i++) {
            double d = fabs((double)in[i] - mean), parts = fabs((double)grad[i]) + fabs(dz_mean) + d * fabs(along) * r * r;
            double inner = g + 4 * U * parts + r * r * (e * fabs(along) + d * (along_error + fabs(along) * 2 * s));
            tolerance[row * n + i] = (float)(r * inner + fabs((double)want[row * n + i]) * (s + 4 * U) + 1e-30);
        }
    }
}

static obi_status run_layernorm(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], n = sizes[1];
    bool in_place = sizes[2] != 0;
    uint64_t count = (uint64_t)T * n;
    float *x = obi_case_normal(env, count, 0.5), *dz = obi_case_normal(env, count, 1.0), *want = obi_case_zeros(env, count);
    float *got = obi_case_zeros(env, count), *tolerance = obi_case_zeros(env, count);
    if (!x || !dz || !want || !got || !tolerance) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i++) x[i] += (float)(i / n % 3); /* rows away from zero too */
    ref_norm_layernorm_bwd(want, dz, x, T, n, (double)EPS);
    layernorm_tolerance(tolerance, want, dz, x, T, n);
    obi_view x_view, dz_view, dx_view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &x_view));
    OBI_TRY(obi_case_upload(env, dz, count * 4, &dz_view));
    OBI_TRY(obi_case_output(env, count * 4, &dx_view));
    if (in_place) dx_view = dz_view;
    obi_cmd_begin(env->cmd);
    obi_op_layernorm_bwd(env->cmd, dx_view, dz_view, x_view, T, n, EPS);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, dx_view, got, count * 4));
    obi_case_compare(result, "dx", got, want, count, tolerance, 0, 0);
    return OBI_OK;
}

OBI_CASE_FORMS(run_rmsnorm)
OBI_CASE_FORMS(run_layernorm)

const obi_case obi_case_norm_rmsnorm_bwd = {
    "norm_rmsnorm_bwd", OBI_KERNEL_NORM_RMSNORM_BWD, "T n accumulate", { 3, 257, 1 }, run_rmsnorm_plain
};
/* One op, three kernels. */
const obi_case obi_case_norm_rms_scale = { "norm_rms_scale", OBI_KERNEL_NORM_RMS_SCALE, "T n", { 67, 65 }, run_rmsnorm_w };
const obi_case obi_case_norm_rmsnorm_bwd_w = { "norm_rmsnorm_bwd_w", OBI_KERNEL_NORM_RMSNORM_BWD_W, "T n", { 67, 65 }, run_rmsnorm_w };
const obi_case obi_case_norm_fold_bwd = { "norm_fold_bwd", OBI_KERNEL_NORM_FOLD_BWD, "T n", { 67, 65 }, run_rmsnorm_w };
const obi_case obi_case_norm_layernorm_bwd = {
    "norm_layernorm_bwd", OBI_KERNEL_NORM_LAYERNORM_BWD, "T n in_place", { 3, 257, 1 }, run_layernorm_plain
};
const obi_case obi_case_norm_rmsnorm_bwd_straight = { "norm_rmsnorm_bwd_straight", OBI_KERNEL_NORM_ROWS_STRAIGHT, "T n accumulate",
                                                      { 16, 288, 1 }, run_rmsnorm_straight };
const obi_case obi_case_norm_layernorm_bwd_straight = { "norm_layernorm_bwd_straight", OBI_KERNEL_NORM_ROWS_STRAIGHT, "T n in_place",
                                                        { 16, 288, 1 }, run_layernorm_straight };

#include <math.h>

#include "ops/op_norm.h"
#include "ref/ref_act.h"
#include "ref/ref_norm.h"
#include "selftest/case_matrix.h"
#include "selftest/case_norm.h"
#include "selftest/cases.h"

#define EPS OBI_CASE_NORM_EPS
#define U 0x1p-24 /* the rounding of one f32 operation */

double obi_case_sum_steps(uint32_t n) { return (double)n / 32 + 32; }

/* The sum of squares has no cancellation: relative error (steps + 1) u, of which the root keeps half. Division, root and
 * two products add a few ulp (Vulkan: 2.5 for a division, a root no worse than division by an inverse root of 2 ulp). */
static obi_status run_rmsnorm(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], n = sizes[1];
    uint64_t count = (uint64_t)T * n;
    float *x = obi_case_normal(env, count, 1.0), *w = obi_case_normal(env, n, 1.0);
    float *got = obi_case_zeros(env, count), *want = obi_case_zeros(env, count);
    if (!x || !w || !got || !want) return OBI_ERROR_MEMORY;
    ref_norm_rmsnorm(want, x, w, T, n, (double)EPS);
    obi_view x_view, w_view, y_view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &x_view));
    OBI_TRY(obi_case_upload(env, w, (uint64_t)n * 4, &w_view));
    OBI_TRY(obi_case_output(env, count * 4, &y_view));
    obi_cmd_begin(env->cmd);
    obi_op_rmsnorm_fwd(env->cmd, y_view, x_view, w_view, T, n, EPS);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, y_view, got, count * 4));
    obi_case_compare(result, "y", got, want, count, NULL, (obi_case_sum_steps(n) / 2 + 12) * U, 1e-30);
    return OBI_OK;
}

void obi_case_layernorm_tolerance(float *tolerance, const float *x, const float *y, uint32_t T, uint32_t n)
{
    for (uint64_t r = 0; r < T; r++) {
        const float *row = x + r * n;
        double mean = 0, variance = 0, far = 0;
        for (uint32_t i = 0; i < n; i++) {
            mean += (double)row[i] / n;
            far += fabs((double)row[i] - (double)row[0]) / n;
        }
        for (uint32_t i = 0; i < n; i++) variance += ((double)row[i] - mean) * ((double)row[i] - mean) / n;
        double s = 1 / sqrt(variance + (double)EPS);
        for (uint32_t i = 0; i < n; i++) {
            double e = (obi_case_sum_steps(n) * far + 2 * fabs((double)row[i] - (double)row[0])) * U;
            double size = fabs((double)y[r * n + i]);
            tolerance[r * n + i] = (float)(e * s * (1 + size) + size * (obi_case_sum_steps(n) / 2 + 12) * U + 1e-30);
        }
    }
}

static obi_status run_layernorm(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], n = sizes[1];
    bool in_place = sizes[2] != 0;
    uint64_t count = (uint64_t)T * n;
    float *x = obi_case_normal(env, count, 0.5), *tolerance = obi_case_zeros(env, count);
    float *got = obi_case_zeros(env, count), *want = obi_case_zeros(env, count);
    if (!x || !tolerance || !got || !want) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i++) x[i] += (float)(i / n % 3); /* rows away from zero too */
    ref_norm_layernorm(want, x, T, n, (double)EPS);
    obi_case_layernorm_tolerance(tolerance, x, want, T, n);
    obi_view x_view, y_view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &x_view));
    OBI_TRY(obi_case_output(env, count * 4, &y_view));
    if (in_place) y_view = x_view;
    obi_cmd_begin(env->cmd);
    obi_op_layernorm_fwd(env->cmd, y_view, x_view, T, n, EPS);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, y_view, got, count * 4));
    obi_case_compare(result, "y", got, want, count, tolerance, 0, 0);
    return OBI_OK;
}

/* The norm's own error e, times w; then the product and the sum round once each, or one after the other: u (2 |w n| + |y|). */
static obi_status run_layernorm_affine(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], n = sizes[1];
    bool in_place = sizes[2] != 0;
    uint64_t count = (uint64_t)T * n;
    float *x = obi_case_normal(env, count, 0.5), *w = obi_case_normal(env, n, 1.0), *b = obi_case_normal(env, n, 1.0);
    float *tolerance = obi_case_zeros(env, count), *got = obi_case_zeros(env, count), *want = obi_case_zeros(env, count);
    if (!x || !w || !b || !tolerance || !got || !want) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i++) x[i] += (float)(i / n % 3);
    ref_norm_layernorm(want, x, T, n, (double)EPS);
    obi_case_layernorm_tolerance(tolerance, x, want, T, n);
    for (uint64_t i = 0; i < count; i++) {
        double product = (double)want[i] * (double)w[i % n];
        tolerance[i] = (float)(fabs((double)w[i % n]) * (double)tolerance[i] + (3 * fabs(product) + fabs((double)b[i % n])) * U + 1e-30);
    }
    ref_norm_layernorm_affine(want, x, w, b, T, n, (double)EPS);
    obi_view x_view, w_view, b_view, y_view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &x_view));
    OBI_TRY(obi_case_upload(env, w, (uint64_t)n * 4, &w_view));
    OBI_TRY(obi_case_upload(env, b, (uint64_t)n * 4, &b_view));
    OBI_TRY(obi_case_output(env, count * 4, &y_view));
    if (in_place) y_view = x_view;
    obi_cmd_begin(env->cmd);
    obi_op_layernorm_affine_fwd(env->cmd, y_view, x_view, w_view, b_view, T, n, EPS);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, y_view, got, count * 4));
    obi_case_compare(result, "y", got, want, count, tolerance, 0, 0);
    return OBI_OK;
}

/* The norm's own error e, and a rounding of each sum behind it: of n + b, and of y + that. ReLU rounds nothing. */
static obi_status run_layernorm_bias(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], n = sizes[1];
    obi_bias_then then = (obi_bias_then)sizes[2];
    bool in_place = then != OBI_BIAS_ADD && n % 2 == 0;
    uint64_t count = (uint64_t)T * n;
    float *x = obi_case_normal(env, count, 0.5), *y = obi_case_normal(env, count, 1.0), *b = obi_case_normal(env, n, 1.0);
    float *tolerance = obi_case_zeros(env, count), *got = obi_case_zeros(env, count), *want = obi_case_zeros(env, count);
    if (!x || !y || !b || !tolerance || !got || !want) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i++) x[i] += (float)(i / n % 3);
    ref_norm_layernorm(want, x, T, n, (double)EPS);
    obi_case_layernorm_tolerance(tolerance, x, want, T, n);
    ref_act_bias(want, want, b, T, n);
    for (uint64_t i = 0; i < count; i++) tolerance[i] += 3 * (float)U * fabsf(want[i]); /* the reference rounds twice */
    if (then == OBI_BIAS_RELU) ref_act_relu(want, want, count);
    if (then == OBI_BIAS_ADD) ref_act_add(want, y, want, count);
    for (uint64_t i = 0; then == OBI_BIAS_ADD && i < count; i++) tolerance[i] += 2 * (float)U * fabsf(want[i]);
    obi_view x_view, b_view, y_view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &x_view));
    OBI_TRY(obi_case_upload(env, b, (uint64_t)n * 4, &b_view));
    if (then == OBI_BIAS_ADD) OBI_TRY(obi_case_upload(env, y, count * 4, &y_view));
    else OBI_TRY(obi_case_output(env, count * 4, &y_view));
    if (in_place) y_view = x_view;
    obi_cmd_begin(env->cmd);
    obi_op_layernorm_bias_fwd(env->cmd, y_view, x_view, b_view, T, n, EPS, then);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, y_view, got, count * 4));
    obi_case_compare(result, "y", got, want, count, tolerance, 0, 0);
    return OBI_OK;
}

OBI_CASE_FORMS(run_rmsnorm)
OBI_CASE_FORMS(run_layernorm)

const obi_case obi_case_norm_rmsnorm = { "norm_rmsnorm", OBI_KERNEL_NORM_RMSNORM_FWD, "T n", { 3, 257 }, run_rmsnorm_plain };
const obi_case obi_case_norm_layernorm = { "norm_layernorm", OBI_KERNEL_NORM_LAYERNORM_FWD, "T n in_place", { 3, 257, 0 },
                                           run_layernorm_plain };
const obi_case obi_case_norm_layernorm_affine = { "norm_layernorm_affine", OBI_KERNEL_NORM_LAYERNORM_AFFINE_FWD, "T n in_place",
                                                  { 3, 257, 0 }, run_layernorm_affine };
const obi_case obi_case_norm_layernorm_bias = { "norm_layernorm_bias", OBI_KERNEL_NORM_LAYERNORM_BIAS_FWD, "T n then", { 3, 257, 2 },
                                                run_layernorm_bias };
const obi_case obi_case_norm_rmsnorm_straight = { "norm_rmsnorm_straight", OBI_KERNEL_NORM_ROWS_STRAIGHT, "T n", { 16, 288 },
                                                  run_rmsnorm_straight };
const obi_case obi_case_norm_layernorm_straight = { "norm_layernorm_straight", OBI_KERNEL_NORM_ROWS_STRAIGHT, "T n in_place",
                                                    { 16, 288, 1 }, run_layernorm_straight };

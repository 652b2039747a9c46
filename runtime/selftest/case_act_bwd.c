#include <math.h>
#include <string.h>

#include "ops/op_act_bwd.h"
#include "ref/ref_act_bwd.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define U 0x1p-24

/* exp(-g) is off by e = 2 (20 + 2|g|) u at most (Vulkan's bound and what software drivers show), s and 1 - s by no more. */
static obi_status run_swiglu(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint64_t count = sizes[0];
    float *gate = obi_case_normal(env, count, 4.0), *up = obi_case_normal(env, count, 1.0), *dy = obi_case_normal(env, count, 1.0);
    float *got = obi_case_zeros(env, count), *gate_tolerance = obi_case_zeros(env, count), *up_tolerance = obi_case_zeros(env, count);
    if (!gate || !up || !dy || !got || !gate_tolerance || !up_tolerance) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i += 7) gate[i] *= 30; /* far out too, where exp leaves its range */
    for (uint64_t i = 0; i < count; i++) {
        double g = (double)gate[i], size = fabs(g), s = 1 / (1 + exp(-g)), e = (2 * (20 + 2 * fmin(size, 87)) + 8) * U;
        double bend = size / (1 + exp(g)); /* |g| (1 - s) */
        gate_tolerance[i] = (float)(fabs((double)dy[i] * (double)up[i]) * s * (1 + 2 * bend) * e + 1e-30);
        up_tolerance[i] = (float)(fabs((double)dy[i]) * size * s * e + 1e-30);
    }
    obi_view gate_view, up_view, dy_view;
    OBI_TRY(obi_case_upload(env, gate, count * 4, &gate_view));
    OBI_TRY(obi_case_upload(env, up, count * 4, &up_view));
    OBI_TRY(obi_case_upload(env, dy, count * 4, &dy_view));
    ref_act_swiglu_bwd(gate, up, dy, count);
    obi_cmd_begin(env->cmd);
    obi_op_swiglu_bwd(env->cmd, gate_view, up_view, dy_view, count);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, gate_view, got, count * 4));
    obi_case_compare(result, "dgate", got, gate, count, gate_tolerance, 0, 0);
    OBI_TRY(obi_case_download(env, up_view, got, count * 4));
    obi_case_compare(result, "dup", got, up, count, up_tolerance, 0, 0);
    return OBI_OK;
}

/* Exact. Zeros of both signs among x. */
static obi_status run_relu(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint64_t count = sizes[0];
    bool in_place = sizes[1] != 0;
    float *x = obi_case_normal(env, count, 1.0), *dy = obi_case_normal(env, count, 1.0);
    float *got = obi_case_zeros(env, count), *want = obi_case_zeros(env, count);
    if (!x || !dy || !got || !want) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i += 5) x[i] = i % 2 ? 0.0f : -0.0f;
    ref_act_relu_bwd(want, dy, x, count);
    obi_view x_view, dy_view, dx_view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &x_view));
    OBI_TRY(obi_case_upload(env, dy, count * 4, &dy_view));
    OBI_TRY(obi_case_output(env, count * 4, &dx_view));
    if (in_place) dx_view = dy_view;
    obi_cmd_begin(env->cmd);
    obi_op_relu_bwd(env->cmd, dx_view, dy_view, x_view, count);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, dx_view, got, count * 4));
    obi_case_compare(result, "dx", got, want, count, NULL, 0, 0);
    return OBI_OK;
}

OBI_CASE_FORMS(run_swiglu)

const obi_case obi_case_act_swiglu_bwd = { "act_swiglu_bwd", OBI_KERNEL_ACT_SWIGLU_BWD, "count", { 333 }, run_swiglu_plain };
const obi_case obi_case_act_relu_bwd = { "act_relu_bwd", OBI_KERNEL_ACT_RELU_BWD, "count in_place", { 333, 0 }, run_relu };
const obi_case obi_case_act_swiglu_bwd_straight = { "act_swiglu_bwd_straight", OBI_KERNEL_ACT_ROWS_STRAIGHT, "count", { 2048 },
                                                    run_swiglu_straight };

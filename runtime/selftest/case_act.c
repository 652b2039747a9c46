#include <math.h>

#include "ops/op_act.h"
#include "ref/ref_act.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define U 0x1p-24

typedef void (*device_op)(obi_cmd *cmd, obi_view y, obi_view a, obi_view b, uint64_t count);
typedef void (*reference_op)(float *y, const float *a, const float *b, uint64_t count);

static void relu_device(obi_cmd *cmd, obi_view y, obi_view a, obi_view b, uint64_t count)
{
    (void)b;
    obi_op_relu_fwd(cmd, y, a, count);
}

static void relu_reference(float *y, const float *a, const float *b, uint64_t count)
{
    (void)b;
    ref_act_relu(y, a, count);
}

static obi_status run(obi_case_env *env, const uint32_t *sizes, obi_case_result *result, device_op device, reference_op reference,
                      double relative)
{
    uint64_t count = sizes[0];
    float *a = obi_case_normal(env, count, 4.0), *b = obi_case_normal(env, count, 1.0);
    float *got = obi_case_zeros(env, count), *want = obi_case_zeros(env, count);
    if (!a || !b || !got || !want) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i += 7) a[i] *= 30; /* far out too, where exp leaves its range */
    reference(want, a, b, count);
    obi_view a_view, b_view, y_view;
    OBI_TRY(obi_case_upload(env, a, count * 4, &a_view));
    OBI_TRY(obi_case_upload(env, b, count * 4, &b_view));
    OBI_TRY(obi_case_output(env, count * 4, &y_view));
    obi_cmd_begin(env->cmd);
    device(env->cmd, y_view, a_view, b_view, count);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, y_view, got, count * 4));
    obi_case_compare(result, "y", got, want, count, NULL, relative, 1e-30);
    return OBI_OK;
}

/* exp(-g) is off by at most 3 + 2|g| ulp where Vulkan is kept to, 17 ulp as measured on software drivers; below g = -87 the
 * result is smaller than the floor of 1e-30. 1 + exp, the division and the product add 5 more. */
static obi_status run_swiglu(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run(env, sizes, result, obi_op_swiglu_fwd, ref_act_swiglu, (2 * (3 + 2 * 87.0) + 8) * U);
}

/* Exact. */
static obi_status run_relu(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run(env, sizes, result, relu_device, relu_reference, 0);
}

/* One rounding, which both sides do alike; one ulp is left for a device that rounds otherwise. */
static obi_status run_add(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run(env, sizes, result, obi_op_add_fwd, ref_act_add, 2 * U);
}

/* One rounding, and with THEN 2 another: y + (x + b). A device that rounds otherwise has one ulp of each. */
static obi_status run_bias(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], n = sizes[1];
    obi_bias_then then = (obi_bias_then)sizes[2];
    bool in_place = sizes[3] != 0;
    uint64_t count = (uint64_t)T * n;
    float *x = obi_case_normal(env, count, 1.0), *b = obi_case_normal(env, n, 1.0), *y = obi_case_normal(env, count, 1.0);
    float *got = obi_case_zeros(env, count), *want = obi_case_zeros(env, count), *tolerance = obi_case_zeros(env, count);
    if (!x || !b || !y || !got || !want || !tolerance) return OBI_ERROR_MEMORY;
    ref_act_bias(want, x, b, T, n);
    for (uint64_t i = 0; i < count; i++) tolerance[i] = 2 * (float)U * fabsf(want[i]);
    if (then == OBI_BIAS_RELU) ref_act_relu(want, want, count);
    if (then == OBI_BIAS_ADD) ref_act_add(want, in_place ? x : y, want, count);
    for (uint64_t i = 0; then == OBI_BIAS_ADD && i < count; i++) tolerance[i] += 2 * (float)U * fabsf(want[i]);
    obi_view x_view, b_view, y_view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &x_view));
    OBI_TRY(obi_case_upload(env, b, (uint64_t)n * 4, &b_view));
    if (then == OBI_BIAS_ADD) OBI_TRY(obi_case_upload(env, y, count * 4, &y_view));
    else OBI_TRY(obi_case_output(env, count * 4, &y_view));
    if (in_place) y_view = x_view;
    obi_cmd_begin(env->cmd);
    obi_op_bias_fwd(env->cmd, y_view, x_view, b_view, T, n, then);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, y_view, got, count * 4));
    obi_case_compare(result, "y", got, want, count, tolerance, 0, 0);
    return OBI_OK;
}

OBI_CASE_FORMS(run_swiglu)
OBI_CASE_FORMS(run_add)

const obi_case obi_case_act_swiglu = { "act_swiglu", OBI_KERNEL_ACT_SWIGLU_FWD, "count", { 333 }, run_swiglu_plain };
const obi_case obi_case_act_relu = { "act_relu", OBI_KERNEL_ACT_RELU_FWD, "count", { 333 }, run_relu };
const obi_case obi_case_act_add = { "act_add", OBI_KERNEL_ACT_ADD_FWD, "count", { 333 }, run_add_plain };
const obi_case obi_case_act_bias = { "act_bias", OBI_KERNEL_ACT_BIAS_FWD, "T n then in_place", { 3, 111, 2, 0 }, run_bias };
const obi_case obi_case_act_swiglu_straight = { "act_swiglu_straight", OBI_KERNEL_ACT_ROWS_STRAIGHT, "count", { 2048 },
                                                run_swiglu_straight };
const obi_case obi_case_act_add_straight = { "act_add_straight", OBI_KERNEL_ACT_ROWS_STRAIGHT, "count", { 2048 }, run_add_straight };

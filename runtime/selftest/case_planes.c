/* Case of bitlinear/planes_fwd. sizes: m, planes, T, with an offset or not. */
#include <math.h>

#include "ops/op_planes.h"
#include "ref/ref_bitlinear.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

/* One rounding for each of at most planes + 1 terms and one for c's product, each below 2^-24 of the sum of the terms' sizes; where the
 * product is fused one less. The reference's own is one more. */
static void fill_tolerance(float *tolerance, const float *stack, const float *c, uint32_t m, uint32_t planes, uint32_t T)
{
    size_t rows = (size_t)obi_planes_rows(m, planes, c != NULL);
    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < m; i++) {
            double size = c ? fabs((double)c[i] * (double)stack[t * rows + rows - 1]) : 0;
            for (size_t p = 0; p < planes; p++) size += fabs((double)stack[t * rows + p * m + i]);
            tolerance[t * m + i] = (float)((planes + 3) * 0x1p-24 * size + 1e-30);
        }
}

static obi_status run(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t m = sizes[0], planes = sizes[1], T = sizes[2];
    bool offset = sizes[3] != 0;
    uint64_t outputs = (uint64_t)m * T, inputs = obi_planes_rows(m, planes, offset) * T;
    float *stack = obi_case_normal(env, inputs, 1.0), *c = offset ? obi_case_normal(env, m, 2.0) : NULL;
    float *want = obi_case_zeros(env, outputs), *got = obi_case_zeros(env, outputs), *tolerance = obi_case_zeros(env, outputs);
    if (!stack || (offset && !c) || !want || !got || !tolerance) return OBI_ERROR_MEMORY;
    ref_bitlinear_planes(want, stack, c, m, planes, T);
    fill_tolerance(tolerance, stack, c, m, planes, T);
    obi_view y_view, stack_view, c_view = { 0 };
    OBI_TRY(obi_case_output(env, outputs * 4, &y_view));
    OBI_TRY(obi_case_upload(env, stack, inputs * 4, &stack_view));
    if (offset) OBI_TRY(obi_case_upload(env, c, (uint64_t)m * 4, &c_view));
    obi_cmd_begin(env->cmd);
    obi_op_planes_fwd(env->cmd, y_view, stack_view, c_view, m, planes, T);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, y_view, got, outputs * 4));
    obi_case_compare(result, "y", got, want, outputs, tolerance, 0, 0);
    return OBI_OK;
}

const obi_case obi_case_bitlinear_planes = { "bitlinear_planes", OBI_KERNEL_BITLINEAR_PLANES_FWD, "m planes T offset", { 67, 3, 5, 1 }, run };

/* Case of bitlinear/planes_fwd. sizes: m, planes, T, with an offset or not, linears at once (0: 1; others have other m). */
#include <math.h>

#include "core/checked.h"
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

/* One of the linears at once: where its arrays lie in those of all. */
typedef struct part {
    uint32_t m;
    uint64_t y_at, stack_at, c_at; /* floats, multiples of OBI_BUFFER_ALIGNMENT */
} part;

static obi_status run(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t planes = sizes[1], T = sizes[2], count = sizes[4] ? sizes[4] : 1;
    bool offset = sizes[3] != 0;
    part parts[OBI_PLANES_PARTS];
    uint64_t y_floats = 0, stack_floats = 0, c_floats = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t m = i == 0 ? sizes[0] : sizes[0] / 2 + i;
        parts[i] = (part){ m, y_floats, stack_floats, c_floats };
        y_floats += obi_align_up((uint64_t)m * T, OBI_BUFFER_ALIGNMENT / 4);
        stack_floats += obi_align_up(obi_planes_rows(m, planes, offset) * T, OBI_BUFFER_ALIGNMENT / 4);
        c_floats += obi_align_up(m, OBI_BUFFER_ALIGNMENT / 4);
    }
    float *stack = obi_case_normal(env, stack_floats, 1.0), *c = offset ? obi_case_normal(env, c_floats, 2.0) : NULL;
    float *want = obi_case_zeros(env, y_floats), *got = obi_case_zeros(env, y_floats), *tolerance = obi_case_zeros(env, y_floats);
    if (!stack || (offset && !c) || !want || !got || !tolerance) return OBI_ERROR_MEMORY;
    obi_view y_view, stack_view, c_view = { 0 };
    OBI_TRY(obi_case_output(env, y_floats * 4, &y_view));
    OBI_TRY(obi_case_upload(env, stack, stack_floats * 4, &stack_view));
    if (offset) OBI_TRY(obi_case_upload(env, c, c_floats * 4, &c_view));
    obi_planes_part of[OBI_PLANES_PARTS];
    for (uint32_t i = 0; i < count; i++) {
        const part *at = &parts[i];
        const float *own = offset ? c + at->c_at : NULL;
        uint64_t rows = obi_planes_rows(at->m, planes, offset);
        ref_bitlinear_planes(want + at->y_at, stack + at->stack_at, own, at->m, planes, T);
        fill_tolerance(tolerance + at->y_at, stack + at->stack_at, own, at->m, planes, T);
        of[i] = (obi_planes_part){ .y = { y_view.buffer, y_view.offset + at->y_at * 4, (uint64_t)at->m * T * 4 },
                                   .stack = { stack_view.buffer, stack_view.offset + at->stack_at * 4, rows * T * 4 },
                                   .m = at->m };
        if (offset) of[i].c = (obi_view){ c_view.buffer, c_view.offset + at->c_at * 4, (uint64_t)at->m * 4 };
    }
    obi_cmd_begin(env->cmd);
    obi_op_planes_fwd(env->cmd, of, count, planes, T);
    if (count > 1 && obi_cmd_status(env->cmd) == OBI_OK && obi_cmd_dispatches(env->cmd) != 1)
        return obi_fail(OBI_ERROR_RUNTIME, "%u linears took %u dispatches", count, obi_cmd_dispatches(env->cmd));
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, y_view, got, y_floats * 4));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = parts[i].y_at;
        obi_case_compare(result, "y", got + at, want + at, (uint64_t)parts[i].m * T, tolerance + at, 0, 0);
    }
    return OBI_OK;
}

const obi_case obi_case_bitlinear_planes = { "bitlinear_planes", OBI_KERNEL_BITLINEAR_PLANES_FWD, "m planes T offset linears",
                                             { 67, 3, 5, 1, 3 }, run };

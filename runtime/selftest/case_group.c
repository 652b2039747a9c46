/* Cases of products of one x with the matrices of a group. sizes: rows of the first part, of each other, n, T, parts. */
#include "core/checked.h"
#include "ops/op_bitlinear.h"
#include "ops/sign_family.h"
#include "ops/sign_gemv.h"
#include "ref/ref_bitlinear.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

/* All that is a part's: m rows, whose results begin at float y_first of those of the group, and scales at float scales_first. */
typedef struct part {
    uint32_t m;
    uint32_t *words;
    uint64_t y_first, scales_first;
} part;

static obi_status run_with(obi_case_env *env, const part *parts, uint32_t count, uint32_t n, uint32_t T, obi_weight *weights,
                           const float *x, const float *scales, uint64_t scales_floats, uint64_t y_floats, float *got)
{
    obi_bitlinear_part all[OBI_GROUP_MAX];
    obi_view x_view, scales_view, y_view;
    OBI_TRY(obi_case_upload(env, x, (uint64_t)n * T * 4, &x_view));
    OBI_TRY(obi_case_upload(env, scales, scales_floats * 4, &scales_view));
    OBI_TRY(obi_case_output(env, y_floats * 4, &y_view));
    for (uint32_t i = 0; i < count; i++) {
        OBI_TRY(obi_weight_upload(env->upload, &weights[i], 0, parts[i].m, parts[i].words));
        all[i].weight = &weights[i];
        all[i].scales = scales_view;
        all[i].scales.offset += parts[i].scales_first * 4;
        all[i].scales.size = obi_scales_floats(parts[i].m, n) * 4;
        all[i].y = (obi_view){ y_view.buffer, y_view.offset + parts[i].y_first * 4, (uint64_t)parts[i].m * T * 4 };
    }
    OBI_TRY(obi_upload_finish(env->upload));
    obi_cmd_begin(env->cmd);
    obi_op_bitlinear_group_fwd(env->cmd, all, count, x_view, T);
    OBI_TRY(obi_cmd_run(env->cmd));
    return obi_case_download(env, y_view, got, y_floats * 4);
}

static obi_status run_family(obi_case_env *env, obi_sign_family family, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t n = sizes[2], T = sizes[3], count = sizes[4], rows[OBI_GROUP_MAX];
    uint64_t y_floats = 0, scales_floats = 0;
    part parts[OBI_GROUP_MAX];
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = i ? sizes[1] : sizes[0];
        parts[i] = (part){ rows[i], obi_case_signs(env, rows[i], n), y_floats, scales_floats };
        if (!parts[i].words) return OBI_ERROR_MEMORY;
        y_floats = obi_align_up((y_floats + (uint64_t)rows[i] * T) * 4, OBI_BUFFER_ALIGNMENT) / 4;
        scales_floats += obi_scales_floats(rows[i], n);
    }
    float *x = obi_case_normal(env, (uint64_t)n * T, 1.0), *scales = obi_case_normal(env, scales_floats, 0.5);
    float *got = obi_case_zeros(env, y_floats), *want = obi_case_zeros(env, y_floats), *tolerance = obi_case_zeros(env, y_floats);
    if (!x || !scales || !got || !want || !tolerance) return OBI_ERROR_MEMORY;
    obi_weight weights[OBI_GROUP_MAX];
    OBI_TRY(obi_weight_create_group(env->device, obi_sign_family_type(family), rows, count, n, weights));
    for (uint32_t i = 0; i < count; i++) weights[i].family = (uint32_t)family;
    obi_status status = run_with(env, parts, count, n, T, weights, x, scales, scales_floats, y_floats, got);
    for (uint32_t i = 0; i < count; i++) obi_weight_destroy(env->device, &weights[i]);
    if (status != OBI_OK) return status;
    bool half = family == OBI_SIGN_HALF;
    for (uint32_t i = 0; i < count; i++) {
        const float *g = scales + parts[i].scales_first, *h = g + obi_scales_h_offset(n);
        float *y = want + parts[i].y_first, *bound = tolerance + parts[i].y_first;
        ref_bitlinear_fwd(y, x, parts[i].words, g, h, rows[i], n, T);
        for (uint64_t j = 0; j < (uint64_t)rows[i] * T; j++)
            bound[j] = obi_case_sign_error(half, x + j / rows[i] * n, g, n, h[j % rows[i]]);
        const char *name = i == 0 ? "y" : i == 1 ? "second y" : "third y";
        obi_case_compare(result, name, got + parts[i].y_first, y, (uint64_t)rows[i] * T, bound, 0, 0);
    }
    return OBI_OK;
}

static obi_status run(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_family(env, OBI_SIGN_XOR, sizes, result);
}

static obi_status halves(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return obi_gemv_half_possible(env->device) ? run_family(env, OBI_SIGN_HALF, sizes, result) : OBI_OK;
}

static obi_status tiles(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return obi_gemv_straight_possible(env->device) ? run_family(env, OBI_SIGN_STRAIGHT, sizes, result) : OBI_OK;
}

static obi_status tiles_straight(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return obi_case_form(env, true, tiles, sizes, result);
}

const obi_case obi_case_bitlinear_group = {
    "bitlinear_group", OBI_KERNEL_BITLINEAR_GEMV, "m others n T parts", { 131, 129, 77, 2, 3 }, run
};
const obi_case obi_case_bitlinear_group_half = {
    "bitlinear_group_half", OBI_KERNEL_BITLINEAR_GEMV_HALF, "m others n T parts", { 131, 129, 77, 2, 3 }, halves
};
const obi_case obi_case_bitlinear_group_straight = { "bitlinear_group_straight", OBI_KERNEL_BITLINEAR_GEMV_STRAIGHT, "m others n T parts",
                                                     { 141, 35, 333, 2, 3 }, tiles_straight };

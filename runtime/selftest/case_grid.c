/* Cases of the family grid. sizes: m, n, rows a block (0: one block if it fits), columns of a group (0: all), bits. */
#include <math.h>
#include <string.h>

#include "core/half.h"
#include "ops/op_grid.h"
#include "ref/ref_grid.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

typedef struct inputs {
    uint32_t m, n, group, groups, bits;
    float *w, *dy, *grids;
    obi_weight weight, other; /* other: y or dy */
    obi_view grids_view;
} inputs;

/* Steps have few digits and quotients keep off the middle between two levels, where a device that divides less exactly may round to the
 * other one: a quotient is off by 2.5 of its last digits at most (Vulkan's precision of a division), here by 2^-17. */
static void make_row(obi_case_env *env, const inputs *in, uint32_t i)
{
    for (uint32_t g = 0; g < in->groups; g++) {
        float *grid = in->grids + 2 * ((uint64_t)i * in->groups + g), top = (float)((1u << in->bits) - 1);
        grid[0] = obi_half_to_float(obi_float_to_half((float)(0.01 + 0.2 * obi_rng_uniform(&env->rng))));
        grid[1] = rintf((float)((double)(top + 2) * obi_rng_uniform(&env->rng) - 1)); /* also past either end */
        for (uint32_t j = g * in->group; j < in->n && j < (g + 1) * in->group; j++) {
            double level = 1.5 * (double)top * (2 * obi_rng_uniform(&env->rng) - 1), part = level - floor(level);
            if (fabs(part - 0.5) < 0.001) level += 0.1;
            in->w[(uint64_t)i * in->n + j] = (float)((double)grid[0] * level);
        }
    }
}

static obi_status make_inputs(obi_case_env *env, const uint32_t *sizes, inputs *in)
{
    in->m = sizes[0];
    in->n = sizes[1];
    in->group = sizes[3] > 0 && sizes[3] < in->n ? sizes[3] : in->n;
    in->groups = (in->n + in->group - 1) / in->group;
    in->bits = sizes[4];
    uint64_t count = (uint64_t)in->m * in->n, grids = 2ull * in->m * in->groups;
    in->w = obi_case_zeros(env, count);
    in->dy = obi_case_normal(env, count, 1.0);
    in->grids = obi_case_zeros(env, grids);
    if (!in->w || !in->dy || !in->grids) return OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < in->m; i++) make_row(env, in, i);
    OBI_TRY(obi_case_upload(env, in->grids, grids * 4, &in->grids_view));
    OBI_TRY(obi_case_weight(env, OBI_WEIGHT_F32, in->m, in->n, sizes[2], in->w, &in->weight));
    obi_status status = obi_case_weight(env, OBI_WEIGHT_F32, in->m, in->n, sizes[2], in->dy, &in->other);
    if (status != OBI_OK) obi_weight_destroy(env->device, &in->weight);
    return status;
}

static void destroy(obi_case_env *env, inputs *in)
{
    obi_weight_destroy(env->device, &in->weight);
    obi_weight_destroy(env->device, &in->other);
}

static obi_status run_round(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    inputs in;
    OBI_TRY(make_inputs(env, sizes, &in));
    uint64_t count = (uint64_t)in.m * in.n;
    float *want = obi_case_zeros(env, count), *got = obi_case_zeros(env, count);
    obi_status status = want && got ? OBI_OK : OBI_ERROR_MEMORY;
    if (status == OBI_OK) {
        obi_cmd_begin(env->cmd);
        obi_op_grid_round(env->cmd, &in.other, &in.weight, in.grids_view, in.group, in.bits);
        status = obi_cmd_run(env->cmd);
    }
    if (status == OBI_OK) status = obi_case_weight_download(env, &in.other, got);
    destroy(env, &in);
    if (status != OBI_OK) return status;
    ref_grid_round(want, in.w, in.grids, in.m, in.n, in.group, in.bits);
    /* One product of whole numbers below 2^9 and a step: one rounding; a wrong level is off by a whole step. */
    obi_case_compare(result, "y", got, want, count, NULL, 2 * OBI_UNIT_FLOAT, 1e-30);
    return OBI_OK;
}

static obi_status run_round_bwd(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    inputs in;
    obi_view out;
    OBI_TRY(make_inputs(env, sizes, &in));
    uint64_t count = (uint64_t)in.m * in.groups;
    uint64_t elements = (uint64_t)in.m * in.n;
    float *want = obi_case_zeros(env, count), *got = obi_case_zeros(env, count), *tolerance = obi_case_zeros(env, count);
    float *got_dy = obi_case_zeros(env, elements), *want_dy = obi_case_zeros(env, elements);
    obi_status status = want && got && tolerance && got_dy && want_dy ? obi_case_output(env, count * 4, &out) : OBI_ERROR_MEMORY;
    if (status == OBI_OK) {
        obi_cmd_begin(env->cmd);
        obi_op_grid_round_bwd(env->cmd, out, &in.other, &in.weight, in.grids_view, in.group, in.bits);
        status = obi_cmd_run(env->cmd);
    }
    if (status == OBI_OK) status = obi_case_weight_download(env, &in.other, got_dy);
    destroy(env, &in);
    OBI_TRY(status);
    OBI_TRY(obi_case_download(env, out, got, count * 4));
    memcpy(want_dy, in.dy, elements * sizeof *want_dy);
    ref_grid_round_bwd(want, want_dy, in.w, in.grids, in.m, in.n, in.group, in.bits);
    /* Each term has the quotient's error, 2.5 u of at most 1.5 top + 1 and so below 2^-12 u top, times its dy, and the sum rounds. */
    double top = (double)((1u << in.bits) - 1);
    for (uint32_t i = 0; i < in.m; i++)
        for (uint32_t g = 0; g < in.groups; g++) {
            double squares = 0, sizes_of = 0;
            for (uint32_t j = g * in.group; j < in.n && j < (g + 1) * in.group; j++) {
                double dy = fabs((double)in.dy[(uint64_t)i * in.n + j]);
                squares += dy * dy * (top + 1) * (top + 1);
                sizes_of += dy;
            }
            tolerance[(uint64_t)i * in.groups + g] =
                (float)(obi_case_sum_error(in.group, squares) + sizes_of * 8 * (top + 1) * OBI_UNIT_FLOAT + 1e-30);
        }
    obi_case_compare(result, "d", got, want, count, tolerance, 0, 0);
    obi_case_compare(result, "dy", got_dy, want_dy, elements, NULL, 0, 0); /* as it was, or 0 */
    return OBI_OK;
}

static obi_status run_extremes(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    inputs in;
    obi_view out;
    OBI_TRY(make_inputs(env, sizes, &in));
    uint64_t count = (uint64_t)in.m * in.groups;
    obi_grid_extremes *got = (obi_grid_extremes *)(void *)obi_case_zeros(env, count * 4);
    float *low = obi_case_zeros(env, count), *high = obi_case_zeros(env, count);
    uint32_t *low_at = (uint32_t *)(void *)obi_case_zeros(env, count), *high_at = (uint32_t *)(void *)obi_case_zeros(env, count);
    float *got_values = obi_case_zeros(env, 4 * count), *want_values = obi_case_zeros(env, 4 * count);
    bool memory = got && low && high && low_at && high_at && got_values && want_values;
    obi_status status = memory ? obi_case_output(env, count * sizeof *got, &out) : OBI_ERROR_MEMORY;
    if (status == OBI_OK) {
        obi_cmd_begin(env->cmd);
        obi_op_grid_extremes(env->cmd, out, &in.weight, in.group);
        status = obi_cmd_run(env->cmd);
    }
    destroy(env, &in);
    OBI_TRY(status);
    OBI_TRY(obi_case_download(env, out, got, count * sizeof *got));
    ref_grid_extremes(low, high, low_at, high_at, in.w, in.m, in.n, in.group);
    for (uint64_t i = 0; i < count; i++) { /* columns below 2^24 are exact as floats */
        const float of_got[4] = { got[i].low, got[i].high, (float)got[i].low_at, (float)got[i].high_at };
        const float of_want[4] = { low[i], high[i], (float)low_at[i], (float)high_at[i] };
        memcpy(got_values + 4 * i, of_got, sizeof of_got);
        memcpy(want_values + 4 * i, of_want, sizeof of_want);
    }
    obi_case_compare(result, "extremes", got_values, want_values, 4 * count, NULL, 0, 0);
    return OBI_OK;
}

#define SIZES "m n block_rows group bits"
const obi_case obi_case_grid_round = { "grid_round", OBI_KERNEL_GRID_ROUND_FWD, SIZES, { 37, 100, 16, 32, 2 }, run_round };
const obi_case obi_case_grid_round_bwd = { "grid_round_bwd", OBI_KERNEL_GRID_ROUND_BWD, SIZES, { 37, 100, 16, 32, 2 }, run_round_bwd };
const obi_case obi_case_grid_extremes = { "grid_extremes", OBI_KERNEL_GRID_EXTREMES, SIZES, { 37, 100, 16, 32, 2 }, run_extremes };

#include <math.h>
#include <string.h>

#include "ops/op_optim.h"
#include "ref/ref_optim.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define U 0x1p-24

/* m and v are two or three products and a sum: 6 roundings of each term. The change follows m (its error divided by the
 * same root) and has about 12 roundings of its own, root and divisions among them; w two of w and of the decay. */
static obi_status run_adamw(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint64_t count = sizes[0];
    const obi_adamw step = { 3e-3f, 0.9f, 0.98f, 1e-8f, 0.5f, 0.271f, 0.0588f, 0.5f };
    const ref_optim_adamw_step same = { step.lr, step.beta1, step.beta2, step.eps, step.weight_decay, step.c1, step.c2, step.grad_scale };
    float *w = obi_case_normal(env, count, 0.1), *dw = obi_case_normal(env, count, 1e-2), *m = obi_case_normal(env, count, 1e-3);
    float *v = obi_case_normal(env, count, 1e-2), *got = obi_case_zeros(env, count), *m_tolerance = obi_case_zeros(env, count);
    float *w_tolerance = obi_case_zeros(env, count);
    if (!w || !dw || !m || !v || !got || !m_tolerance || !w_tolerance) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i++) v[i] *= v[i];
    if (count > 2) dw[1] = m[1] = v[1] = 0; /* an element that was never used: nothing but decay */
    obi_view w_view, dw_view, m_view, v_view;
    OBI_TRY(obi_case_upload(env, w, count * 4, &w_view));
    OBI_TRY(obi_case_upload(env, dw, count * 4, &dw_view));
    OBI_TRY(obi_case_upload(env, m, count * 4, &m_view));
    OBI_TRY(obi_case_upload(env, v, count * 4, &v_view));
    for (uint64_t i = 0; i < count; i++) {
        double g = 0.5 * fabs((double)dw[i]), terms = 0.9 * fabs((double)m[i]) + 0.1 * g, second = 0.98 * (double)v[i] + 0.02 * g * g;
        double change = 3e-3 * terms / 0.271 / (sqrt(second / 0.0588) + 1e-8);
        m_tolerance[i] = (float)(6 * terms * U + 1e-37);
        w_tolerance[i] = (float)(24 * change * U + 3 * fabs((double)w[i]) * U);
    }
    ref_optim_adamw(w, dw, m, v, count, &same);
    obi_cmd_begin(env->cmd);
    obi_op_adamw(env->cmd, w_view, dw_view, m_view, v_view, count, &step);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, w_view, got, count * 4));
    obi_case_compare(result, "w", got, w, count, w_tolerance, 0, 0);
    OBI_TRY(obi_case_download(env, m_view, got, count * 4));
    obi_case_compare(result, "m", got, m, count, m_tolerance, 0, 0);
    OBI_TRY(obi_case_download(env, v_view, got, count * 4));
    obi_case_compare(result, "v", got, v, count, NULL, 8 * U, 1e-37);
    return OBI_OK;
}

/* No cancellation: a lane adds its share of a chunk (of 1024), 64 lanes are joined, then the same for the chunks. The
 * count is exact. */
static obi_status run_sumsq(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint64_t count = sizes[0], expected;
    float *x = obi_case_normal(env, count, 2.0);
    uint32_t before[2] = { 0x41200000u /* 10 */, 3 }, words[2];
    if (!x) return OBI_ERROR_MEMORY;
    for (uint64_t i = 5; i < count; i += 97) x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
    double sum = ref_optim_sumsq(x, count, &expected) + 10;
    expected += before[1];
    obi_view x_view, out_view, scratch_view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &x_view));
    OBI_TRY(obi_case_upload(env, before, sizeof before, &out_view));
    OBI_TRY(obi_case_output(env, obi_op_sumsq_scratch_bytes(count), &scratch_view));
    obi_cmd_begin(env->cmd);
    if (sizes[1] == 0) {
        sum -= 10;
        expected -= before[1];
    }
    obi_op_sumsq(env->cmd, out_view, scratch_view, x_view, count, sizes[1] != 0);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, out_view, words, sizeof words));
    float got, want = (float)sum, got_bad = (float)words[1], want_bad = (float)expected;
    memcpy(&got, &words[0], 4);
    obi_case_compare(result, "sum", &got, &want, 1, NULL, ((double)count / 32768 + 128) * U, 0);
    obi_case_compare(result, "not finite", &got_bad, &want_bad, 1, NULL, 0, 0);
    return OBI_OK;
}

/* One rounding, which both sides do alike; one ulp is left for a device that rounds otherwise. */
static obi_status run_scale(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint64_t count = sizes[0];
    float *x = obi_case_normal(env, count, 1.0), *got = obi_case_zeros(env, count);
    if (!x || !got) return OBI_ERROR_MEMORY;
    obi_view view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &view));
    for (uint64_t i = 0; i < count; i++) x[i] *= 0.3f;
    obi_cmd_begin(env->cmd);
    obi_op_scale(env->cmd, view, count, 0.3f);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, view, got, count * 4));
    obi_case_compare(result, "x", got, x, count, NULL, 2 * U, 1e-37);
    return OBI_OK;
}

/* A lane adds its share of the values, then up to 128 lanes are joined; with cancellation, so each addition may err by half an
 * ulp of the sum of |x|. The copies must be the same bits. */
static obi_status run_tie(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint64_t count = sizes[0];
    float *x = obi_case_normal(env, count, 1.0), *got = obi_case_zeros(env, count), *want = obi_case_zeros(env, count);
    float *tolerance = obi_case_zeros(env, count);
    if (!x || !got || !want || !tolerance) return OBI_ERROR_MEMORY;
    double size = 0, sum = ref_optim_tie(x, count);
    for (uint64_t i = 0; i < count; i++) size += fabs((double)x[i]);
    for (uint64_t i = 0; i < count; i++) {
        want[i] = (float)sum;
        tolerance[i] = (float)(((double)count / obi_workgroup_size(env->device) + 128) * size * U);
    }
    obi_view view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &view));
    obi_cmd_begin(env->cmd);
    obi_op_tie(env->cmd, view, count);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, view, got, count * 4));
    obi_case_compare(result, "x", got, want, count, tolerance, 0, 0);
    for (uint64_t i = 0; i < count; i++) want[i] = got[0];
    obi_case_compare(result, "alike", got, want, count, NULL, 0, 0);
    return OBI_OK;
}

/* 4 p / (1 + p)^2 follows p = exp(-2|x|), whose error is relative: 3 + 4|x| ulp by Vulkan, 17 on software drivers, and
 * 2|x| u for the argument. */
static obi_status run_estimator(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint64_t count = sizes[0];
    obi_estimator_kind kind = (obi_estimator_kind)sizes[1];
    const float alpha = 1.5f;
    float *w = obi_case_normal(env, count, 1.5), *dw = obi_case_normal(env, count, 1.0), *got = obi_case_zeros(env, count);
    float *want = obi_case_zeros(env, count), *tolerance = obi_case_zeros(env, count);
    if (!w || !dw || !got || !want || !tolerance) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i += 11) w[i] *= 40; /* far out too, where tanh is 1 */
    for (uint64_t i = 0; i < count; i++) {
        double x = fabs((double)w[i] * (kind == OBI_ESTIMATOR_TANH ? (double)alpha : 1)),
               slope = 1 / (cosh(fmin(x, 300)) * cosh(fmin(x, 300)));
        double factor = kind == OBI_ESTIMATOR_TANH ? (double)alpha * slope : slope;
        want[i] = (float)((double)dw[i] * ref_optim_estimator((double)w[i], (uint32_t)kind, (double)alpha));
        if (kind == OBI_ESTIMATOR_TANH) want[i] = (float)((double)dw[i] * factor); /* 1 - tanh^2 has no digits left far out */
        tolerance[i] = (float)(fabs((double)dw[i]) * factor * (2 * (20 + 4 * x) + 2 * x + 8) * U + 4 * fabs((double)want[i]) * U + 1e-30);
    }
    obi_view w_view, dw_view;
    OBI_TRY(obi_case_upload(env, w, count * 4, &w_view));
    OBI_TRY(obi_case_upload(env, dw, count * 4, &dw_view));
    obi_cmd_begin(env->cmd);
    obi_op_estimator(env->cmd, dw_view, w_view, count, kind, alpha);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, dw_view, got, count * 4));
    obi_case_compare(result, "dw", got, want, count, tolerance, 0, 0);
    return OBI_OK;
}

/* The step is a maximum divided once, or a mean: a lane adds its share of a row, up to 128 lanes are joined, nothing cancels; then
 * it is rounded to a half's 11 digits, where the error may decide, and is exactly such a number. A level follows the device's own
 * step, so it is off by the rounding of one product, unless w / D (2.5 ulp by Vulkan) is so near a boundary that either neighbour
 * is right. */
static obi_status run_fake_quant(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t rows = sizes[0], columns = sizes[1], kind = sizes[2], bits = sizes[3];
    uint64_t count = (uint64_t)rows * columns;
    obi_weight w = { 0 }, q = { 0 };
    obi_view steps_view;
    obi_status status;
    float *values = obi_case_normal(env, count, 0.05), *got = obi_case_zeros(env, count), *want = obi_case_zeros(env, count);
    float *tolerance = obi_case_zeros(env, count), *steps = obi_case_zeros(env, rows), *want_steps = obi_case_zeros(env, rows);
    if (!values || !got || !want || !tolerance || !steps || !want_steps) return OBI_ERROR_MEMORY;
    for (uint64_t j = 0; rows > 2 && j < columns; j++) values[columns + j] = 0;
    for (uint32_t i = 0; i < rows; i++)
        ref_optim_fake_quant(want + (uint64_t)i * columns, &want_steps[i], values + (uint64_t)i * columns, columns, kind, bits);
    OBI_TRY_GOTO(obi_case_output(env, rows * 4ull, &steps_view));
    OBI_TRY_GOTO(obi_case_weight(env, OBI_WEIGHT_F32, rows, columns, sizes[4], values, &w));
    OBI_TRY_GOTO(obi_case_weight(env, OBI_WEIGHT_F32, rows, columns, sizes[4], tolerance, &q));
    obi_cmd_begin(env->cmd);
    obi_op_fake_quant(env->cmd, &q, steps_view, &w, (obi_fake_quant_kind)kind, bits);
    OBI_TRY_GOTO(obi_cmd_run(env->cmd));
    OBI_TRY_GOTO(obi_case_download(env, steps_view, steps, rows * 4ull));
    OBI_TRY_GOTO(obi_case_weight_download(env, &q, got));
    obi_case_compare(result, "steps", steps, want_steps, rows, NULL,
                     0x1p-11 + ((double)columns / obi_workgroup_size(env->device) + 136) * U, 0x1p-23);
    for (uint32_t i = 0; i < rows; i++) want_steps[i] = (float)ref_optim_step((double)steps[i]);
    obi_case_compare(result, "rounded steps", steps, want_steps, rows, NULL, 0, 0);
    for (uint64_t i = 0; i < count; i++) {
        double d = (double)steps[i / columns], weight = (double)values[i], low, high, near = 8 * fabs(weight) * U;
        want[i] = (float)ref_optim_level(weight, d, kind, bits);
        low = ref_optim_level(weight - near, d, kind, bits);
        high = ref_optim_level(weight + near, d, kind, bits);
        tolerance[i] = (float)(fmax(fabs(high - (double)want[i]), fabs(low - (double)want[i])) + 2 * fabs((double)want[i]) * U);
    }
    obi_case_compare(result, "q", got, want, count, tolerance, 0, 0);
done:
    obi_weight_destroy(env->device, &w);
    obi_weight_destroy(env->device, &q);
    return status;
}

/* Exact. The total begins at 7. */
static obi_status run_flip_count(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint64_t count = sizes[0];
    uint32_t *before = (uint32_t *)(void *)obi_case_zeros(env, count), *after = (uint32_t *)(void *)obi_case_zeros(env, count);
    uint32_t total = 7;
    if (!before || !after) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i++) {
        before[i] = (uint32_t)obi_rng_next(&env->rng);
        after[i] = before[i] ^ (i % 3 == 0 ? (uint32_t)obi_rng_next(&env->rng) : 1u << i % 32);
    }
    float want = (float)(7 + ref_optim_flips(before, after, count));
    obi_view before_view, after_view, total_view;
    OBI_TRY(obi_case_upload(env, before, count * 4, &before_view));
    OBI_TRY(obi_case_upload(env, after, count * 4, &after_view));
    OBI_TRY(obi_case_upload(env, &total, 4, &total_view));
    obi_cmd_begin(env->cmd);
    obi_op_flip_count(env->cmd, total_view, before_view, after_view, count);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, total_view, &total, 4));
    float got = (float)total; /* both rounded alike */
    obi_case_compare(result, "total", &got, &want, 1, NULL, 0, 0);
    return OBI_OK;
}

OBI_CASE_FORMS(run_adamw)
OBI_CASE_FORMS(run_estimator)
OBI_CASE_FORMS(run_sumsq)

const obi_case obi_case_optim_adamw = { "optim_adamw", OBI_KERNEL_OPTIM_ADAMW, "count", { 333 }, run_adamw_plain };
const obi_case obi_case_optim_sumsq = { "optim_sumsq", OBI_KERNEL_OPTIM_SUMSQ, "count accumulate", { 3333, 1 }, run_sumsq_plain };
const obi_case obi_case_optim_sumsq_fold = { "optim_sumsq_fold", OBI_KERNEL_OPTIM_SUMSQ_FOLD, "count accumulate", { 3333, 1 },
                                              run_sumsq_plain };
const obi_case obi_case_optim_scale = { "optim_scale", OBI_KERNEL_OPTIM_SCALE, "count", { 333 }, run_scale };
const obi_case obi_case_optim_tie = { "optim_tie", OBI_KERNEL_OPTIM_TIE, "count", { 333 }, run_tie };
const obi_case obi_case_optim_estimator = { "optim_estimator", OBI_KERNEL_OPTIM_ESTIMATOR, "count kind", { 333, 0 }, run_estimator_plain };
const obi_case obi_case_optim_adamw_straight = { "optim_adamw_straight", OBI_KERNEL_OPTIM_ADAMW_STRAIGHT, "count", { 1111 },
                                                 run_adamw_straight };
const obi_case obi_case_optim_estimator_straight = { "optim_estimator_straight", OBI_KERNEL_OPTIM_ESTIMATOR_STRAIGHT, "count kind",
                                                     { 1111, 0 }, run_estimator_straight };
const obi_case obi_case_optim_fake_quant = { "optim_fake_quant", OBI_KERNEL_OPTIM_FAKE_QUANT, "rows columns kind bits block_rows",
                                             { 5, 333, 0, 2, 0 }, run_fake_quant };
const obi_case obi_case_optim_flip_count = { "optim_flip_count", OBI_KERNEL_OPTIM_FLIP_COUNT, "words", { 333 }, run_flip_count };
const obi_case obi_case_optim_sumsq_straight = { "optim_sumsq_straight", OBI_KERNEL_OPTIM_SUMSQ_STRAIGHT, "count accumulate", { 3333, 1 },
                                                 run_sumsq_straight };

#include "ops/op_optim.h"

#include "core/checked.h"
#include "ops/check.h"
#include "ops/flat_straight.h"
#include "shaders/common/push_optim.h"

#define LANE_ELEMENTS_MIN 16u /* of a sum, so that short arrays are not all overhead */
#define SUMSQ_GROUPS_MAX 1024u
#define FLIP_LANE_WORDS 64u

static obi_dispatch dispatch_of(const obi_device *device, int kernel, const void *push, uint32_t push_bytes)
{
    obi_dispatch dispatch = { .kernel = kernel, .spec = { obi_workgroup_size(device) }, .spec_count = 1, .groups = { 1, 1, 1 },
                              .push = push, .push_bytes = push_bytes };
    return dispatch;
}

static void bind(obi_dispatch *dispatch, obi_binding binding)
{
    dispatch->bindings[dispatch->binding_count++] = binding;
    dispatch->bytes += binding.view.size * (binding.access == OBI_READ_WRITE ? 2 : 1);
}

/* Only the elements the op takes, so that the bytes of the profile are right. */
static obi_view first_of(obi_view view, uint64_t count)
{
    view.size = count * 4;
    return view;
}

void obi_op_adamw(obi_cmd *cmd, obi_view w, obi_view dw, obi_view m, obi_view v, uint64_t count, const obi_adamw *step)
{
    obi_device *device = obi_cmd_device(cmd);
    uint32_t groups[3];
    if (!obi_check_words(cmd, "adamw", "w", w, count, 1) || !obi_check_words(cmd, "adamw", "dw", dw, count, 1) ||
        !obi_check_words(cmd, "adamw", "m", m, count, 1) || !obi_check_words(cmd, "adamw", "v", v, count, 1) ||
        !obi_check(cmd, step->c1 > 0 && step->c2 > 0, "adamw", "steps are counted from 1, so that its corrections are above 0") ||
        !obi_check_lanes(cmd, "adamw", count, obi_workgroup_size(device), groups))
        return;
    uint64_t done = obi_flat_straight_adamw(cmd, w, dw, m, v, count, step);
    if (done == count) return;
    count -= done;
    obi_fold_groups(device, obi_div_ceil(count, obi_workgroup_size(device)), groups);
    struct obi_push_optim_adamw push = { (uint32_t)count, step->lr, step->beta1, step->beta2, step->eps, step->weight_decay,
                                         step->c1, step->c2, step->grad_scale };
    obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_OPTIM_ADAMW, &push, sizeof push);
    bind(&dispatch, obi_updates(obi_view_part(w, done, count)));
    bind(&dispatch, obi_reads(obi_view_part(dw, done, count)));
    bind(&dispatch, obi_updates(obi_view_part(m, done, count)));
    bind(&dispatch, obi_updates(obi_view_part(v, done, count)));
    for (int axis = 0; axis < 3; axis++) dispatch.groups[axis] = groups[axis];
    obi_cmd_dispatch(cmd, &dispatch);
}

/* ---- sum of squares ---------------------------------------------------------------------------------------- */

/* Elements of a workgroup. Depends on the device through the workgroup's size only. */
static uint64_t sumsq_chunk(uint64_t count, uint32_t lanes)
{
    uint64_t chunk = (uint64_t)lanes * LANE_ELEMENTS_MIN;
    uint64_t even = obi_align_up(obi_div_ceil(count, SUMSQ_GROUPS_MAX), lanes);
    return even > chunk ? even : chunk;
}

/* For any device: no workgroup has less than LANE_ELEMENTS_MIN elements. */
uint64_t obi_op_sumsq_scratch_bytes(uint64_t count)
{
    uint64_t groups = obi_div_ceil(count, LANE_ELEMENTS_MIN);
    return 8 * (groups < 1 ? 1 : groups < SUMSQ_GROUPS_MAX ? groups : SUMSQ_GROUPS_MAX);
}

static void fold_sums(obi_cmd *cmd, obi_view out, obi_view scratch, uint32_t groups, bool accumulate)
{
    struct obi_push_optim_sumsq_fold fold = { groups, accumulate };
    obi_dispatch dispatch = dispatch_of(obi_cmd_device(cmd), OBI_KERNEL_OPTIM_SUMSQ_FOLD, &fold, sizeof fold);
    bind(&dispatch, obi_updates(first_of(out, 2)));
    bind(&dispatch, obi_reads(first_of(scratch, (uint64_t)groups * 2)));
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_sumsq(obi_cmd *cmd, obi_view out, obi_view scratch, obi_view x, uint64_t count, bool accumulate)
{
    obi_device *device = obi_cmd_device(cmd);
    uint64_t chunk = sumsq_chunk(count, obi_workgroup_size(device));
    if (!obi_check_words(cmd, "sumsq", "out", out, 2, 1) || !obi_check_words(cmd, "sumsq", "x", x, count, 1) ||
        !obi_check_words(cmd, "sumsq", "scratch", scratch, obi_op_sumsq_scratch_bytes(count) / 4, 1) ||
        !obi_check(cmd, count <= INT32_MAX && chunk < 1u << 24 && chunk / obi_workgroup_size(device) <= OBI_LOOP_MAX, "sumsq",
                   "there are more elements than a kernel can count"))
        return;
    uint32_t groups;
    uint64_t done = obi_flat_straight_sumsq(cmd, scratch, x, count, &groups);
    if (done > 0) fold_sums(cmd, out, scratch, groups, accumulate);
    if (done == count) return;
    x = obi_view_part(x, done, count - done);
    accumulate = accumulate || done > 0;
    count -= done;
    groups = (uint32_t)obi_div_ceil(count, chunk);
    struct obi_push_optim_sumsq push = { (uint32_t)count, (uint32_t)chunk };
    obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_OPTIM_SUMSQ, &push, sizeof push);
    bind(&dispatch, obi_writes(first_of(scratch, (uint64_t)groups * 2)));
    bind(&dispatch, obi_reads(x));
    dispatch.groups[0] = groups;
    obi_cmd_dispatch(cmd, &dispatch);
    fold_sums(cmd, out, scratch, groups, accumulate);
}

/* ---- the rest -------------------------------------------------------------------------------------------------- */

void obi_op_scale(obi_cmd *cmd, obi_view x, uint64_t count, float factor)
{
    obi_device *device = obi_cmd_device(cmd);
    uint32_t groups[3];
    if (!obi_check_words(cmd, "scale", "x", x, count, 1) || !obi_check_lanes(cmd, "scale", count, obi_workgroup_size(device), groups))
        return;
    struct obi_push_optim_scale push = { (uint32_t)count, factor };
    obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_OPTIM_SCALE, &push, sizeof push);
    bind(&dispatch, obi_updates(first_of(x, count)));
    for (int axis = 0; axis < 3; axis++) dispatch.groups[axis] = groups[axis];
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_tie(obi_cmd *cmd, obi_view x, uint64_t count)
{
    obi_device *device = obi_cmd_device(cmd);
    if (!obi_check_words(cmd, "tie", "x", x, count, 1) ||
        !obi_check(cmd, count / obi_workgroup_size(device) < OBI_LOOP_MAX / 2, "tie", "there are more elements than a kernel can add up"))
        return;
    struct obi_push_optim_tie push = { (uint32_t)count };
    obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_OPTIM_TIE, &push, sizeof push);
    bind(&dispatch, obi_updates(first_of(x, count)));
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_estimator(obi_cmd *cmd, obi_view dw, obi_view w, uint64_t count, obi_estimator_kind kind, float alpha)
{
    obi_device *device = obi_cmd_device(cmd);
    uint32_t groups[3];
    if (!obi_check(cmd, (uint32_t)kind < OBI_ESTIMATOR_COUNT, "estimator", "there is no such kind") ||
        !obi_check_words(cmd, "estimator", "dw", dw, count, 1) || !obi_check_words(cmd, "estimator", "w", w, count, 1) ||
        !obi_check_lanes(cmd, "estimator", count, obi_workgroup_size(device), groups))
        return;
    uint64_t done = obi_flat_straight_estimator(cmd, dw, w, count, kind, alpha);
    if (done == count) return;
    count -= done;
    obi_fold_groups(device, obi_div_ceil(count, obi_workgroup_size(device)), groups);
    struct obi_push_optim_estimator push = { (uint32_t)count, (uint32_t)kind, alpha };
    obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_OPTIM_ESTIMATOR, &push, sizeof push);
    bind(&dispatch, obi_updates(obi_view_part(dw, done, count)));
    bind(&dispatch, obi_reads(obi_view_part(w, done, count)));
    for (int axis = 0; axis < 3; axis++) dispatch.groups[axis] = groups[axis];
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_fake_quant(obi_cmd *cmd, const obi_weight *q, obi_view steps, const obi_weight *w, obi_fake_quant_kind kind, uint32_t bits)
{
    obi_device *device = obi_cmd_device(cmd);
    bool known = kind == OBI_FAKE_QUANT_MINMAX ? bits >= 2 && bits <= 8 : kind == OBI_FAKE_QUANT_MEAN && (bits == 1 || bits == 2);
    if (!obi_check(cmd, known, "fake_quant", "there is no such kind with so many bits") ||
        !obi_check(cmd, w->type == OBI_WEIGHT_F32 && q->type == OBI_WEIGHT_F32 && q->rows == w->rows && q->columns == w->columns &&
                       q->block_rows == w->block_rows && q->block_count == w->block_count,
                   "fake_quant", "weight and levels must be f32 of one shape, cut into the same blocks") ||
        !obi_check(cmd, w->columns / obi_workgroup_size(device) < OBI_LOOP_MAX, "fake_quant", "its rows are too long for its kernel") ||
        !obi_check_words(cmd, "fake_quant", "steps", steps, w->rows, 1))
        return;
    for (uint32_t block = 0; block < w->block_count; block++) {
        uint32_t first, rows;
        obi_view from = obi_weight_block(w, block, &first, &rows), to = obi_weight_block(q, block, &first, &rows);
        struct obi_push_optim_fake_quant push = { rows, w->columns, first, kind == OBI_FAKE_QUANT_MEAN, bits };
        obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_OPTIM_FAKE_QUANT, &push, sizeof push);
        bind(&dispatch, obi_writes(to));
        bind(&dispatch, obi_updates(first_of(steps, w->rows))); /* a block's rows are a part of it */
        bind(&dispatch, obi_reads(from));
        obi_fold_groups(device, rows, dispatch.groups);
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

void obi_op_flip_count(obi_cmd *cmd, obi_view total, obi_view before, obi_view after, uint64_t words)
{
    obi_device *device = obi_cmd_device(cmd);
    uint32_t chunk = obi_workgroup_size(device) * FLIP_LANE_WORDS;
    if (!obi_check_words(cmd, "flip_count", "total", total, 1, 1) ||
        !obi_check_words(cmd, "flip_count", "the words before", before, words, 1) ||
        !obi_check_words(cmd, "flip_count", "the words after", after, words, 1) ||
        !obi_check(cmd, words <= INT32_MAX, "flip_count", "there are more words than a kernel can count"))
        return;
    struct obi_push_optim_flip_count push = { (uint32_t)words, chunk };
    obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_OPTIM_FLIP_COUNT, &push, sizeof push);
    bind(&dispatch, obi_updates(first_of(total, 1)));
    bind(&dispatch, obi_reads(first_of(before, words)));
    bind(&dispatch, obi_reads(first_of(after, words)));
    obi_fold_groups(device, obi_div_ceil(words, chunk), dispatch.groups);
    obi_cmd_dispatch(cmd, &dispatch);
}

#include "ops/op_grid.h"

#include "core/checked.h"
#include "ops/check.h"
#include "shaders/common/push_grid.h"

#define GROUP_MAX 65536u /* a lane's loop has at least 32 less */

static bool check(obi_cmd *cmd, const char *name, const obi_weight *a, const obi_weight *w, obi_view grids, uint32_t group, uint32_t bits)
{
    if (!obi_check(cmd, a->type == OBI_WEIGHT_F32 && w->type == OBI_WEIGHT_F32, name, "its weights must be f32") ||
        !obi_check(cmd, a->rows == w->rows && a->columns == w->columns && a->block_rows == w->block_rows, name,
                   "the weights' shapes differ") ||
        !obi_check(cmd, group > 0 && group <= w->columns && group <= GROUP_MAX, name, "no such group of columns") ||
        !obi_check(cmd, bits >= 1 && bits <= 8, name, "codes have 1 to 8 bits"))
        return false;
    return obi_check_words(cmd, name, "grids", grids, w->rows, 2 * obi_div_ceil(w->columns, group));
}

static struct obi_push_grid_round push_of(const obi_weight *w, uint32_t group, uint32_t bits)
{
    return (struct obi_push_grid_round){
        .n = w->columns, .group = group, .groups = (uint32_t)obi_div_ceil(w->columns, group), .top = (float)((1u << bits) - 1)
    };
}

void obi_op_grid_round(obi_cmd *cmd, const obi_weight *y, const obi_weight *w, obi_view grids, uint32_t group, uint32_t bits)
{
    const obi_device *device = obi_cmd_device(cmd);
    if (!check(cmd, "grid_round", y, w, grids, group, bits)) return;
    struct obi_push_grid_round push = push_of(w, group, bits);
    for (uint32_t block = 0; block < w->block_count; block++) {
        uint32_t rows;
        obi_view to = obi_weight_block(y, block, &push.first_row, &rows), from = obi_weight_block(w, block, &push.first_row, &rows);
        obi_dispatch dispatch = { .kernel = OBI_KERNEL_GRID_ROUND_FWD,
                                  .spec = { obi_workgroup_size(device) },
                                  .spec_count = 1,
                                  .push = &push,
                                  .push_bytes = sizeof push };
        if (!obi_check_lanes(cmd, "grid_round", (uint64_t)rows * w->columns, dispatch.spec[0], dispatch.groups)) return;
        push.count = rows * w->columns;
        dispatch.bindings[dispatch.binding_count++] = obi_writes(to);
        dispatch.bindings[dispatch.binding_count++] = obi_reads(from);
        dispatch.bindings[dispatch.binding_count++] = obi_reads(grids);
        dispatch.bytes = 8ull * push.count;
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

void obi_op_grid_round_bwd(obi_cmd *cmd, obi_view d, const obi_weight *dy, const obi_weight *w, obi_view grids, uint32_t group,
                           uint32_t bits)
{
    const obi_device *device = obi_cmd_device(cmd);
    if (!check(cmd, "grid_round_bwd", dy, w, grids, group, bits)) return;
    struct obi_push_grid_round push = push_of(w, group, bits);
    if (!obi_check_words(cmd, "grid_round_bwd", "d", d, w->rows, push.groups)) return;
    for (uint32_t block = 0; block < w->block_count; block++) {
        uint32_t rows;
        obi_view gradient = obi_weight_block(dy, block, &push.first_row, &rows), from = obi_weight_block(w, block, &push.first_row, &rows);
        obi_dispatch dispatch = { .kernel = OBI_KERNEL_GRID_ROUND_BWD,
                                  .spec = { obi_workgroup_size(device) },
                                  .spec_count = 1,
                                  .push = &push,
                                  .push_bytes = sizeof push };
        push.count = rows * push.groups;
        obi_fold_groups(device, push.count, dispatch.groups);
        dispatch.bindings[dispatch.binding_count++] = obi_writes(d);
        dispatch.bindings[dispatch.binding_count++] = obi_updates(gradient);
        dispatch.bindings[dispatch.binding_count++] = obi_reads(from);
        dispatch.bindings[dispatch.binding_count++] = obi_reads(grids);
        dispatch.bytes = 8ull * rows * w->columns; /* and 4 for each that is clamped */
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

void obi_op_grid_extremes(obi_cmd *cmd, obi_view out, const obi_weight *w, uint32_t group)
{
    const obi_device *device = obi_cmd_device(cmd);
    if (!obi_check(cmd, w->type == OBI_WEIGHT_F32, "grid_extremes", "its weight must be f32") ||
        !obi_check(cmd, group > 0 && group <= w->columns && group <= GROUP_MAX, "grid_extremes", "no such group of columns"))
        return;
    struct obi_push_grid_round push = push_of(w, group, 1);
    if (!obi_check_words(cmd, "grid_extremes", "out", out, w->rows, 4ull * push.groups)) return;
    for (uint32_t block = 0; block < w->block_count; block++) {
        uint32_t rows;
        obi_view from = obi_weight_block(w, block, &push.first_row, &rows);
        obi_dispatch dispatch = { .kernel = OBI_KERNEL_GRID_EXTREMES,
                                  .spec = { obi_workgroup_size(device) },
                                  .spec_count = 1,
                                  .push = &push,
                                  .push_bytes = sizeof push };
        push.count = rows * push.groups;
        obi_fold_groups(device, push.count, dispatch.groups);
        dispatch.bindings[dispatch.binding_count++] = obi_writes(out);
        dispatch.bindings[dispatch.binding_count++] = obi_reads(from);
        dispatch.bytes = 4ull * rows * w->columns;
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

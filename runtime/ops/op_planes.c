#include "ops/op_planes.h"

#include "ops/check.h"
#include "ops/matrix.h"
#include "shaders/common/push_bitlinear.h"

/* Cuts the part's views to what is used. */
static bool check(obi_cmd *cmd, obi_planes_part *part, bool offset, uint32_t planes, uint32_t T)
{
    uint64_t rows = obi_planes_rows(part->m, planes, offset);
    bool few = planes > 0 && planes <= OBI_LOOP_MAX && rows * T <= INT32_MAX;
    return obi_check(cmd, few, "planes", "their products are too many for one op") &&
           obi_check(cmd, offset == (part->c.buffer != NULL), "planes", "some have an offset and some do not") &&
           obi_matrix_check_view(cmd, "planes", "y", &part->y, T, part->m) &&
           obi_matrix_check_view(cmd, "planes", "the stack", &part->stack, T, rows) &&
           (!offset || obi_matrix_check_view(cmd, "planes", "the offset", &part->c, 1, part->m));
}

static bool behind(obi_view next, obi_view before)
{
    return next.buffer == before.buffer && next.offset >= before.offset + before.size;
}

/* Whether one dispatch can have them all. */
static bool together(const obi_cmd *cmd, const obi_planes_part *parts, uint32_t count)
{
    const obi_planes_part *last = &parts[count - 1];
    uint64_t limit = obi_cmd_device(cmd)->caps.storage_range;
    for (uint32_t i = 1; i < count; i++)
        if (!behind(parts[i].y, parts[i - 1].y) || !behind(parts[i].stack, parts[i - 1].stack) ||
            (parts[i].c.buffer && !behind(parts[i].c, parts[i - 1].c)))
            return false;
    return obi_view_span(parts[0].y, last->y).size <= limit && obi_view_span(parts[0].stack, last->stack).size <= limit &&
           (!last->c.buffer || obi_view_span(parts[0].c, last->c).size <= limit);
}

static uint32_t floats_between(obi_view first, obi_view view) { return (uint32_t)((view.offset - first.offset) / 4); }

/* What was checked. */
static void record(obi_cmd *cmd, const obi_planes_part *parts, uint32_t count, uint32_t planes, uint32_t T)
{
    bool offset = parts[0].c.buffer != NULL;
    uint32_t workgroup = obi_workgroup_size(obi_cmd_device(cmd)), groups[3];
    struct obi_push_bitlinear_planes push = { .planes = planes, .parts = count };
    uint64_t elements = 0;
    for (uint32_t i = 0; i < count; i++) {
        elements += (uint64_t)parts[i].m * T;
        push.m[i] = parts[i].m;
        push.end[i] = (uint32_t)elements;
        push.y_at[i] = floats_between(parts[0].y, parts[i].y);
        push.stack_at[i] = floats_between(parts[0].stack, parts[i].stack);
        push.c_at[i] = offset ? floats_between(parts[0].c, parts[i].c) : 0;
    }
    if (!obi_check_lanes(cmd, "planes", elements, workgroup, groups)) return;
    push.count = (uint32_t)elements;
    obi_view y = obi_view_span(parts[0].y, parts[count - 1].y), stack = obi_view_span(parts[0].stack, parts[count - 1].stack),
             c = offset ? obi_view_span(parts[0].c, parts[count - 1].c) : stack;
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_BITLINEAR_PLANES_FWD,
                              .spec = { workgroup, offset },
                              .spec_count = 2,
                              .groups = { groups[0], groups[1], groups[2] },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(y), obi_reads(stack), obi_reads(c) },
                              .binding_count = 3,
                              .bytes = y.size + stack.size + (offset ? c.size : 0) };
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_planes_fwd(obi_cmd *cmd, const obi_planes_part *parts, uint32_t count, uint32_t planes, uint32_t T)
{
    obi_planes_part cut[OBI_PLANES_PARTS];
    if (!obi_check(cmd, count > 0 && count <= OBI_PLANES_PARTS, "planes", "there are 1 to 3 linears at once")) return;
    for (uint32_t i = 0; i < count; i++) {
        cut[i] = parts[i];
        if (!check(cmd, &cut[i], parts[0].c.buffer != NULL, planes, T)) return;
    }
    if (together(cmd, cut, count)) record(cmd, cut, count, planes, T);
    else
        for (uint32_t i = 0; i < count; i++) record(cmd, &cut[i], 1, planes, T);
}

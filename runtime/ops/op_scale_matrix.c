#include "ops/op_scale_matrix.h"

#include "ops/check.h"
#include "ops/matrix.h"
#include "ops/rows_straight.h"
#include "shaders/common/push_bitlinear.h"

static const char name[] = "scale_matrix";

static void scale_block(obi_cmd *cmd, const obi_weight *out, const obi_weight *w, obi_view h, obi_view g, uint32_t block)
{
    uint32_t workgroup = obi_workgroup_size(obi_cmd_device(cmd)), groups[3], first, count;
    obi_view to = obi_weight_block(out, block, &first, &count), from = obi_weight_block(w, block, &first, &count);
    uint64_t elements = (uint64_t)count * w->columns;
    if (!obi_check_lanes(cmd, name, elements, workgroup, groups)) return;
    if (w->block_count == 1 && obi_rows_straight_takes(obi_cmd_device(cmd), count, w->columns)) {
        obi_rows_straight_scale_both(cmd, to, from, h, g, count, w->columns);
        return;
    }
    struct obi_push_bitlinear_scale_matrix push = { .n = w->columns, .count = (uint32_t)elements, .first_row = first };
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_BITLINEAR_SCALE_MATRIX,
                              .spec = { workgroup },
                              .spec_count = 1,
                              .groups = { groups[0], groups[1], groups[2] },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(to), obi_reads(from), obi_reads(h), obi_reads(g) },
                              .binding_count = 4,
                              .bytes = to.size + from.size + h.size + g.size };
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_scale_matrix(obi_cmd *cmd, const obi_weight *out, const obi_weight *w, obi_view h, obi_view g)
{
    bool alike = out->type == OBI_WEIGHT_F32 && w->type == OBI_WEIGHT_F32 && out->rows == w->rows && out->columns == w->columns &&
                 out->block_rows == w->block_rows && out->block_count == w->block_count && out->blocks != w->blocks;
    if (!obi_check(cmd, alike, name, "needs two F32 weights of one shape") || !obi_matrix_check_view(cmd, name, "h", &h, 1, w->rows) ||
        !obi_matrix_check_view(cmd, name, "g", &g, 1, w->columns))
        return;
    for (uint32_t block = 0; block < w->block_count; block++) scale_block(cmd, out, w, h, g, block);
}

#include "ops/op_act_bwd.h"

#include "ops/check.h"
#include "ops/rows_straight.h"
#include "shaders/common/push_act.h"

/* One element a lane, three arrays. */
static void elementwise(obi_cmd *cmd, int kernel, const char *op, const obi_binding bindings[3], uint64_t count, uint32_t arrays_moved)
{
    static const char *const names[] = { "the first array", "the second array", "the third array" };
    uint32_t workgroup = obi_workgroup_size(obi_cmd_device(cmd)), groups[3];
    for (int i = 0; i < 3; i++)
        if (!obi_check_words(cmd, op, names[i], bindings[i].view, count, 1)) return;
    if (!obi_check_lanes(cmd, op, count, workgroup, groups)) return;
    if (kernel == OBI_KERNEL_ACT_SWIGLU_BWD && count % OBI_FLAT_COLUMNS == 0 &&
        obi_rows_straight_takes(obi_cmd_device(cmd), count / OBI_FLAT_COLUMNS, OBI_FLAT_COLUMNS)) {
        obi_rows_straight_swiglu_bwd(cmd, bindings[0].view, bindings[1].view, bindings[2].view, count);
        return;
    }
    struct obi_push_act_elements push = { (uint32_t)count };
    obi_dispatch dispatch = { .kernel = kernel,
                              .spec = { workgroup },
                              .spec_count = 1,
                              .groups = { groups[0], groups[1], groups[2] },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { bindings[0], bindings[1], bindings[2] },
                              .binding_count = 3,
                              .bytes = count * 4 * arrays_moved };
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_swiglu_bwd(obi_cmd *cmd, obi_view gate, obi_view up, obi_view dy, uint64_t count)
{
    const obi_binding bindings[3] = { obi_updates(gate), obi_updates(up), obi_reads(dy) };
    elementwise(cmd, OBI_KERNEL_ACT_SWIGLU_BWD, "swiglu_bwd", bindings, count, 5);
}

void obi_op_relu_bwd(obi_cmd *cmd, obi_view dx, obi_view dy, obi_view x, uint64_t count)
{
    const obi_binding bindings[3] = { obi_writes(dx), obi_reads(dy), obi_reads(x) };
    elementwise(cmd, OBI_KERNEL_ACT_RELU_BWD, "relu_bwd", bindings, count, 3);
}

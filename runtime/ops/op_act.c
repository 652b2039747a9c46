#include "ops/op_act.h"

#include "ops/check.h"
#include "ops/rows_straight.h"
#include "shaders/common/push_act.h"

/* One element a lane; `b` is absent (no buffer) for an op of one input. */
static void elementwise(obi_cmd *cmd, int kernel, const char *op, obi_view y, obi_view a, obi_view b, uint64_t count)
{
    uint32_t workgroup = obi_workgroup_size(obi_cmd_device(cmd)), groups[3];
    uint32_t inputs = b.buffer ? 2 : 1;
    if (!obi_check_words(cmd, op, "the output", y, count, 1) || !obi_check_words(cmd, op, "the first input", a, count, 1) ||
        (inputs == 2 && !obi_check_words(cmd, op, "the second input", b, count, 1)) || !obi_check_lanes(cmd, op, count, workgroup, groups))
        return;
    if (kernel != OBI_KERNEL_ACT_RELU_FWD && count % OBI_FLAT_COLUMNS == 0 &&
        obi_rows_straight_takes(obi_cmd_device(cmd), count / OBI_FLAT_COLUMNS, OBI_FLAT_COLUMNS)) {
        if (kernel == OBI_KERNEL_ACT_ADD_FWD) obi_rows_straight_add(cmd, y, a, b, count);
        else obi_rows_straight_swiglu(cmd, y, a, b, count);
        return;
    }
    struct obi_push_act_elements push = { (uint32_t)count };
    obi_dispatch dispatch = { .kernel = kernel,
                              .spec = { workgroup },
                              .spec_count = 1,
                              .groups = { groups[0], groups[1], groups[2] },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(y), obi_reads(a) },
                              .binding_count = 1 + inputs,
                              .bytes = count * 4 * (1 + inputs) };
    if (inputs == 2) dispatch.bindings[2] = obi_reads(b);
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_swiglu_fwd(obi_cmd *cmd, obi_view y, obi_view gate, obi_view up, uint64_t count)
{
    if (obi_check(cmd, up.buffer != NULL, "swiglu", "the second input is missing"))
        elementwise(cmd, OBI_KERNEL_ACT_SWIGLU_FWD, "swiglu", y, gate, up, count);
}

void obi_op_relu_fwd(obi_cmd *cmd, obi_view y, obi_view x, uint64_t count)
{
    obi_view none = { 0 };
    elementwise(cmd, OBI_KERNEL_ACT_RELU_FWD, "relu", y, x, none, count);
}

void obi_op_add_fwd(obi_cmd *cmd, obi_view y, obi_view a, obi_view b, uint64_t count)
{
    if (obi_check(cmd, b.buffer != NULL, "add", "the second input is missing"))
        elementwise(cmd, OBI_KERNEL_ACT_ADD_FWD, "add", y, a, b, count);
}

void obi_op_bias_fwd(obi_cmd *cmd, obi_view y, obi_view x, obi_view b, uint32_t T, uint32_t n, obi_bias_then then)
{
    uint32_t workgroup = obi_workgroup_size(obi_cmd_device(cmd)), groups[3];
    uint64_t count = (uint64_t)T * n;
    if (!obi_check_words(cmd, "bias", "y", y, T, n) || !obi_check_words(cmd, "bias", "x", x, T, n) ||
        !obi_check_words(cmd, "bias", "b", b, 1, n) || !obi_check_lanes(cmd, "bias", count, workgroup, groups))
        return;
    struct obi_push_act_bias push = { (uint32_t)count, n };
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_ACT_BIAS_FWD,
                              .spec = { workgroup, then },
                              .spec_count = 2,
                              .groups = { groups[0], groups[1], groups[2] },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { then == OBI_BIAS_ADD ? obi_updates(y) : obi_writes(y), obi_reads(x), obi_reads(b) },
                              .binding_count = 3,
                              .bytes = count * (then == OBI_BIAS_ADD ? 12 : 8) + (uint64_t)n * 4 };
    obi_cmd_dispatch(cmd, &dispatch);
}

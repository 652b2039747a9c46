#include "ops/op_rate.h"

#include "ops/check.h"
#include "ops/tensor.h"
#include "shaders/common/push_rate.h"

void obi_op_rate_multiply_add(obi_cmd *cmd, obi_view y, uint64_t count, uint32_t turns, float factor, float term)
{
    uint32_t workgroup = obi_workgroup_size(obi_cmd_device(cmd)), groups[3];
    if (!obi_check(cmd, turns >= 1 && turns <= 65535, "multiply-add", "it takes from 1 to 65535 turns") ||
        !obi_check_words(cmd, "multiply-add", "the output", y, count, 1) || !obi_check_lanes(cmd, "multiply-add", count, workgroup, groups))
        return;
    struct obi_push_rate_multiply_add push = { (uint32_t)count, turns, factor, term };
    obi_cmd_dispatch(cmd, &(obi_dispatch){ .kernel = OBI_KERNEL_RATE_MULTIPLY_ADD,
                                           .spec = { workgroup },
                                           .spec_count = 1,
                                           .groups = { groups[0], groups[1], groups[2] },
                                           .push = &push,
                                           .push_bytes = sizeof push,
                                           .bindings = { obi_writes(y) },
                                           .binding_count = 1,
                                           .bytes = count * 4 });
}

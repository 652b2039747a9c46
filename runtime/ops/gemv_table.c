#include "ops/gemv_table.h"

#include "core/checked.h"
#include "ops/op_bitlinear.h"
#include "shaders/common/push_bitlinear.h"

#define LANES_MAX 128u        /* of a workgroup: the baseline's; keeps shared memory at 12 KiB too */
#define PARTS_MAX 4u
#define BUSY_GROUPS 256u      /* workgroups that keep a device busy */

bool obi_gemv_table_possible(const obi_device *device)
{
    const obi_caps *caps = &device->caps;
    bool power_of_two = (caps->subgroup_size & (caps->subgroup_size - 1)) == 0;
    return caps->subgroup_shuffle && device->tier >= OBI_TIER_B && power_of_two && caps->subgroup_size >= 4 &&
           caps->subgroup_size <= LANES_MAX && !device->kernel_off[OBI_KERNEL_BITLINEAR_GEMV_TABLE];
}

static uint32_t index_bits(uint32_t subgroup)
{
    uint32_t bits = 2;
    while (bits < 5 && 2u << bits <= subgroup) bits++;
    return bits;
}

void obi_gemv_table(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, obi_view scales, uint32_t T)
{
    const obi_device *device = obi_cmd_device(cmd);
    uint32_t subgroup = device->caps.subgroup_size, parts = LANES_MAX / subgroup, rows = 4;
    if (parts > PARTS_MAX) parts = PARTS_MAX;
    while (rows > 1 && weight->rows / (subgroup * rows) < BUSY_GROUPS) rows /= 2;

    struct obi_push_bitlinear_gemv push = { .m = weight->rows, .n = weight->columns, .row_words = weight->row_words,
                                            .h_offset = obi_scales_h_offset(weight->columns) };
    obi_view bits = obi_weight_block(weight, block, &push.first_row, &push.row_count);
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_BITLINEAR_GEMV_TABLE,
                              .spec = { subgroup * parts, subgroup, index_bits(subgroup), rows, parts },
                              .spec_count = 5,
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(y), obi_reads(x), obi_reads(bits), obi_reads(scales) },
                              .binding_count = 4,
                              .bytes = y.size + x.size + bits.size + scales.size };
    obi_fold_groups(device, obi_div_ceil(push.row_count, subgroup * rows), dispatch.groups);
    dispatch.groups[2] = T;
    obi_cmd_dispatch(cmd, &dispatch);
}

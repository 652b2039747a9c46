#include "ops/op_embed.h"

#include "ops/check.h"
#include "shaders/common/push_embed.h"

void obi_op_embed_gather_fwd(obi_cmd *cmd, obi_view x, obi_view ids, const obi_weight *table, uint32_t T)
{
    obi_device *device = obi_cmd_device(cmd);
    uint32_t D = table->columns;
    bool half = table->type == OBI_WEIGHT_F16;
    if (!obi_check(cmd, half || table->type == OBI_WEIGHT_F32, "embedding", "the table must be F32 or F16") ||
        !obi_check_words(cmd, "embedding", "x", x, T, D) || !obi_check_words(cmd, "embedding", "ids", ids, T, 1) ||
        !obi_check(cmd, D / obi_workgroup_size(device) < OBI_LOOP_MAX / 4, "embedding", "the rows are longer than a million elements"))
        return;
    for (uint32_t i = 0; i < table->block_count; i++) {
        struct obi_push_embed_gather push = { .tokens = T, .columns = D, .row_words = table->row_words };
        obi_view block = obi_weight_block(table, i, &push.first_row, &push.row_count);
        push.vocabulary = i == 0 ? table->rows : 0;
        obi_dispatch dispatch = { .kernel = half ? OBI_KERNEL_EMBED_GATHER_F16 : OBI_KERNEL_EMBED_GATHER_F32,
                                  .spec = { obi_workgroup_size(device) },
                                  .spec_count = 1,
                                  .push = &push,
                                  .push_bytes = sizeof push,
                                  .bindings = { obi_writes(x), obi_reads(ids), obi_reads(block) },
                                  .binding_count = 3,
                                  .bytes = (uint64_t)T * (D + table->row_words) * 4 };
        obi_fold_groups(device, T, dispatch.groups);
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

#include "ops/op_embed_bwd.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "ops/check.h"
#include "shaders/common/push_embed.h"

#define TOKENS_MAX 200000u /* a lane adds all rows of one id, four in a turn: within OBI_LOOP_MAX */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

obi_status obi_embed_plan(uint32_t *plan, uint32_t *distinct, const uint32_t *ids, uint32_t T, uint32_t V)
{
    uint64_t *keys = obi_calloc(T, sizeof *keys); /* id, then position: no two are equal, so any sort is a stable one */
    if (!keys) return OBI_ERROR_MEMORY;
    uint32_t used = 0, count = 0;
    for (uint32_t t = 0; t < T; t++)
        if (ids[t] < V) keys[used++] = (uint64_t)ids[t] << 32 | t;
    if (used > 0) qsort(keys, used, sizeof *keys, compare);
    uint32_t *order = plan, *starts = plan + T, *names = plan + 2 * (uint64_t)T + 1;
    memset(plan, 0, OBI_EMBED_PLAN_WORDS(T) * sizeof *plan);
    for (uint32_t i = 0; i < used; i++) {
        uint32_t id = (uint32_t)(keys[i] >> 32);
        order[i] = (uint32_t)keys[i];
        if (count > 0 && names[count - 1] == id) continue;
        starts[count] = i;
        names[count++] = id;
    }
    starts[count] = used;
    obi_free(keys);
    *distinct = count;
    return OBI_OK;
}

void obi_op_embed_scatter_add(obi_cmd *cmd, const obi_weight *dtable, obi_view dx, obi_view plan, uint32_t T, uint32_t distinct)
{
    obi_device *device = obi_cmd_device(cmd);
    uint32_t D = dtable->columns, workgroup = obi_workgroup_size(device), column_groups = (uint32_t)obi_div_ceil(D, workgroup);
    if (!obi_check(cmd, dtable->type == OBI_WEIGHT_F32, "embedding_bwd", "the gradient of the table must be F32") ||
        !obi_check(cmd, distinct <= T && T <= TOKENS_MAX, "embedding_bwd", "there are more tokens than a kernel can add up; take fewer") ||
        !obi_check_words(cmd, "embedding_bwd", "dx", dx, T, D) ||
        !obi_check_words(cmd, "embedding_bwd", "the plan", plan, OBI_EMBED_PLAN_WORDS(T), 1) ||
        !obi_check(cmd, (uint64_t)T * D <= UINT32_MAX, "embedding_bwd", "there are more elements than a kernel can count"))
        return;
    if (distinct == 0) return; /* no token has a row */
    for (uint32_t i = 0; i < dtable->block_count; i++) {
        struct obi_push_embed_scatter push = { .tokens = T, .columns = D, .distinct = distinct, .column_groups = column_groups };
        obi_view block = obi_weight_block(dtable, i, &push.first_row, &push.row_count);
        obi_dispatch dispatch = { .kernel = OBI_KERNEL_EMBED_SCATTER_BWD,
                                  .spec = { workgroup },
                                  .spec_count = 1,
                                  .push = &push,
                                  .push_bytes = sizeof push,
                                  .bindings = { obi_updates(block), obi_reads(dx), obi_reads(plan) },
                                  .binding_count = 3,
                                  .bytes = ((uint64_t)T + 2 * (uint64_t)distinct) * D * 4 };
        obi_fold_groups(device, (uint64_t)distinct * column_groups, dispatch.groups);
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

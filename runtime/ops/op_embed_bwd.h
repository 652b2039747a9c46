/* op_embed_bwd: the gradient of the embedding lookup. Failures are kept in the cmd. */
#ifndef OBI_OPS_OP_EMBED_BWD_H
#define OBI_OPS_OP_EMBED_BWD_H

#include "ops/tensor.h"

/* Which tokens each row gets, as the kernel reads it: the positions of the tokens sorted by id, tokens of one id in their
 * order (T words, unused ones 0); where each distinct id begins among them, and the end (T + 1); the distinct ids (T). */
#define OBI_EMBED_PLAN_WORDS(T) (3 * (uint64_t)(T) + 1)

/* Makes the plan on the host; ids of V or more are left out. *distinct = number of distinct ids. OBI_ERROR_MEMORY is the
 * only failure. */
obi_status obi_embed_plan(uint32_t *plan /* OBI_EMBED_PLAN_WORDS(T) */, uint32_t *distinct, const uint32_t *ids /* (T) */, uint32_t T,
                          uint32_t V);

/* dtable[id] += sum of dx[t] over the tokens t of that id, in their order: the same bits every time. `plan` is the uploaded
 * plan. One dispatch for each row block of the table, which is F32; T up to 200,000. */
void obi_op_embed_scatter_add(obi_cmd *cmd, const obi_weight *dtable /* (V,D) += */, obi_view dx /* (T,D) */, obi_view plan, uint32_t T,
                              uint32_t distinct);

#endif

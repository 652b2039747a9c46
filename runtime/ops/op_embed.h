/* op_embed: embedding lookup. Failures are kept in the cmd. */
#ifndef OBI_OPS_OP_EMBED_H
#define OBI_OPS_OP_EMBED_H

#include "ops/tensor.h"

/* x[t] = table[ids[t]]. The table is F32 or F16, D = its columns; an id that the table does not have gives zeros. One
 * dispatch for each row block of the table. */
void obi_op_embed_gather_fwd(obi_cmd *cmd, obi_view x /* (T,D) */, obi_view ids /* (T) u32 */, const obi_weight *table /* (V,D) */,
                             uint32_t T);

#endif

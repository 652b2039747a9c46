/* op_util: the k largest of many. Failures are kept in the cmd. */
#ifndef OBI_OPS_OP_UTIL_H
#define OBI_OPS_OP_UTIL_H

#include "ops/tensor.h"

#define OBI_TOPK_MAX 128u

typedef struct obi_topk_pair { uint32_t id; float value; } obi_topk_pair; /* as in `out` */

/* Bytes that `scratch` must have; never 0. */
uint64_t obi_op_topk_scratch_bytes(uint32_t V, uint32_t k);

/* The k largest logits with their ids: largest first, the lower id first among equals (0 equals -0, and is written as 0),
 * NaN after everything. The same on every device. 1 <= k <= OBI_TOPK_MAX, k <= V. */
void obi_op_topk_fwd(obi_cmd *cmd, obi_view out /* (k) pairs */, obi_view logits /* (V) */, obi_view scratch, uint32_t V, uint32_t k);

#endif

/* op_attn_bwd: the gradient of attention over whole sequences: training, without a cache. Failures are kept in the cmd.
 * q, k and v are parts of one buffer (obi_attn_parts), and so are their gradients. */
#ifndef OBI_OPS_OP_ATTN_BWD_H
#define OBI_OPS_OP_ATTN_BWD_H

#include "ops/op_attn.h"

/* From dout, the gradient of the output `out` of obi_op_attn_train_fwd, all of dqkv. B sequences of T tokens. The sums of
 * dk and dv over the query heads that share a key head, and all others, are in a fixed order: the same bits every time.
 * C even, up to 256. stats is scratch, obi_attn_stats_bytes(B * T, H). */
void obi_op_attn_bwd(obi_cmd *cmd, obi_view dqkv, obi_view stats, obi_view qkv, obi_view out /* (B,T,H,C) */, obi_view dout /* (B,T,H,C) */,
                     uint32_t B, uint32_t T, uint32_t H, uint32_t K, uint32_t C);
uint64_t obi_attn_stats_bytes(uint64_t tokens, uint32_t H);

/* What training's attention, forward and backward, takes of the cmd's scratch. */
uint64_t obi_op_attn_scratch_bytes(const obi_device *device, uint32_t B, uint32_t T, uint32_t H, uint32_t K, uint32_t C);

/* Its three steps: what the others need of each query; dq; dk and dv. The last two do not depend on each other. */
void obi_op_attn_stats(obi_cmd *cmd, obi_view stats, obi_view qkv, obi_view out, obi_view dout, uint32_t B, uint32_t T, uint32_t H,
                       uint32_t K, uint32_t C);
void obi_op_attn_bwd_q(obi_cmd *cmd, obi_view dqkv, obi_view qkv, obi_view dout, obi_view stats, uint32_t B, uint32_t T, uint32_t H,
                       uint32_t K, uint32_t C);
void obi_op_attn_bwd_kv(obi_cmd *cmd, obi_view dqkv, obi_view qkv, obi_view dout, obi_view stats, uint32_t B, uint32_t T, uint32_t H,
                        uint32_t K, uint32_t C);

#endif

/* op_norm_bwd: gradients of the norms of op_norm. Failures are kept in the cmd. n up to a million. */
#ifndef OBI_OPS_OP_NORM_BWD_H
#define OBI_OPS_OP_NORM_BWD_H

#include "ops/tensor.h"

/* The gradient of obi_op_rmsnorm_fwd for x, written to dx, or added to it when `accumulate`. */
void obi_op_rmsnorm_bwd(obi_cmd *cmd, obi_view dx /* (T,n) */, obi_view dy /* (T,n) */, obi_view x /* (T,n) */, obi_view w /* (n) */,
                        uint32_t T, uint32_t n, float eps, bool accumulate);

/* The gradient of obi_op_rmsnorm_fwd for w, added to dw in a fixed order. */
void obi_op_rmsnorm_bwd_w(obi_cmd *cmd, obi_view dw /* (n) += */, obi_view scratch, obi_view dy /* (T,n) */, obi_view x /* (T,n) */,
                          uint32_t T, uint32_t n, float eps);
uint64_t obi_op_rmsnorm_bwd_w_scratch_bytes(uint32_t T, uint32_t n);

/* The gradient of obi_op_layernorm_fwd for x, the input of that norm. dx may be dy. */
void obi_op_layernorm_bwd(obi_cmd *cmd, obi_view dx /* (T,n) */, obi_view dy /* (T,n) */, obi_view x /* (T,n) */, uint32_t T, uint32_t n,
                          float eps);

#endif

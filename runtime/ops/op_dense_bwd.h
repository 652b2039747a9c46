/* op_dense_bwd: the gradients of y = x W^T, the plain linear layer. */
#ifndef OBI_OPS_OP_DENSE_BWD_H
#define OBI_OPS_OP_DENSE_BWD_H

#include "ops/tensor.h"

/* dx = dy W, or dx += dy W where `accumulate`. Sums are f32, over the rows in order, 65536 rows or a row block at a time. */
void obi_op_dense_bwd_x(obi_cmd *cmd, obi_view dx /* (T,n) */, obi_view dy /* (T,m) */, const obi_weight *w /* F32 or F16 (m,n) */,
                        uint32_t T, bool accumulate);

/* dw += dy^T x. The blocks of `dw` are written, although a weight is immutable elsewhere: a gradient is one that is not.
 * Sums are f32, over the tokens in order, 65536 at a time. */
void obi_op_dense_bwd_w(obi_cmd *cmd, const obi_weight *dw /* F32 (m,n) */, obi_view dy /* (T,m) */, obi_view x /* (T,n) */, uint32_t T);

#endif

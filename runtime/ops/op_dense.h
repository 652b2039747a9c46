/* op_dense: the plain linear layer y = W x, W in f32 or f16. */
#ifndef OBI_OPS_OP_DENSE_H
#define OBI_OPS_OP_DENSE_H

#include "ops/tensor.h"

/* Writes y. Sums are f32; with tier C the products of an f16 weight and x are made in half, where they cannot overflow
 * unseen (shaders/dense/gemv.comp). */
void obi_op_dense_fwd(obi_cmd *cmd, obi_view y /* (T,m) */, obi_view x /* (T,n) */, const obi_weight *weight /* F32 or F16 (m,n) */,
                      uint32_t T);

#endif

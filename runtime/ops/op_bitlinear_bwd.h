/* op_bitlinear_bwd: the gradients of the 1-bit linear layer U = X * g, V = U S^T, Y = V * h (columns scaled by g and h):
 *
 *     dV = dY * h     dU = dV S     dX = dU * g     dg += column dot of dU and X     dh += column dot of dY and V
 *     dS += dV^T U    by obi_op_dense_bwd_w, before the sign's estimator
 *
 * The forward V = U S^T is obi_op_sign_gemm of op_bitlinear.h. */
#ifndef OBI_OPS_OP_BITLINEAR_BWD_H
#define OBI_OPS_OP_BITLINEAR_BWD_H

#include "ops/op_bitlinear.h"
#include "ops/tensor.h"

/* dU = dV S: writes du. Sums are f32, over the rows in order, 65536 rows or a row block at a time. */
void obi_op_bitlinear_bwd_x(obi_cmd *cmd, obi_view du /* (T,n) */, obi_view dv /* (T,m) */, const obi_weight *signs /* SIGN (m,n) */,
                            uint32_t T);

/* y[t,j] = x[t,j] * s[j], or y += that where `accumulate`. y may be x. */
void obi_op_scale_columns(obi_cmd *cmd, obi_view y /* (T,n) */, obi_view x /* (T,n) */, obi_view s /* (n) */, uint32_t T, uint32_t n,
                          bool accumulate);

/* out[j] += sum over t of a[t,j] * b[t,j], in an order that T alone decides: the same bits every time. */
void obi_op_column_dot(obi_cmd *cmd, obi_view out /* (n) */, obi_view scratch /* obi_column_dot_floats(T, n) */, obi_view a /* (T,n) */,
                       obi_view b /* (T,n) */, uint32_t T, uint32_t n);
uint64_t obi_column_dot_floats(uint32_t T, uint32_t n);

#endif

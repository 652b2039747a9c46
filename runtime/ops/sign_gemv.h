/* sign_gemv: y = h * (S (g * x)) for a few tokens, by one of several families of kernels. A family has its own layout of the
 * signs, so that the one that uploads a weight chooses it. */
#ifndef OBI_OPS_SIGN_GEMV_H
#define OBI_OPS_SIGN_GEMV_H

#include "ops/tensor.h"

/* The layout that this device's family wants for (rows,columns) signs that only products forward read: pass it to
 * obi_weight_create. Small matrices have the plain one: a software driver takes seconds to prepare its kernels for the other,
 * at every start, which a small model does not give back. */
obi_weight_type obi_sign_gemv_type(const obi_device *device, uint32_t rows, uint32_t columns);

/* Records it for the rows of one block. The caller has checked type and sizes and cut the views; T < OBI_MATRIX_GEMM_TOKENS. */
void obi_sign_gemv(obi_cmd *cmd, obi_view y /* (T,m) */, obi_view x /* (T,n) */, const obi_weight *weight, uint32_t block,
                   obi_view scales, uint32_t T);

#endif

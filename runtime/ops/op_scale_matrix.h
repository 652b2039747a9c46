/* op_scale_matrix: the weight that a 1-bit layer never makes, S * (h g^T), made for comparison (OneBit, arXiv 2402.11295, eq. 3). */
#ifndef OBI_OPS_OP_SCALE_MATRIX_H
#define OBI_OPS_OP_SCALE_MATRIX_H

#include "ops/tensor.h"

/* out[i,j] = w[i,j] * (h[i] * g[j]): two multiplications an element. The blocks of `out` are written, although a weight is immutable
 * elsewhere. Both are of type F32 and one shape, and `out` is not `w`. A block has fewer than 2^32 elements. */
void obi_op_scale_matrix(obi_cmd *cmd, const obi_weight *out /* F32 (m,n) */, const obi_weight *w /* F32 (m,n) */, obi_view h /* (m) */,
                         obi_view g /* (n) */);

#endif

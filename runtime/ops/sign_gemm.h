/* sign_gemm: y = h * (S (g * x)) for many tokens on software drivers, of signs in tiles: the signed sums of every three inputs are
 * made once (bitlinear/sums_straight), and every row chooses among them (bitlinear/gemm_sums_straight). */
#ifndef OBI_OPS_SIGN_GEMM_H
#define OBI_OPS_SIGN_GEMM_H

#include "ops/op_bitlinear.h"

/* The most scratch of the cmd that they take for rows of n and T tokens or fewer, of up to `count` parts together. */
uint64_t obi_sign_gemm_bytes(uint32_t n, uint32_t T, uint32_t count);

/* Records it for the rows of one block of a weight of type SIGN_TILES; of several blocks the first comes first. The caller has
 * checked type and sizes and cut the views. */
void obi_sign_gemm(obi_cmd *cmd, obi_view y /* (T,m) */, obi_view x /* (T,n) */, const obi_weight *weight, uint32_t block,
                   obi_view scales, uint32_t T);

/* The same for parts in order, checked (obi_op_bitlinear_group_fwd), together; false, and nothing is recorded, where they are too
 * large or not in tiles. */
bool obi_sign_gemm_group(obi_cmd *cmd, const obi_bitlinear_part *parts, uint32_t count, obi_view x, uint32_t T);

#endif

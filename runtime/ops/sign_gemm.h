/* sign_gemm: y = h * (S (g * x)) for many tokens on software drivers, of signs in tiles: the signed sums of every three inputs are
 * made once (bitlinear/sums_straight), and every row chooses among them (bitlinear/gemm_sums_straight). A weight of family
 * STRAIGHT_INT8 has the inputs rounded to bytes, in blocks of obi_sign_gemm_block columns with a step each. */
#ifndef OBI_OPS_SIGN_GEMM_H
#define OBI_OPS_SIGN_GEMM_H

#include "ops/op_bitlinear.h"

/* Whether the kernels of bytes work on this device. */
bool obi_gemm_int8_straight_possible(const obi_device *device);

/* Columns of a row of n that share a step, but for the last of them: a multiple of 32, at most 256. */
uint32_t obi_sign_gemm_block(uint32_t n);

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

/* op_bitlinear: the 1-bit linear layer, y = h * (S (g * x)) with S = +-1 from packed bits (OneBit, arXiv 2402.11295, eq. 3-5). */
#ifndef OBI_OPS_OP_BITLINEAR_H
#define OBI_OPS_OP_BITLINEAR_H

#include "ops/tensor.h"

/* g and h lie in one buffer, "scales": g (n) at 0, then h (m) at float obi_scales_h_offset(n), each f32 and padded to
 * 64 floats so that either can also be bound alone. What the padding holds does not matter. */
uint32_t obi_scales_h_offset(uint32_t n);
uint64_t obi_scales_floats(uint32_t m, uint32_t n); /* of the whole buffer; g in front, padding included */

/* Writes y. `weight` is of type SIGN, or SIGN_TILES where family straight is offered; of fewer than OBI_MATRIX_GEMM_TOKENS
 * tokens the weight's family (ops/sign_family.h) makes the products, of more the gemm. The activation's sign is XORed with the
 * weight's bit: no weight is unpacked and none is multiplied.
 * Sums are f32 but in family int8, whose sums of bytes are integers, and in family half, which sums eight terms at a time in half, scaled
 * so that none of them can overflow. */
void obi_op_bitlinear_fwd(obi_cmd *cmd, obi_view y /* (T,m) */, obi_view x /* (T,n) */, const obi_weight *weight /* (m,n) */,
                          obi_view scales, uint32_t T);

/* The product alone, V = U S^T, for a training pass that keeps V: writes v. `signs` is of type SIGN. Sums are f32. */
void obi_op_sign_gemm(obi_cmd *cmd, obi_view v /* (T,m) */, obi_view u /* (T,n) */, const obi_weight *signs /* (m,n) */, uint32_t T);

/* Products of one x with the matrices of a group (obi_weight_create_group): y[i] as obi_op_bitlinear_fwd gives it. One dispatch
 * (of OBI_MATRIX_GEMM_TOKENS and more in family straight one for them all, behind that for the sums of x) where their family has a
 * kernel for that and all lie in order: the weights as the group was made, their scales and their results each one behind the other in
 * one buffer, from multiples of OBI_BUFFER_ALIGNMENT on, the second's and the third's of one size; else one after the other.
 * 1 to OBI_GROUP_MAX of them. */
#define OBI_GROUP_MAX 3u
typedef struct obi_bitlinear_part {
    obi_view y, scales;
    const obi_weight *weight;
} obi_bitlinear_part;
void obi_op_bitlinear_group_fwd(obi_cmd *cmd, const obi_bitlinear_part *parts, uint32_t count, obi_view x, uint32_t T);

/* For ops that go on with the products in the same dispatch: whether the parts lie in order, and the checks of a part, which cut the
 * views to what is used (false: the cmd has failed). */
bool obi_bitlinear_in_order(const obi_bitlinear_part *parts, uint32_t count, uint32_t T);
bool obi_bitlinear_check(obi_cmd *cmd, obi_bitlinear_part *part, obi_view *x, uint32_t T);

/* The most scratch of the cmd that obi_op_bitlinear_fwd takes for T tokens or fewer, alone or in a group; 0 where it takes none. */
uint64_t obi_op_bitlinear_scratch_bytes(const obi_device *device, const obi_weight *weight, uint32_t T);

#endif

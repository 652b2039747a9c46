/* sign_gemv: y = h * (S (g * x)) for a few tokens, by the family of kernels that the weight was made for (ops/sign_family.h). */
#ifndef OBI_OPS_SIGN_GEMV_H
#define OBI_OPS_SIGN_GEMV_H

#include "ops/op_bitlinear.h"
#include "shaders/common/push_bitlinear.h"

/* Whether the kernel for software drivers, which reads signs in tiles, can run here. */
bool obi_gemv_straight_possible(const obi_device *device);
bool obi_gemv_half_possible(const obi_device *device);

/* Records it for the rows of one block; of several blocks the first comes first. The caller has checked type and sizes and cut
 * the views; T < OBI_MATRIX_GEMM_TOKENS. */
void obi_sign_gemv(obi_cmd *cmd, obi_view y /* (T,m) */, obi_view x /* (T,n) */, const obi_weight *weight, uint32_t block,
                   obi_view scales, uint32_t T);

/* The same for parts in order, checked, as one dispatch; false, and nothing is recorded, where their family has none for them. */
bool obi_sign_gemv_group(obi_cmd *cmd, const obi_bitlinear_part *parts, uint32_t count, obi_view x, uint32_t T);

/* The dispatch of bitlinear/gemv, or of the same in halves, for one weight of one block or for parts in order, checked: not recorded, and
 * without push constants, since others go on in the same dispatch (ops/op_bitlinear_post.h). False: the family has another kernel. */
typedef struct obi_gemv_plan {
    struct obi_push_bitlinear_gemv push;
    obi_dispatch dispatch;
} obi_gemv_plan;
bool obi_sign_gemv_plan(const obi_cmd *cmd, const obi_bitlinear_part *parts, uint32_t count, obi_view x, uint32_t T, obi_gemv_plan *plan);

#endif

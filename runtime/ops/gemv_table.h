/* gemv_table: products with signs for a few tokens by tables of signed sums, spread over a subgroup and read by shuffles: up to
 * five columns an addition, exact as the plain kernel is. */
#ifndef OBI_OPS_GEMV_TABLE_H
#define OBI_OPS_GEMV_TABLE_H

#include "ops/tensor.h"

/* Whether the kernel can run here. It pays with subgroups of 16 lanes and more only; with fewer it is right all the same. */
bool obi_gemv_table_possible(const obi_device *device);

/* As obi_sign_gemv, for a block of a weight of type OBI_WEIGHT_SIGN. */
void obi_gemv_table(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, obi_view scales, uint32_t T);

#endif

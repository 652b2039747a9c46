/* op_planes: linears that are sums of several sign planes (docs/format.md). Their products are op_bitlinear's with one matrix of all
 * planes' rows; this makes outputs of them. */
#ifndef OBI_OPS_OP_PLANES_H
#define OBI_OPS_OP_PLANES_H

#include "ops/tensor.h"

/* Rows of the one matrix, and elements of a token in the stack: m for each plane, and one more with an offset. */
static inline uint64_t obi_planes_rows(uint32_t m, uint32_t planes, bool offset) { return (uint64_t)planes * m + offset; }

/* Writes y: y[t,i] = sum_p stack[t, p m + i] + c[i] stack[t, planes m]. c: no buffer where there is no offset, and then the stack has
 * planes m elements a token. Sums are f32. */
void obi_op_planes_fwd(obi_cmd *cmd, obi_view y /* (T,m) */, obi_view stack /* (T, obi_planes_rows) */, obi_view c /* (m) */, uint32_t m,
                       uint32_t planes, uint32_t T);

#endif

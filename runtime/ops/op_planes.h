/* op_planes: linears that are sums of several sign planes (docs/format.md). Their products are op_bitlinear's with one matrix of all
 * planes' rows; this makes outputs of them. */
#ifndef OBI_OPS_OP_PLANES_H
#define OBI_OPS_OP_PLANES_H

#include "ops/tensor.h"

/* Rows of the one matrix, and elements of a token in the stack: m for each plane, and one more with an offset. */
static inline uint64_t obi_planes_rows(uint32_t m, uint32_t planes, bool offset) { return (uint64_t)planes * m + offset; }

typedef struct obi_planes_part {
    obi_view y;     /* (T,m) */
    obi_view stack; /* (T, obi_planes_rows) */
    obi_view c;     /* (m); no buffer where there is no offset, and then the stack has planes m elements a token */
    uint32_t m;
} obi_planes_part;

/* Writes the y of each part: y[t,i] = sum_p stack[t, p m + i] + c[i] stack[t, planes m]. All have an offset or none has. Sums are f32. One
 * dispatch where each of the three arrays lies in one buffer for all parts, one behind the other, and can be bound as a whole; else one
 * for each part. 1 to OBI_PLANES_PARTS of them. */
#define OBI_PLANES_PARTS 3u
void obi_op_planes_fwd(obi_cmd *cmd, const obi_planes_part *parts, uint32_t count, uint32_t planes, uint32_t T);

#endif

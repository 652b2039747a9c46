/* attn_straight: attention over whole sequences on software drivers (caps.straight), as matrix products and row kernels, with
 * the weights of a few heads at a time in scratch (obi_cmd_scratch). Called by op_attn and op_attn_bwd, which have checked the views. */
#ifndef OBI_OPS_ATTN_STRAIGHT_H
#define OBI_OPS_ATTN_STRAIGHT_H

#include "ops/op_attn_bwd.h"

typedef struct obi_attn_shape { uint32_t B, T, H, K, C; } obi_attn_shape; /* B sequences of T tokens */

/* Whether the device takes this way for such a shape: T a multiple of 32 below 4096, C of 8. */
bool obi_attn_straight_takes(const obi_device *device, const obi_attn_shape *shape);

uint64_t obi_attn_straight_bytes(const obi_attn_shape *shape); /* of scratch */

void obi_attn_straight_fwd(obi_cmd *cmd, const obi_attn_shape *shape, obi_view out, obi_view q, obi_view k, obi_view v);
void obi_attn_straight_bwd(obi_cmd *cmd, const obi_attn_shape *shape, obi_attn_parts gradients, obi_attn_parts parts, obi_view dout);

#endif

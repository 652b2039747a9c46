/* op_act: element-wise operations on `count` floats, up to what one binding holds. Failures are kept in the cmd. */
#ifndef OBI_OPS_OP_ACT_H
#define OBI_OPS_OP_ACT_H

#include "ops/tensor.h"

void obi_op_swiglu_fwd(obi_cmd *cmd, obi_view y, obi_view gate, obi_view up, uint64_t count); /* y = gate * sigmoid(gate) * up */
void obi_op_relu_fwd(obi_cmd *cmd, obi_view y, obi_view x, uint64_t count);                   /* y = max(x, 0) */
void obi_op_add_fwd(obi_cmd *cmd, obi_view y, obi_view a, obi_view b, uint64_t count);        /* y = a + b; y may be a */

/* What becomes of s = x + b: y = s, y = max(s, 0) or y = y + s. */
typedef enum obi_bias_then { OBI_BIAS_ALONE = 0, OBI_BIAS_RELU = 1, OBI_BIAS_ADD = 2 } obi_bias_then;

/* A bias for each of n columns. y may be x. */
void obi_op_bias_fwd(obi_cmd *cmd, obi_view y /* (T,n) */, obi_view x /* (T,n) */, obi_view b /* (n) */, uint32_t T, uint32_t n,
                     obi_bias_then then);

#endif

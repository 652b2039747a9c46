/* op_act: element-wise operations on `count` floats, up to what one binding holds. Failures are kept in the cmd. */
#ifndef OBI_OPS_OP_ACT_H
#define OBI_OPS_OP_ACT_H

#include "ops/tensor.h"

void obi_op_swiglu_fwd(obi_cmd *cmd, obi_view y, obi_view gate, obi_view up, uint64_t count); /* y = gate * sigmoid(gate) * up */
void obi_op_relu_fwd(obi_cmd *cmd, obi_view y, obi_view x, uint64_t count);                   /* y = max(x, 0) */
void obi_op_add_fwd(obi_cmd *cmd, obi_view y, obi_view a, obi_view b, uint64_t count);        /* y = a + b; y may be a */

#endif

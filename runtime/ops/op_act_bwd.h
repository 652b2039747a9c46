/* op_act_bwd: gradients of the activations of op_act, on `count` floats. Failures are kept in the cmd. */
#ifndef OBI_OPS_OP_ACT_BWD_H
#define OBI_OPS_OP_ACT_BWD_H

#include "ops/tensor.h"

/* In: the inputs of obi_op_swiglu_fwd. Out: their gradients. */
void obi_op_swiglu_bwd(obi_cmd *cmd, obi_view gate, obi_view up, obi_view dy, uint64_t count);
void obi_op_relu_bwd(obi_cmd *cmd, obi_view dx, obi_view dy, obi_view x, uint64_t count); /* dx = x > 0 ? dy : 0; dx may be dy */

#endif

/* op_rate: work that measures a device and nothing else. Failures are kept in the cmd. */
#ifndef OBI_OPS_OP_RATE_H
#define OBI_OPS_OP_RATE_H

#include "gpu/cmd.h"

#define OBI_RATE_OPERATIONS 96u /* floating-point, of one lane in one turn */

/* `turns` (1 to 65535) turns of 48 multiply-adds in each of `count` lanes; the results go to y, so that none can be left out. */
void obi_op_rate_multiply_add(obi_cmd *cmd, obi_view y /* (count) */, uint64_t count, uint32_t turns, float factor, float term);

#endif

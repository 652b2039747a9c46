/* check: what every op asks of its arguments before it records anything. */
#ifndef OBI_OPS_CHECK_H
#define OBI_OPS_CHECK_H

#include "gpu/cmd.h"

/* Whether `view` holds `a` x `b` words of 32 bits; otherwise the cmd fails with a sentence that names op and argument.
 * False also when the cmd has failed before, so that an op can return at once. */
bool obi_check_words(obi_cmd *cmd, const char *op, const char *argument, obi_view view, uint64_t a, uint64_t b);

/* Fails the cmd with OBI_ERROR_ARGUMENT and "op: sentence" unless `good`. Returns `good`. */
bool obi_check(obi_cmd *cmd, bool good, const char *op, const char *sentence);

/* Element-wise work: a grid with a lane per element. False when the index would not fit 32 bits; the cmd then fails. */
bool obi_check_lanes(obi_cmd *cmd, const char *op, uint64_t elements, uint32_t workgroup, uint32_t groups[3]);

#endif

/* pace: cuts what a prompt records into submissions of about a tenth of a second on a slow device, so that no watchdog ends it. */
#ifndef OBI_ENGINE_PACE_H
#define OBI_ENGINE_PACE_H

#include <stdatomic.h>

#include "gpu/cmd.h"

typedef struct obi_pace {
    obi_cmd *cmd;
    const atomic_bool *cancelled; /* another thread sets it: at the next cut the cmd fails with OBI_ERROR_CANCELLED */
    double budget;          /* of a submission, in multiplications of a matrix product */
    double attention_cost;  /* what one of attention counts, */
    double products_cost;   /* and where attention is made of matrix products (obi_op_attn_by_heads) */
    double recorded;        /* since the last submission */
} obi_pace;

/* For T tokens, nothing being recorded yet. One token is never cut, nor what is recorded as pieces (gpu/slice.h). */
obi_pace obi_pace_start(obi_cmd *cmd, const atomic_bool *cancelled, uint32_t T);

/* Call it before the ops that make `work` multiplications: submits what was recorded and begins anew when they are too many together.
 * A failure stays in the cmd. */
void obi_pace_before(obi_pace *pace, double work);

/* How many of `count` things, each of which makes `work` multiplications, may go into one submission: all, or a multiple of `tile`, or
 * a tile. */
uint32_t obi_pace_share(const obi_pace *pace, uint32_t count, uint32_t tile, double work);

#endif

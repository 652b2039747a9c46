/* pace: cuts what a prompt records into submissions of about a tenth of a second on a slow device, so that no watchdog ends it; a token
 * likewise where the device is so slow that a token takes longer. How much a submission may hold is a guess by the kind of device at
 * first, and then what the session's own submissions took. Cuts change no number: what is one dispatch and what is several does not depend
 * on what was measured. */
#ifndef OBI_ENGINE_PACE_H
#define OBI_ENGINE_PACE_H

#include <stdatomic.h>

#include "gpu/cmd.h"

#define OBI_PACE_SECONDS 0.1 /* that a submission shall take */

/* What a session has found out. Zeros at the start. */
typedef struct obi_pace_found {
    double speed; /* multiplications a second; 0: nothing was measured */
} obi_pace_found;

typedef struct obi_pace {
    obi_cmd *cmd;
    const atomic_bool *cancelled; /* another thread sets it: at the next cut the cmd fails with OBI_ERROR_CANCELLED */
    double budget;          /* of an op, in multiplications of a matrix product: one with more is several dispatches */
    double limit;           /* of a submission */
    obi_pace_found *found;
    double attention_cost;  /* what one of attention counts, */
    double products_cost;   /* and where attention is made of matrix products (obi_op_attn_by_heads) */
    double recorded;        /* since the last submission */
} obi_pace;

/* For T tokens, nothing being recorded yet. What is recorded as pieces (gpu/slice.h) is never cut. */
obi_pace obi_pace_start(obi_cmd *cmd, const atomic_bool *cancelled, obi_pace_found *found, uint32_t T);

/* Whether a token of `work` multiplications is worth cutting: it would take much longer than OBI_PACE_SECONDS. */
bool obi_pace_slow(const obi_device *device, const obi_pace_found *found, double work);

/* A submission of `work` took `seconds`. */
void obi_pace_learn(obi_pace_found *found, double work, double seconds);

/* Call it before the ops that make `work` multiplications: submits what was recorded and begins anew when they are too many together.
 * A failure stays in the cmd. */
void obi_pace_before(obi_pace *pace, double work);

/* How many of `count` things, each of which makes `work` multiplications, may go into one submission: all, or a multiple of `tile`, or
 * a tile. */
uint32_t obi_pace_share(const obi_pace *pace, uint32_t count, uint32_t tile, double work);

#endif

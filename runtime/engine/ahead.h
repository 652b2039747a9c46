/* ahead: greedy generation keeps two tokens in flight. When a session is fed the token that it has just chosen itself, the token after
 * it is submitted at once: its id is read from the device's memory, where the choice before leaves it. The next call that feeds that
 * choice only waits for it; any other call throws it away, and what it stored is overwritten, as it lies behind the session's position. */
#ifndef OBI_ENGINE_AHEAD_H
#define OBI_ENGINE_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "gpu/cmd.h"

struct obi_session;

typedef struct obi_ahead {
    bool on;
    bool flying;       /* the submission of cmd[1 - session->current], for the token at session->position, was not waited for */
    obi_cmd *cmd[2];   /* [r] leaves its results in session->result[r] and takes its id from the other */
    uint32_t reach[2]; /* with which each was recorded last */
} obi_ahead;

/* Whether a session of this device works ahead: `wish` is 1 or -1, or 0 where ONEBIT_OVERLAP (1 or 0) or else the device decides. On a
 * software driver host and device are the same few cores, and nothing is gained. */
obi_status obi_ahead_choose(const obi_device *device, int wish, bool *on);

/* Makes the commands, with `scratch` bytes each; destroy may follow a failure. The session's thread, as everything here. */
obi_status obi_ahead_create(struct obi_session *session, uint64_t scratch);
void obi_ahead_destroy(struct obi_session *session); /* waits if needed */

/* Submits the token at session->position, which session->result[session->current] chooses. Without a place for it, or when it fails,
 * nothing flies: who feeds the token later finds out why. */
void obi_ahead_submit(struct obi_session *session);
/* Waits for what flies and forgets it. */
void obi_ahead_drop(struct obi_session *session);

#endif

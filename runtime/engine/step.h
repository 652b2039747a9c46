/* step: a session fed in pieces, none of which takes longer than a frame may give, and nothing is waited for. Who calls it once a frame
 * has a token every few frames, and a GPU that renders in between.
 *
 * Tokens that were pushed are fed in batches; a batch is a list of commands (obi_forward_layers), submitted piece by piece (gpu/slice.h).
 * When the last batch is done, the next token is chosen and fed likewise. */
#ifndef OBI_ENGINE_STEP_H
#define OBI_ENGINE_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "gpu/slice.h"

struct obi_session;

/* As ob_step_state of onebit.h, which says what they mean. */
typedef enum obi_step_state { OBI_STEP_IDLE = 0, OBI_STEP_BUSY = 1, OBI_STEP_TOKEN = 2, OBI_STEP_FULL = 3 } obi_step_state;

typedef struct obi_step {
    uint32_t *pending;       /* (room) ids to be fed, of which `fed` are in the cache and T more at work */
    size_t count, room, fed;
    uint32_t T;              /* tokens at work; 0: none */
    uint32_t next;           /* the command that the next piece begins with */
    bool flying;             /* a piece was submitted and not found done */
    uint32_t batch;          /* tokens taken at once: as many as leave no single command longer than a piece may be */
    obi_slice *slice;        /* made by the first push */
    double longest;          /* command of the batch at work, seconds */
    bool late;               /* that of the batch before was longer than a piece may be */
    unsigned kernels;        /* device->kernels_changed when the batch began: another number, another list */
} obi_step;

typedef struct obi_step_result {
    obi_step_state state;
    uint32_t id;
    double device_seconds; /* of the piece that was found done by this call; 0: none was, or the device has no time stamps */
} obi_step_result;

void obi_step_destroy(struct obi_session *session);

/* Appends ids to what is to be fed. OBI_ERROR_ARGUMENT, and nothing is done, when they do not fit. */
obi_status obi_session_push(struct obi_session *session, const uint32_t *ids, size_t count);

/* Goes on by one piece of at most `seconds` on the device. Never waits. After a failure nothing is pending. */
obi_status obi_session_step(struct obi_session *session, double seconds, obi_step_result *result);

/* Waits for the piece at work and forgets what is pending: for everything else that a session does. */
void obi_step_drop(struct obi_session *session);

/* Makes every pipeline that pieces can need, at any position, and runs the common ones to learn what they take: then obi_session_step
 * neither waits for a compiler nor guesses. Takes about as long as feeding some ten tokens, on software drivers some batches; before
 * anything is fed. */
obi_status obi_step_prepare(struct obi_session *session);

#endif

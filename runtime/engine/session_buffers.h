/* session_buffers: what a session takes of the device's memory. Counted before anything is allocated, so that a context that does not
 * fit is refused with the largest that does. One thread, while the session is made. */
#ifndef OBI_ENGINE_SESSION_BUFFERS_H
#define OBI_ENGINE_SESSION_BUFFERS_H

#include "engine/session.h"

/* Makes the session's buffers, the rotary table and the room for tokens ahead. OBI_ERROR_ARGUMENT for a context that the device cannot
 * bind, OBI_ERROR_MEMORY for one that it has no memory for; what was made is the session's also after a failure. */
obi_status obi_session_buffers_create(obi_session *session);

/* Activations of a batch are bound as a whole: `batch`, or as many tokens as the widest of them allows; at least 1. */
uint32_t obi_session_batch_that_fits(const obi_weights *weights, uint32_t batch);

/* Bytes of the first slot of OPT's position_rows, which has a batch's; the others have a token's. */
uint64_t obi_session_position_slot(const obi_session *session);

#endif

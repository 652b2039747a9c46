/* state: a session as bytes, from which another one goes on: tokens, how they were cut into submissions, what the sampler and generate
 * keep. Of the host's memory only, so that it can be had from a session whose device was lost. */
#ifndef OBI_ENGINE_STATE_H
#define OBI_ENGINE_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

struct obi_session;

/* Writes all bytes when `room` is enough for them, and *count is how many there are. 0 < room < *count: OBI_ERROR_ARGUMENT. */
obi_status obi_session_save(const struct obi_session *session, void *bytes, size_t room, size_t *count);

/* Feeds the saved tokens in the same submissions, or `fast` as one prompt. OBI_ERROR_DATA for bytes that are damaged or of another
 * model, OBI_ERROR_ARGUMENT when the session is too small or, unless `fast`, other than the one that was saved: neither changes it.
 * After a later failure it is empty. */
obi_status obi_session_restore(struct obi_session *session, const void *bytes, size_t count, bool fast);

#endif

/* score: how likely a session's model finds given tokens. Logits of all of them come to the host, score_rows at a time. What is asked
 * for is checked first: a refusal changes nothing. After a failure of the device score and rows leave the session empty, the others
 * at the position where they began. One thread, as a session. */
#ifndef OBI_ENGINE_SCORE_H
#define OBI_ENGINE_SCORE_H

#include "engine/session.h"

/* nll[i] = -ln p(ids[i+1] | ids[0..i]), i < count-1, from position 0. */
obi_status obi_session_score(obi_session *session, const uint32_t *ids, size_t count, double *nll);
/* The same from the session's position on, which moves by count-1: nll[i] = -ln p(ids[i+1] | what was fed, ids[0..i]). */
obi_status obi_session_score_next(obi_session *session, const uint32_t *ids, size_t count, double *nll);

/* A continuation of what was fed: count >= 1 ids, and room for nll[0 .. count-2]. The caller's. */
typedef struct obi_branch {
    const uint32_t *ids;
    size_t count;
    double *nll;
} obi_branch;

/* obi_session_score_next for each of `count` branches: neighbours side by side as long as score_rows has room (engine/branches). The
 * position stays what it was, after a failure too; then nll of some may have been written. */
obi_status obi_session_score_branches(obi_session *session, const obi_branch *branches, size_t count);

/* Scoring in parts, for who needs the logits themselves. begin checks all and starts anew; then rows takes the ids in order,
 * T <= score_rows at a time and never the last one: *rows are their logits (T,V), the session's until its next call. */
obi_status obi_session_score_begin(obi_session *session, const uint32_t *ids, size_t count);
obi_status obi_session_score_rows(obi_session *session, const uint32_t *ids, uint32_t T, const float **rows);

#endif

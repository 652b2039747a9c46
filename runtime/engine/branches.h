/* branches: several continuations of what a session was fed, side by side in one pass. Every product takes the tokens of all; the cache
 * and attention know one sequence, so each branch in turn stores its keys and values behind what was fed, over those of the one before,
 * and attends to them. */
#ifndef OBI_ENGINE_BRANCHES_H
#define OBI_ENGINE_BRANCHES_H

#include "engine/pace.h"
#include "engine/session.h"
#include "ops/op_post_norm.h"

#define OBI_BRANCHES_MAX 64u

/* Makes the room for branches of session->score_rows tokens together, unless it is there. */
obi_status obi_branches_prepare(obi_session *session);

/* Passes that are recorded from here to the end have `count` <= OBI_BRANCHES_MAX branches of tokens[i] >= 1 tokens, together more than one
 * and not more than there is room for. `tokens` stays as it is until the end. */
void obi_branches_begin(obi_session *session, const uint32_t *tokens, uint32_t count);
void obi_branches_end(obi_session *session);

/* The position of token t of those that are recorded: behind the session's, or, of branches, behind that in its own. */
uint32_t obi_branches_position(const obi_session *session, uint32_t t);

/* Records out (T,H,C) = causal attention of each branch to what was fed and to itself. q (T,H,C), k and v (T,K,C) are what the projections
 * gave, of which these are copies: they stay as they are. With `qkv` of T tokens everything that obi_op_post_qkv_fwd does comes
 * first, else (NULL) keys and values are stored as they are. */
void obi_branches_attend(obi_session *session, obi_view out, obi_attn_parts from, obi_kv_cache cache, const obi_post_qkv *qkv,
                         obi_pace *pace);

#endif

/* branches: several continuations of what a session was fed, side by side in one pass. Every product takes the tokens of all; the cache
 * and attention know one sequence, so each branch in turn stores its keys and values behind what was fed, over those of the one before,
 * and attends to them. */
#ifndef OBI_ENGINE_BRANCHES_H
#define OBI_ENGINE_BRANCHES_H

#include "engine/pace.h"
#include "engine/session.h"
#include "ops/op_post_norm.h"

#define OBI_BRANCHES_MAX 64u

/* Passes that are recorded now have `count` branches of tokens[i] >= 1 tokens, together more than one; `tokens` stays as it is until
 * end. */
obi_status obi_branches_begin(obi_session *session, const uint32_t *tokens, uint32_t count);
void obi_branches_end(obi_session *session);

/* OPT's rows of the position table, of the branches' tokens: for obi_session_put_position_rows. */
uint32_t obi_branches_position(const obi_session *session, uint32_t t);

/* Records out (T,H,C) = causal attention of each branch to what was fed and to itself. q (T,H,C), k and v (T,K,C) are what the projections
 * gave, of which these are copies: they stay as they are. With `qkv` of T tokens everything that obi_op_post_qkv_fwd does comes
 * first, else (NULL) keys and values are stored as they are. */
void obi_branches_attend(obi_session *session, obi_view out, obi_attn_parts from, obi_kv_cache cache, const obi_post_qkv *qkv,
                         obi_pace *pace);

#endif

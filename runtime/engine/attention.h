/* attention: a layer's attention over the session's cache, in as many submissions as a long context takes. */
#ifndef OBI_ENGINE_ATTENTION_H
#define OBI_ENGINE_ATTENTION_H

#include "engine/pace.h"
#include "engine/session.h"

/* Where in session->qkv, behind the parts of a single token, its position is, as a float. Of one token no layer records the position
 * itself, so that what was recorded serves for the next token too. */
uint32_t obi_attention_place(const obi_config *config);

/* Records out (T,H,C) = causal attention of q (T,H,C) at session->position; of a single token q is the first part of session->qkv.
 * Keys and values of these tokens are in the cache already. Over a long context in several submissions, some queries each. */
void obi_attention_forward(obi_session *session, obi_view out, obi_view q, obi_kv_cache cache, uint32_t T, obi_pace *pace);

#endif

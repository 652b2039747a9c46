/* forward: the model as a list of op calls, the same for one token and for a batch of a prompt. */
#ifndef OBI_ENGINE_FORWARD_H
#define OBI_ENGINE_FORWARD_H

#include "engine/session.h"

/* Records T tokens, whose ids are read from `ids` (T), at session->position: embedding and all layers. Of a single token the position is
 * read from memory, too: from `position`, a float. Their results, behind the final norm, are then in session->normed (T,D). May
 * submit and go on, so that no submission of a large batch takes long. */
void obi_forward_layers(obi_session *session, uint32_t T, obi_view ids, obi_view position);

/* Records the head: logits (T,V) of normed (T,D). */
void obi_forward_head(obi_session *session, obi_view logits, obi_view normed, uint32_t T);

/* Records the logits of token T-1 of the batch into session->result[r], and what the host will want of them. */
void obi_forward_choice(obi_session *session, uint32_t T, uint32_t r);

#endif

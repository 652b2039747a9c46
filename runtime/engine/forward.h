/* forward: the model as a list of op calls, the same for one token and for a batch of a prompt. */
#ifndef OBI_ENGINE_FORWARD_H
#define OBI_ENGINE_FORWARD_H

#include "engine/session.h"

/* Records T tokens (already in session->ids) at session->position: embedding and all layers. Their results, behind the final
 * norm, are then in session->normed (T,D). May submit and go on, so that no submission of a large batch takes long. */
void obi_forward_layers(obi_session *session, uint32_t T);

/* Records the head: logits (T,V) of normed (T,D). */
void obi_forward_head(obi_session *session, obi_view logits, obi_view normed, uint32_t T);

#endif

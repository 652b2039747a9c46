/* forward: the model as a list of op calls, the same for one token and for a batch of a prompt. */
#ifndef OBI_ENGINE_FORWARD_H
#define OBI_ENGINE_FORWARD_H

#include "engine/session.h"

/* Where T tokens are read from. */
typedef struct obi_forward_inputs {
    obi_view ids;           /* (T) u32 */
    obi_view position;      /* of a single token, as a float; of more session->position is recorded */
    obi_view position_rows; /* (T) u32, rows of OPT's position table; not read for another family */
} obi_forward_inputs;

/* Where obi_session_put_ids has put T tokens. */
obi_forward_inputs obi_forward_inputs_of(const obi_session *session, uint32_t T);

/* Records T tokens at session->position (of several branches each from there on): embedding and all layers. Their
 * results, behind the final norm, are then in session->normed (T,E), E being obi_config_embedding_width. May submit and go on, so that no
 * submission of a large batch takes long. */
void obi_forward_layers(obi_session *session, uint32_t T, const obi_forward_inputs *inputs);

/* Records the head: logits (T,V) of normed (T,E). */
void obi_forward_head(obi_session *session, obi_view logits, obi_view normed, uint32_t T);

/* Records the logits of token T-1 of the batch into session->result[r], and what the host will want of them. */
void obi_forward_choice(obi_session *session, uint32_t T, uint32_t r);

#endif

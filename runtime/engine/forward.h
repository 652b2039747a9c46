/* forward: the model as a list of op calls, the same for one token and for a batch of a prompt. */
#ifndef OBI_ENGINE_FORWARD_H
#define OBI_ENGINE_FORWARD_H

#include "engine/session.h"

/* A buffer's first `rows` x `columns` floats. */
static inline obi_view obi_rows(const obi_buffer *buffer, uint64_t rows, uint64_t columns)
{
    obi_view view = { buffer, 0, rows * columns * 4 };
    return view;
}

/* Records T tokens (already in session->ids) at session->position: embedding and all layers. The residual stream is then
 * in session->x (T,D). May submit and go on, so that no submission of a large batch takes long. */
void obi_forward_layers(obi_session *session, uint32_t T);

/* Records final norm and head: logits (T,V) of x (T,D). `normed` (T,D) is overwritten. */
void obi_forward_head(obi_session *session, obi_view logits, obi_view normed, obi_view x, uint32_t T);

/* Records one layer over session->x (T,D) (layer.c). */
void obi_layer_forward(obi_session *session, uint32_t layer, uint32_t T);

/* Records y (T,m) = the projection of x (T,n), post-norm included (layer.c). */
void obi_linear_forward(obi_session *session, obi_view y, obi_view x, const obi_linear *linear, uint32_t T);

#endif

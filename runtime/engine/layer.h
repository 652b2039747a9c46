/* layer: one block of a LLaMA as a list of op calls. */
#ifndef OBI_ENGINE_LAYER_H
#define OBI_ENGINE_LAYER_H

#include "engine/pace.h"
#include "engine/session.h"

/* Records one layer over session->x (T,D) at session->position. */
void obi_layer_forward(obi_session *session, uint32_t layer, uint32_t T, obi_pace *pace);

#endif

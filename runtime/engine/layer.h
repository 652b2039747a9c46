/* layer: one transformer block as a list of op calls. */
#ifndef OBI_ENGINE_LAYER_H
#define OBI_ENGINE_LAYER_H

#include "engine/pace.h"
#include "engine/session.h"

/* Where in session->qkv, behind the parts of a single token, its position is, as a float. Of one token no layer records the position
 * itself, so that what was recorded serves for the next token too. */
uint32_t obi_layer_place(const obi_config *config);

/* Records one layer over session->x (T,D) at session->position. */
void obi_layer_forward(obi_session *session, uint32_t layer, uint32_t T, obi_pace *pace);

#endif

/* layer_opt: an OPT as a list of op calls: embedding with positions, its layers, and what lies before the head. */
#ifndef OBI_ENGINE_LAYER_OPT_H
#define OBI_ENGINE_LAYER_OPT_H

#include "engine/forward.h"
#include "engine/pace.h"

/* Records the T tokens of `inputs` at session->position, from ids to session->normed (T,E), which the head reads. The position of a single
 * token is in its place already (obi_attention_place). As for obi_forward_layers. */
void obi_layer_opt_forward(obi_session *session, uint32_t T, const obi_forward_inputs *inputs, obi_pace *pace);

#endif

/* backward_opt: the backward pass of an OPT model, upside down; obi_pass_backward leads here. */
#ifndef OBI_QUANT_TRAIN_BACKWARD_OPT_H
#define OBI_QUANT_TRAIN_BACKWARD_OPT_H

#include "quant/train/pass.h"

/* As obi_pass_backward and obi_pass_layer_backward; the latter alone is for layers whose biases are not trained. */
void obi_pass_backward_opt(obi_pass *pass, obi_cmd *cmd, void (*hidden)(void *user, obi_cmd *cmd, uint32_t layer), void *user);

void obi_pass_layer_backward_opt(obi_pass *pass, obi_cmd *cmd, uint32_t layer);

/* From dx = d x[0]: adds to the gradients of the positions and of project_in, and returns that of the gathered embedding (N,E). */
obi_view obi_pass_embedding_backward_opt(obi_pass *pass, obi_cmd *cmd);

#endif

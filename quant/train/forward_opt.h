/* forward_opt: the forward pass of an OPT model (model/config.h), as lists of op calls; obi_pass_forward leads here. */
#ifndef OBI_QUANT_TRAIN_FORWARD_OPT_H
#define OBI_QUANT_TRAIN_FORWARD_OPT_H

#include "quant/train/pass.h"

/* As obi_pass_forward, obi_pass_layer_forward and obi_pass_recompute. What a layer keeps: `normed` and `normed_ffn` are what the linears read; where norms
 * come last, what those norms read. `act` is behind the ReLU; gate and up do not exist. */
void obi_pass_forward_opt(obi_pass *pass, obi_cmd *cmd);
void obi_pass_layer_forward_opt(obi_pass *pass, obi_cmd *cmd, uint32_t layer);
void obi_pass_recompute_opt(obi_pass *pass, obi_cmd *cmd, uint32_t layer);

#endif

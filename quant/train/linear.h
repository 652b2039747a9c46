/* linear: a projection of a pass, forward and backward, of any form: ordinary, at levels, 1-bit. Without its bias. Recorded. */
#ifndef OBI_QUANT_TRAIN_LINEAR_H
#define OBI_QUANT_TRAIN_LINEAR_H

#include "quant/train/pass.h"

/* z (N,m) = the projection of x (N,n), as the engine computes it; a 1-bit one keeps V = U S^T in `sums`. wide[2] is overwritten. */
void obi_train_linear_forward(obi_pass *pass, obi_cmd *cmd, obi_view z, obi_view x, const obi_train_linear *linear, obi_buffer *sums);

/* v (N,m) = V = U S^T of a 1-bit projection of x alone. */
void obi_train_linear_sums(obi_pass *pass, obi_cmd *cmd, obi_view v, obi_view x, const obi_train_linear *linear);

/* dx (N,n) = or += what dz (N,m) gives through the projection of x (N,n); weight and scale gradients are added to. wide[0..2] are
 * overwritten: neither dz nor dx lies there. */
void obi_train_linear_backward(obi_pass *pass, obi_cmd *cmd, obi_view dx, obi_view dz, obi_view x, const obi_train_linear *linear,
                               obi_buffer *sums, bool accumulate);

#endif

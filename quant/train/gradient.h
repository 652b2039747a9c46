/* gradient: what a step does with the gradient of all parameters as one: from nothing to accumulate on, and from whole to
 * ready for the update. */
#ifndef OBI_QUANT_TRAIN_GRADIENT_H
#define OBI_QUANT_TRAIN_GRADIENT_H

#include "quant/train/trainer.h"

/* Records zeros into every gradient. */
void obi_gradient_clear(obi_trainer *trainer);

/* Once the gradient is whole, over all batches and ranks: from that of the signs to that of the latent weights, tied
 * parameters' copies get the sum of theirs, and the norm of it all. A tied parameter counts once in the norm, as the one number
 * that it is. */
obi_status obi_gradient_measure(obi_trainer *trainer, double *norm, bool *finite);

#endif

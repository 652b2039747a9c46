/* omniquant: a layer's linears in codes of grids whose ends are learnt (OmniQuant, arXiv 2308.13137: learnable weight clipping).
 *
 *   low = sigmoid(b) min W, high = sigmoid(c) max W of each row or group; b = c = 4 at first
 *   D = (high - low) / (2^bits - 1), z = round(-low / D), W^ = D (clamp(round(W / D) + z, 0, 2^bits - 1) - z)
 *   loss = mean (F(x) - F^(x^))^2, and with the augmented loss + mean (F(x^) - F^(x^))^2
 *
 * F is the layer with its weights, F^ with W^; x what the original layers before give, x^ what the quantised ones give. round() passes
 * gradients as they are, z is held fixed. AdamW without decay, one window a step, the windows in order. D is rounded as files hold it
 * (quant/grid.h) in the steps too, with the gradient passed. */
#ifndef OBI_QUANT_PTQ_OMNIQUANT_H
#define OBI_QUANT_PTQ_OMNIQUANT_H

#include "quant/ptq/calibrated.h"

typedef struct obi_omniquant_losses {
    double first, last;
} obi_omniquant_losses; /* mean of the first and of the last epoch */

/* For obi_calibrated_layer: the block is loaded, calibrated->x and ->exact hold the layer's inputs. Fills made and codes, and leaves the
 * layer's outputs in both streams. OBI_ERROR_RUNTIME when the loss is not finite any more. */
obi_status obi_omniquant_layer(obi_calibrated *calibrated, obi_part part, obi_omniquant_losses *losses);

#endif

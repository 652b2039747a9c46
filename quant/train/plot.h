/* plot: the curve of a run as an SVG picture. */
#ifndef OBI_QUANT_TRAIN_PLOT_H
#define OBI_QUANT_TRAIN_PLOT_H

#include "quant/train/history.h"

/* Draws what was minimised (light, and smoothed), the KL to the teacher where it is something else, and the held-out loss
 * and KL, over steps; nats per token, on a logarithmic scale when the values span more than a factor of 6. Long runs are
 * thinned to what the width can show. Nothing to draw yet makes an empty frame. `title` is UTF-8. `path` appears whole. */
obi_status obi_plot_write(const obi_history *history, const char *title, const char *path);

#endif

/* quantiser: the forms of a layer that LLM-QAT trains (arXiv 2305.17888): ordinary weights W, which a layer sees at the levels
 * that few bits can name, and whose gradient passes through the rounding as if it were not there.
 *     llmqat_sym   min-max around 0, zero point 0, the gradient of |w| >= 2 is 0: how OneBit's authors ran LLM-QAT at 2 bits
 *     llmqat       LLM-QAT's own program: levels by the mean |W| of the row at 1 and 2 bits, the gradient passes everywhere;
 *                  min-max above
 * ref/ref_optim.h has the equations. A file has the levels as sign planes (quant/planes.h). */
#ifndef OBI_QUANT_TRAIN_QUANTISER_H
#define OBI_QUANT_TRAIN_QUANTISER_H

#include "quant/planes.h"
#include "quant/train/parameters.h"

/* The options' form; bits 0 where method is another. */
obi_quantiser obi_quantiser_of(const obi_train_options *options);

/* The config of a file with such layers, from that of an ordinary model: onebit with planes. */
void obi_quantiser_config(const obi_quantiser *quantiser, obi_config *config);

/* Makes the levels and steps of a linear whose weight (m,n) is cut as `latent`, or their shapes only. Both are empty before. */
obi_status obi_quantiser_create(obi_device *device, const obi_weight *latent, obi_train_linear *linear);

/* Records the levels of every linear of the model. */
void obi_quantiser_record(obi_cmd *cmd, const obi_train_model *model);

/* Planes of a linear whose levels (m,n) and steps (m) lie on the host, exactly. `to` has room for the config's planes.
 * OBI_ERROR_RUNTIME: weights have grown beyond the form. */
obi_status obi_quantiser_pack(const obi_quantiser *quantiser, uint32_t m, uint32_t n, const float *levels, const float *steps,
                              const obi_planes *to);

/* Bits a weight of the form's own: `bits` and a step of 16 bits a row, over all linears of the config. */
double obi_quantiser_bits(const obi_quantiser *quantiser, const obi_config *config);

#endif

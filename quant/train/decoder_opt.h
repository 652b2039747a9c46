/* decoder_opt: a decoder's step of an OPT model; obi_decoder_step leads here. */
#ifndef OBI_QUANT_TRAIN_DECODER_OPT_H
#define OBI_QUANT_TRAIN_DECODER_OPT_H

#include "quant/train/decoder.h"

/* Records all of a step but the head, which reads `result` (B,E). position_rows must be there. */
obi_view obi_decoder_forward_opt(obi_decoder *decoder, const uint32_t *positions);

#endif

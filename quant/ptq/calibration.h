/* calibration: the windows of a text that the calibrated methods look at. */
#ifndef OBI_QUANT_PTQ_CALIBRATION_H
#define OBI_QUANT_PTQ_CALIBRATION_H

#include "quant/import/source.h"
#include "quant/ptq/options.h"

typedef struct obi_calibration {
    uint32_t *ids; /* (windows, T) */
    uint32_t windows, T;
} obi_calibration;

/* The text's tokens, a bos before the first, and windows of them: at random places as GPTQ takes them where the text has more tokens
 * than all windows, otherwise one behind the other, as many as there are. T is what the options say, else 2048 or the model's context if
 * that is less. OBI_ERROR_DATA when the text is empty or shorter than a window, OBI_ERROR_ARGUMENT for a window longer than the context.
 * Free with obi_calibration_free. */
obi_status obi_calibration_make(const obi_config *config, const obi_tokenizer *tokenizer, const obi_ptq_options *options,
                                obi_calibration *out);
void obi_calibration_free(obi_calibration *calibration); /* also fine on a zeroed struct */

#endif

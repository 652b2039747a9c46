/* calibrated: the linears of a model, layer by layer, by a method that looks at what goes into them. The inputs of a layer are those that
 * the layers before it give in their quantised form. */
#ifndef OBI_QUANT_PTQ_CALIBRATED_H
#define OBI_QUANT_PTQ_CALIBRATED_H

#include "quant/convert.h"
#include "quant/ptq/block.h"
#include "quant/ptq/calibration.h"
#include "quant/ptq/part.h"

typedef struct obi_calibrated {
    const obi_ptq_options *options;
    obi_calibration calibration;
    obi_block *block;
    float *x;                               /* (windows,T,D) inputs of the next layer, as the quantised layers before it give them */
    float *exact;                           /* OmniQuant: likewise as the original layers give them */
    float *answers;                         /* OmniQuant: what the original layer makes of x */
    obi_weight hessians[OBI_LINEAR_COUNT];  /* of the inputs of a linear; those that share inputs have the first one's */
    obi_made_linear made[OBI_LINEAR_COUNT]; /* of the last layer */
    obi_codes codes[OBI_LINEAR_COUNT];
    float *factors[OBI_LINEAR_COUNT]; /* (n) what inputs are multiplied by, or NULL */
    uint32_t layers_done;
    bool broken; /* a layer failed or was ended: x may be partly the next layer's */
} obi_calibrated;

/* Begins with the embedding of the windows, which are taken over, on failure too. The rest is borrowed until obi_calibrated_destroy. */
obi_status obi_calibrated_create(obi_device *device, const obi_source *source, obi_calibration *calibration, const obi_ptq_options *options,
                                 obi_calibrated **out);
void obi_calibrated_destroy(obi_calibrated *calibrated); /* NULL is allowed */

/* Quantises the next layer: `made` then has its linears. `part` is told of the layer. After a failure, or when `part` ended it, every further
 * call is OBI_ERROR_ARGUMENT: the inputs are replaced window by window, so that no layer can be begun anew. */
obi_status obi_calibrated_layer(obi_calibrated *calibrated, obi_part part);

/* For the methods: the inputs of window w of a stream, and the sum of x x^T over the inputs of a linear, all windows. */
float *obi_calibrated_window(const obi_calibrated *calibrated, float *stream, uint32_t w);
const obi_weight *obi_calibrated_hessian(const obi_calibrated *calibrated, int kind);

/* Runs the layer for all windows of x and makes the Hessians; what it gives goes to `outputs` (a stream) unless that is NULL. Tells from 0
 * to 1. */
obi_status obi_calibrated_observe(obi_calibrated *calibrated, float *outputs, obi_part part);

#endif

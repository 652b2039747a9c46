/* options: which method makes the linears, and its settings. docs/methods.md describes the methods. */
#ifndef OBI_QUANT_PTQ_OPTIONS_H
#define OBI_QUANT_PTQ_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/config.h"

typedef enum obi_ptq_method {
    OBI_PTQ_SVID = 0, /* signs and two value vectors: the converter's own */
    OBI_PTQ_XNOR,
    OBI_PTQ_BITNET_B1,
    OBI_PTQ_RTN,
    OBI_PTQ_GPTQ,
    OBI_PTQ_OMNIQUANT,
    OBI_PTQ_INT8,
    OBI_PTQ_COUNT
} obi_ptq_method;

extern const char *const obi_ptq_names[OBI_PTQ_COUNT]; /* "svid", "xnor", ... as files have them */

typedef struct obi_ptq_options {
    obi_ptq_method method;
    uint32_t bits;           /* 1 to 4; 0: 2 where the method has a choice */
    uint32_t group;          /* columns that share a grid; 0: all of a row */
    const char *calibration; /* text, only of the calibrated methods */
    size_t calibration_bytes;
    uint32_t windows;     /* of the text; 0: 128 */
    uint32_t window;      /* tokens of one; 0: 2048, or the model's context where that is less */
    uint64_t seed;        /* of the windows' places */
    double damping;       /* GPTQ: share of the mean diagonal that is added to it; 0: 0.01; negative: none */
    bool natural_order;   /* GPTQ: columns as they come, not by their inputs' size */
    uint32_t epochs;      /* OmniQuant; 0: 40 at 2 bits and below, else 20 */
    double learning_rate; /* OmniQuant; 0: 0.01 */
    int augmented;        /* OmniQuant: 1 and -1 turn the augmented loss on and off; 0: on at 2 bits and below */
    int transform;        /* OmniQuant: 1 and -1: scales of inputs are learnt, too, or not; 0: of OPT whose norms come first */
    double scale_rate;    /* their learning rate; 0: 0.005 */
    double threshold;     /* int8; 0: 6 */
} obi_ptq_options;

/* Needs a calibration text. */
static inline bool obi_ptq_calibrated(obi_ptq_method method) { return method == OBI_PTQ_GPTQ || method == OBI_PTQ_OMNIQUANT; }

static inline bool obi_ptq_transforms(const obi_ptq_options *options, const obi_config *config)
{
    bool usual = config->family == OBI_FAMILY_OPT && !config->norm_last;
    return options->method == OBI_PTQ_OMNIQUANT && (options->transform > 0 || (options->transform == 0 && usual));
}

/* Puts the published defaults where 0 stands and refuses what cannot be, and settings of another method: OBI_ERROR_ARGUMENT. Once only. */
obi_status obi_ptq_options_complete(obi_ptq_options *options);

#endif

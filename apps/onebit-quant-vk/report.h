/* report: what a conversion did, for a person or as JSON, on stdout. */
#ifndef ONEBIT_QUANT_REPORT_H
#define ONEBIT_QUANT_REPORT_H

#include "onebit/onebit_train.h"

typedef struct report_names {
    const char *input, *output;
    const char *form; /* "onebit", "f16", "f32" */
} report_names;

void report_print(const ob_quantize_report *report, const report_names *names);
void report_print_json(const ob_quantize_report *report, const report_names *names);

#endif

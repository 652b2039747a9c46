/* generation_report: the table of "decode" and "prompt", with the columns and keys of llama-bench where it has the same thing. */
#ifndef ONEBIT_BENCH_VK_GENERATION_REPORT_H
#define ONEBIT_BENCH_VK_GENERATION_REPORT_H

#include <stddef.h>

#include "common/json.h"
#include "onebit/onebit_bench.h"

typedef struct generation_test {
    uint32_t prompt, generate; /* tokens; one of them is 0 */
    uint32_t depth;            /* tokens in the context before */
    double *seconds;           /* of each round */
} generation_test;

typedef struct generation_report {
    int format;
    uint32_t rounds, batch;
    const char *file; /* NULL: random weights */
    ob_device_info device;
    ob_model_info model;
    ob_bench_memory memory;
    double context_seconds, model_seconds, first_seconds; /* together the time to first token */
    double load_before;
    bool started;
    app_json json;
} generation_report;

void generation_test_name(const generation_test *test, char *name, size_t room); /* "tg128", "pp512 @ d1024" */
double generation_load_average(void); /* of one minute; NaN where the system does not say */

void generation_report_row(generation_report *report, const generation_test *test); /* the first one begins the table */
void generation_report_end(generation_report *report);

#endif

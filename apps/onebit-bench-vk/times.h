/* times: what a list of measured seconds, or rates, comes to. */
#ifndef ONEBIT_BENCH_VK_TIMES_H
#define ONEBIT_BENCH_VK_TIMES_H

#include <stdint.h>

/* How results are written: -o md|csv|json. */
typedef enum bench_format { BENCH_MD, BENCH_CSV, BENCH_JSON } bench_format;
#define BENCH_FORMATS "md|csv|json"

typedef struct bench_times {
    double median, mean, deviation, least; /* in the unit of the values; deviation is that of a sample, 0 for one value */
} bench_times;

bench_times bench_times_of(double *seconds, uint32_t count); /* sorts them; count > 0 */

#endif

#include "times.h"

#include <math.h>
#include <stdlib.h>

static int by_rising_seconds(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a > b ? 1 : a < b ? -1 : 0;
}

bench_times bench_times_of(double *seconds, uint32_t count)
{
    bench_times times = { 0 };
    double squares = 0;
    qsort(seconds, count, sizeof *seconds, by_rising_seconds);
    for (uint32_t i = 0; i < count; i++) times.mean += seconds[i] / count;
    for (uint32_t i = 0; i < count; i++) squares += (seconds[i] - times.mean) * (seconds[i] - times.mean);
    times.deviation = count > 1 ? sqrt(squares / (count - 1)) : 0;
    times.median = (seconds[(count - 1) / 2] + seconds[count / 2]) / 2;
    times.least = seconds[0];
    return times;
}

/* kernel_times: the table of where a step's time goes. */
#ifndef ONEBIT_APPS_KERNEL_TIMES_H
#define ONEBIT_APPS_KERNEL_TIMES_H

#include <stdio.h>

#include "onebit/onebit.h"

/* Kernel, calls and ms per step, share of the step, rate of the bytes it must move at the least; then what is spent outside
 * kernels. rows are sums over `steps` steps, which took `seconds` by the clock. */
void app_print_kernel_times(FILE *to, const ob_kernel_time *rows, uint32_t count, uint64_t steps, double seconds);

#endif

#include "common/kernel_times.h"

#include <inttypes.h>

#include "common/term.h"

void app_print_kernel_times(FILE *to, const ob_kernel_time *rows, uint32_t count, uint64_t steps, double seconds)
{
    double total = 0, each = steps > 0 ? 1 / (double)steps : 0, percent = seconds > 0 ? 100 / seconds : 0;
    for (uint32_t i = 0; i < count; i++) total += rows[i].seconds;
    if (!(total > 0)) {
        app_note("profile: this device has no timestamps");
        return;
    }
    fprintf(to, "%-32s %12s %12s %7s %10s\n", "kernel", "calls/step", "ms/step", "share", "GB/s");
    for (uint32_t i = 0; i < count; i++)
        fprintf(to, "%-32s %12.1f %12.3f %6.1f%% %10.2f\n", rows[i].kernel, (double)rows[i].calls * each, 1e3 * rows[i].seconds * each,
                percent * rows[i].seconds, rows[i].seconds > 0 ? 1e-9 * (double)rows[i].bytes / rows[i].seconds : 0.0);
    double outside = seconds > total ? seconds - total : 0;
    fprintf(to, "%-32s %12s %12.3f %6.1f%%\n", "all kernels", "", 1e3 * total * each, percent * total);
    fprintf(to, "%-32s %12s %12.3f %6.1f%%\n", "outside kernels", "", 1e3 * outside * each, percent * outside);
    fprintf(to, "%-32s %12s %12.3f   over %" PRIu64 " steps\n", "by the clock", "", 1e3 * seconds * each, steps);
}

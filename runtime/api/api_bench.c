#include "api/api_internal.h"
#include "engine/bench.h"
#include "onebit/onebit_bench.h"

bool ob_bench_kernel_describe(uint32_t i, const char **name, const char **formula) { return obi_bench_describe(i, name, formula); }

ob_status ob_bench_kernel(ob_context *context, const ob_bench_kernel_desc *desc, double *operations, uint64_t *bytes)
{
    obi_bench_times times = { .seconds = desc->seconds, .device_seconds = desc->device_seconds };
    obi_bench_shape shape = { desc->T, desc->m, desc->n };
    obi_status status = obi_bench_run(context->device, desc->index, shape, desc->warmup, desc->rounds, &times);
    *operations = times.operations;
    *bytes = times.bytes;
    return obi_public(status);
}

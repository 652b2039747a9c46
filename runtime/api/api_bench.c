#include <stdio.h>

#include "api/api_internal.h"
#include "core/alloc.h"
#include "engine/bench.h"
#include "engine/bench_complexity.h"
#include "engine/device_rates.h"
#include "engine/random_weights.h"
#include "engine/roofline.h"
#include "onebit/onebit_bench.h"

bool ob_bench_kernel_describe(uint32_t i, ob_bench_kernel_info *info)
{
    _Static_assert(sizeof info->shapes / sizeof *info->shapes == OBI_BENCH_SHAPES, "as many shapes");
    const obi_bench_shape *shapes;
    *info = (ob_bench_kernel_info){ 0 };
    if (!obi_bench_describe(i, &info->name, &info->formula, &shapes, &info->shape_count)) return false;
    for (uint32_t k = 0; k < info->shape_count; k++) {
        info->shapes[k][0] = shapes[k].T;
        info->shapes[k][1] = shapes[k].m;
        info->shapes[k][2] = shapes[k].n;
    }
    return true;
}

ob_status ob_bench_kernel(ob_context *context, const ob_bench_kernel_desc *desc, ob_bench_kernel_cost *cost)
{
    _Static_assert(sizeof cost->kernels / sizeof *cost->kernels == OBI_BENCH_KERNELS, "as many kernels");
    obi_bench_times times = { .seconds = desc->seconds, .device_seconds = desc->device_seconds };
    obi_bench_shape shape = { desc->T, desc->m, desc->n };
    obi_status status = obi_bench_run(context->device, desc->index, shape, desc->warmup, desc->rounds, &times);
    *cost = (ob_bench_kernel_cost){ .operations = times.operations, .bytes = times.bytes, .signs = times.signs };
    cost->kernel_count = times.kernel_count;
    for (uint32_t k = 0; k < times.kernel_count; k++) cost->kernels[k] = obi_kernels[times.kernels[k]].name;
    return obi_public(status);
}

ob_status ob_bench_complexity(ob_context *context, const ob_bench_complexity_desc *desc, ob_bench_complexity_result *result)
{
    _Static_assert(OB_BENCH_WAYS == (int)OBI_WAYS && OB_BENCH_SIGNS == (int)OBI_WAY_SIGNS, "the same ways");
    obi_complexity_times times = { .timestamps = false };
    for (int way = 0; way < OB_BENCH_WAYS; way++) {
        times.seconds[way] = desc->seconds[way];
        times.outside[way] = desc->outside[way];
    }
    obi_bench_shape shape = { desc->T, desc->m, desc->n };
    obi_status status = obi_complexity_run(context->device, shape, desc->warmup, desc->rounds, &times);
    *result = (ob_bench_complexity_result){ .timestamps = times.timestamps };
    for (int way = 0; way < OB_BENCH_WAYS; way++) result->difference[way] = times.difference[way];
    return obi_public(status);
}

ob_status ob_bench_rates_get(ob_context *context, ob_bench_rates *rates)
{
    obi_device_rates found = { 0 };
    obi_status status = obi_device_rates_measure(context->device, &found);
    *rates = (ob_bench_rates){ found.bytes, found.operations };
    return obi_public(status);
}

ob_status ob_bench_roofline(const char *path, const char *title, const ob_bench_rates *rates, const ob_bench_point *points, size_t count)
{
    obi_roofline_point *drawn = obi_calloc(count + 1, sizeof *drawn);
    if (!drawn) return OB_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++)
        drawn[i] = (obi_roofline_point){ points[i].label, points[i].operations / points[i].bytes,
                                         points[i].operations / points[i].seconds };
    obi_status status = obi_roofline_write(path, title, rates->bytes_per_second, rates->operations_per_second, drawn, count);
    obi_free(drawn);
    return obi_public(status);
}

ob_status ob_bench_model(ob_model **out, ob_context *context, const ob_bench_model_desc *desc)
{
    *out = NULL;
    obi_config config;
    obi_status status = obi_random_config(desc->width, desc->ffn, desc->layers, desc->heads, desc->kv_heads ? desc->kv_heads : desc->heads,
                                          desc->vocabulary, desc->context ? desc->context : 2048, &config);
    if (status == OBI_OK && desc->planes > 1) status = obi_random_config_planes(&config, desc->planes);
    if (status != OBI_OK) return obi_public(status);
    ob_model *model = obi_calloc(1, sizeof *model);
    if (!model) return OB_ERROR_MEMORY;
    model->context = context;
    snprintf(model->architecture, sizeof model->architecture, "onebitllama");
    snprintf(model->name, sizeof model->name, "%s", desc->name ? desc->name : "random");
    status = obi_random_weights_create(context->device, &config, desc->seed, desc->progress, desc->user, &model->weights);
    if (status != OBI_OK) ob_model_destroy(model);
    else *out = model;
    return obi_public(status);
}

ob_status ob_bench_memory_get(ob_context *context, ob_bench_memory *memory)
{
    obi_memory *device = &context->device->memory;
    pthread_mutex_lock(&device->lock);
    *memory = (ob_bench_memory){ device->used_bytes, device->reserved_bytes, device->peak_bytes };
    pthread_mutex_unlock(&device->lock);
    return OB_OK;
}

#include <stdio.h>

#include "api/api_internal.h"
#include "core/alloc.h"
#include "engine/bench.h"
#include "engine/random_weights.h"
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

ob_status ob_bench_model(ob_model **out, ob_context *context, const ob_bench_model_desc *desc)
{
    *out = NULL;
    obi_config config;
    obi_status status = obi_random_config(desc->width, desc->ffn, desc->layers, desc->heads, desc->kv_heads ? desc->kv_heads : desc->heads,
                                          desc->vocabulary, desc->context ? desc->context : 2048, &config);
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

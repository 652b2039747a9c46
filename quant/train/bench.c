#include "quant/train/bench.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/clock.h"

#define BATCHES 16 /* of random tokens, over and over */

static uint64_t linear_weights(const obi_config *config)
{
    uint64_t layer = 0;
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        uint32_t rows, columns;
        obi_config_linear_shape(config, kind, &rows, &columns);
        layer += (uint64_t)rows * columns;
    }
    return layer * config->layers;
}

double obi_train_operations(const obi_train_options *options, const obi_config *config, bool teacher)
{
    double tokens = (double)options->per_device_train_batch_size * options->cutoff_len * options->gradient_accumulation_steps;
    double linears = (double)linear_weights(config), head = (double)config->vocabulary * config->width;
    double attention = 2.0 * config->layers * options->cutoff_len * config->heads * config->head_size;
    bool head_trained = !teacher || options->trainable == OBI_TRAIN_ALL;
    double per_token = 6 * linears + (head_trained ? 6 : 4) * head + 3 * attention;
    if (teacher) per_token += 2 * (linears + head) + attention;
    return tokens * per_token;
}

static obi_status make_tokens(obi_dataset *data, const obi_train_options *options, uint32_t vocabulary)
{
    uint64_t count;
    data->length = options->cutoff_len;
    data->blocks = (uint64_t)options->per_device_train_batch_size * BATCHES;
    if (!obi_checked_mul(data->blocks, data->length, &count) || count > SIZE_MAX / 4)
        return obi_fail(OBI_ERROR_ARGUMENT, "a batch of %u sequences of %u tokens is too large", options->per_device_train_batch_size,
                        options->cutoff_len);
    data->ids = obi_calloc((size_t)count, sizeof *data->ids);
    if (!data->ids) return OBI_ERROR_MEMORY;
    obi_rng rng = obi_rng_seed(options->seed);
    for (uint64_t i = 0; i < count; i++) data->ids[i] = (uint32_t)(obi_rng_uniform(&rng) * vocabulary);
    return OBI_OK;
}

static obi_status one_step(obi_trainer *trainer, obi_train_bench *bench, double *seconds)
{
    obi_step_report report;
    double start = obi_clock_seconds();
    OBI_TRY(obi_trainer_step(trainer, &report));
    *seconds = obi_clock_seconds() - start;
    if (report.skipped) /* without its update a step is shorter */
        return obi_fail(OBI_ERROR_RUNTIME,
                        "the gradient of a random model was not finite; check the device with onebit-info-vk --selftest");
    bench->tokens = report.tokens;
    bench->loss = report.loss;
    if (bench->progress && !bench->progress((uint32_t)trainer->step, (uint32_t)trainer->steps, bench->user))
        return obi_fail(OBI_ERROR_CANCELLED, "stopped after %llu steps", (unsigned long long)trainer->step);
    return OBI_OK;
}

static int by_falling_seconds(const void *left, const void *right)
{
    const obi_profile_row *a = left, *b = right;
    return a->seconds < b->seconds ? 1 : a->seconds > b->seconds ? -1 : 0;
}

static obi_status time_steps(obi_trainer *trainer, obi_train_bench *bench)
{
    double seconds;
    for (uint32_t i = 0; i < bench->warmup; i++) OBI_TRY(one_step(trainer, bench, &seconds));
    for (uint32_t i = 0; i < bench->steps; i++) OBI_TRY(one_step(trainer, bench, &bench->seconds[i]));
    obi_cmd_profile(trainer->cmd, bench->profiled > 0); /* apart from the timed steps: timestamps cost something */
    for (uint32_t i = 0; i < bench->profiled; i++) {
        OBI_TRY(one_step(trainer, bench, &seconds));
        bench->profiled_seconds += seconds;
    }
    bench->kernel_count = obi_cmd_profile_rows(trainer->cmd, bench->kernels);
    qsort(bench->kernels, bench->kernel_count, sizeof *bench->kernels, by_falling_seconds);
    return OBI_OK;
}

obi_status obi_train_bench_run(obi_device *device, const obi_train_options *options, obi_train_bench *bench)
{
    obi_train_model *model = NULL, *teacher = NULL;
    obi_trainer *trainer = NULL;
    obi_dataset data = { 0 };
    bool kd = options->stage == OBI_STAGE_KD;
    uint64_t steps = (uint64_t)bench->warmup + bench->steps + bench->profiled;
    obi_status status;
    OBI_TRY_GOTO(make_tokens(&data, options, bench->vocabulary));
    if (kd) OBI_TRY_GOTO(obi_train_model_random_teacher(device, options, bench->vocabulary, &teacher));
    OBI_TRY_GOTO(kd ? obi_train_model_random_student(device, options, bench->vocabulary, &model)
                    : obi_train_model_random(device, options, bench->vocabulary, &model));
    OBI_TRY_GOTO(obi_trainer_create(device, options, model, teacher, &data, steps, &trainer));
    OBI_TRY_GOTO(time_steps(trainer, bench));
    for (uint32_t i = 0; i < model->param_count; i++)
        if (model->params[i].group != OBI_GROUP_SCALES) bench->parameters += (uint64_t)model->params[i].w.rows * model->params[i].w.columns;
    bench->linear_weights = linear_weights(&model->config);
    bench->operations = obi_train_operations(options, &model->config, kd);
    bench->model_bytes = obi_train_model_bytes(model);
    bench->teacher_bytes = teacher ? obi_train_model_bytes(teacher) : 0;
    bench->work_bytes = obi_trainer_bytes(trainer);
    bench->used_bytes = device->memory.used_bytes;
    bench->reserved_bytes = device->memory.reserved_bytes;
done:
    obi_trainer_destroy(trainer);
    obi_train_model_free(model);
    obi_train_model_free(teacher);
    obi_dataset_close(&data);
    return status;
}

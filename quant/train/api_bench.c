#include "api/api_internal.h"
#include "core/alloc.h"
#include "onebit/onebit_bench.h"
#include "quant/train/bench.h"

/* What obi_train_options_check asks of a real run. */
static const char *const stand_ins[] = { "dataset", "output_dir", "teacher_model_name_or_path", "tokenizer_name_or_path" };

static obi_status read_options(obi_train_options *options, const ob_bench_train_desc *desc)
{
    for (size_t i = 0; i < desc->override_count; i++)
        OBI_TRY(obi_train_options_set(options, desc->overrides[2 * i], desc->overrides[2 * i + 1]));
    for (size_t i = 0; i < sizeof stand_ins / sizeof *stand_ins; i++) OBI_TRY(obi_train_options_set(options, stand_ins[i], "random"));
    OBI_TRY(obi_train_options_set(options, "model_name_or_path", ""));
    if (options->max_position_embeddings < options->cutoff_len) options->max_position_embeddings = options->cutoff_len;
    if (desc->steps == 0) return obi_fail(OBI_ERROR_ARGUMENT, "steps: at least one must be timed");
    obi_stage stage = options->stage;
    if (stage != OBI_STAGE_KD && stage != OBI_STAGE_PRETRAIN)
        return obi_fail(OBI_ERROR_ARGUMENT, "stage: only steps of kd and pretrain can be measured");
    options->stage = OBI_STAGE_PRETRAIN; /* whose shape, made from nothing, is looked at */
    OBI_TRY(obi_train_options_check(options));
    options->stage = stage;
    return obi_train_options_check(options);
}

static obi_status copy_result(ob_bench_train_result *result, const obi_train_bench *bench)
{
    result->kernels = obi_calloc(bench->kernel_count ? bench->kernel_count : 1, sizeof *result->kernels);
    if (!result->kernels) return OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < bench->kernel_count; i++) {
        const obi_profile_row *row = &bench->kernels[i];
        result->kernels[i] = (ob_kernel_time){ obi_kernels[row->kernel].name, row->calls, row->seconds, row->bytes };
    }
    result->kernel_count = bench->kernel_count;
    result->steps = bench->steps;
    result->profiled = bench->profiled;
    result->profiled_seconds = bench->profiled_seconds;
    result->tokens = bench->tokens;
    result->parameters = bench->parameters;
    result->linear_weights = bench->linear_weights;
    result->operations = bench->operations;
    result->model_bytes = bench->model_bytes;
    result->teacher_bytes = bench->teacher_bytes;
    result->work_bytes = bench->work_bytes;
    result->used_bytes = bench->used_bytes;
    result->reserved_bytes = bench->reserved_bytes;
    result->loss = bench->loss;
    return OBI_OK;
}

ob_status ob_bench_train(ob_context *context, const ob_bench_train_desc *desc, ob_bench_train_result **out)
{
    obi_train_options options;
    obi_profile_row rows[OBI_KERNEL_COUNT];
    obi_train_bench bench = { .vocabulary = desc->vocabulary,
                              .warmup = desc->warmup,
                              .steps = desc->steps,
                              .profiled = desc->profiled,
                              .progress = desc->progress,
                              .user = desc->user,
                              .kernels = rows };
    ob_bench_train_result *result = NULL;
    obi_status status;
    *out = NULL;
    OBI_TRY_GOTO(obi_train_options_init(&options));
    OBI_TRY_GOTO(read_options(&options, desc));
    result = obi_calloc(1, sizeof *result);
    if (result) result->seconds = bench.seconds = obi_calloc(desc->steps, sizeof *result->seconds);
    if (!bench.seconds) {
        status = OBI_ERROR_MEMORY;
        goto done;
    }
    OBI_TRY_GOTO(obi_train_bench_run(context->device, &options, &bench));
    status = copy_result(result, &bench);
done:
    obi_train_options_clear(&options);
    if (status != OBI_OK) ob_bench_train_free(result);
    else *out = result;
    return obi_public(status);
}

void ob_bench_train_free(ob_bench_train_result *result)
{
    if (!result) return;
    obi_free(result->seconds);
    obi_free(result->kernels);
    obi_free(result);
}

#include "api/api_internal.h"
#include "onebit/onebit_train.h"
#include "quant/train/generate.h"

/* The public callbacks behind the internal ones. */
typedef struct relay {
    const ob_train_desc *desc;
    const obi_train_options *options;
    const obi_device *device;
} relay;

static void on_memory(const obi_memory_plan *plan, void *user)
{
    const relay *to = user;
    ob_train_memory copy = { plan->weights, plan->gradients,           plan->optimiser, plan->activations, plan->logits,
                             plan->teacher, plan->teacher_activations, plan->other,     plan->transfers,   plan->total,
                             to->options->dry_run };
    if (to->desc->memory) to->desc->memory(&copy, to->desc->user);
}

static void on_estimate(const obi_estimate *estimate, uint64_t peak_bytes, void *user)
{
    const relay *to = user;
    ob_train_estimate copy = { estimate->steps,
                               estimate->evaluations,
                               estimate->checkpoints,
                               estimate->step_seconds,
                               estimate->evaluation_seconds,
                               estimate->checkpoint_seconds,
                               estimate->seconds,
                               estimate->checkpoint_bytes,
                               peak_bytes };
    if (to->desc->estimate) to->desc->estimate(&copy, to->desc->user);
}

static void on_plan(const obi_run_plan *plan, void *user)
{
    const relay *to = user;
    ob_train_plan copy = { plan->steps,           plan->first_step,  plan->parameters,    plan->trained,   plan->train_tokens,
                           plan->held_out_tokens, plan->model_bytes, plan->teacher_bytes, plan->work_bytes };
    if (to->desc->plan) to->desc->plan(&copy, to->desc->user);
}

static void on_step(uint64_t step, uint64_t steps, const obi_step_report *report, double seconds, void *user)
{
    const relay *to = user;
    ob_train_step copy = { .step = step,
                           .steps = steps,
                           .loss = report->loss,
                           .nll = report->nll,
                           .kl = report->kl,
                           .hidden = report->hidden,
                           .learning_rate = report->factor * to->options->learning_rate,
                           .gradient_norm = report->gradient_norm,
                           .seconds = seconds,
                           .tokens = report->tokens,
                           .distilled = report->distilled,
                           .skipped = report->skipped,
                           .signs = report->signs,
                           .flipped = report->flipped,
                           .moved = report->moved,
                           .device_bytes = to->device->memory.reserved_bytes };
    if (to->desc->step) to->desc->step(&copy, to->desc->user);
}

static void on_evaluation(uint64_t step, double nll, double kl, bool best, void *user)
{
    const relay *to = user;
    if (to->desc->evaluation) to->desc->evaluation(step, nll, kl, best, to->desc->user);
}

static void on_profile(const obi_profile_row *rows, uint32_t count, uint64_t steps, double seconds, void *user)
{
    const relay *to = user;
    ob_kernel_time copies[OBI_KERNEL_COUNT];
    for (uint32_t i = 0; i < count; i++)
        copies[i] = (ob_kernel_time){ obi_kernels[rows[i].kernel].name, rows[i].calls, rows[i].seconds, rows[i].bytes };
    to->desc->profile(copies, count, steps, seconds, to->desc->user);
}

static void on_generated(const obi_generate_progress *progress, void *user)
{
    const relay *to = user;
    to->desc->generated(&(ob_generate_progress){ .first = progress->first,
                                                 .done = progress->done,
                                                 .samples = progress->samples,
                                                 .tokens = progress->tokens,
                                                 .seconds = progress->seconds,
                                                 .device_bytes = progress->device_bytes },
                        to->desc->user);
}

static bool on_save(void *user)
{
    const relay *to = user;
    return to->desc->save && to->desc->save(to->desc->user);
}

static bool on_stop(void *user)
{
    const relay *to = user;
    return to->desc->stop && to->desc->stop(to->desc->user);
}

/* Whatever it returns, obi_train_options_clear must follow. */
static obi_status resolve(obi_train_options *options, const ob_train_desc *desc)
{
    OBI_TRY(obi_train_options_init(options));
    if (desc->config) OBI_TRY(obi_train_options_read(options, desc->config));
    for (size_t i = 0; i < desc->override_count; i++)
        OBI_TRY(obi_train_options_set(options, desc->overrides[2 * i], desc->overrides[2 * i + 1]));
    return obi_train_options_check(options);
}

ob_status ob_train(ob_context *context, const ob_train_desc *desc)
{
    obi_train_options options;
    relay to = { desc, &options, context->device };
    obi_run_hooks hooks = { .memory = on_memory,
                            .plan = on_plan,
                            .estimate = on_estimate,
                            .step = on_step,
                            .evaluation = on_evaluation,
                            .profile = desc->profile ? on_profile : NULL,
                            .generated = desc->generated ? on_generated : NULL,
                            .save = on_save,
                            .stop = on_stop,
                            .user = &to };
    obi_ranks ranks;
    obi_status status;
    if (desc->ranks) {
        const ob_ranks *given = desc->ranks;
        ranks = (obi_ranks){ given->rank, given->size, given->sum_floats, given->sum_doubles, given->broadcast, given->user };
        hooks.ranks = &ranks;
    }
    OBI_TRY_GOTO(resolve(&options, desc));
    bool generate = options.stage == OBI_STAGE_GENERATE;
    if (generate && obi_ranks_size(hooks.ranks) > 1) {
        status = obi_fail(OBI_ERROR_ARGUMENT, "stage: generate is done by one process; start it without mpirun");
        goto done;
    }
    status = generate ? obi_generate_run(context->device, &options, &hooks) : obi_train_run(context->device, &options, &hooks);
done:
    obi_train_options_clear(&options);
    return obi_public(status);
}

bool ob_train_option(uint32_t i, const char **key, char *value, size_t room, const char **help)
{
    return obi_train_options_describe(i, key, value, room, help);
}

ob_status ob_train_resolve(const ob_train_desc *desc, void (*setting)(const char *key, const char *value, void *user), void *user)
{
    obi_train_options options;
    obi_status status = resolve(&options, desc);
    const char *key, *value;
    char room[OBI_TRAIN_VALUE_MAX];
    for (uint32_t i = 0; status == OBI_OK && obi_train_options_value(&options, i, &key, &value, room); i++) setting(key, value, user);
    obi_train_options_clear(&options);
    return obi_public(status);
}

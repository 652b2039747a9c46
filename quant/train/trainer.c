#include "quant/train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/log.h"
#include "ops/op_embed_bwd.h"
#include "ops/op_loss.h"
#include "ops/op_optim.h"
#include "quant/train/gradient.h"
#include "quant/train/pass_views.h"
#include "quant/train/scales.h"
#include "quant/train/schedule.h"
#include "quant/train/trainer_ranks.h"

#define TILE_BYTES_MAX (32ull << 20) /* of logits at once */
#define KL_WORDS 2                   /* obi_op_kd_xent gives KL and entropy for each token */

static obi_status make(obi_trainer *trainer, obi_buffer **buffer, uint64_t words, obi_memory_kind kind)
{
    trainer->measured += words * 4;
    return trainer->measuring ? OBI_OK : obi_buffer_create(trainer->device, words * 4, kind, buffer);
}

static uint32_t tokens_at_once(const obi_trainer *trainer) { return trainer->sequences * trainer->options->cutoff_len; }

/* Floats from one layer's hidden losses to the next. */
static uint64_t hidden_stride(const obi_trainer *trainer) { return obi_align_up((uint64_t)tokens_at_once(trainer) + 1, 64); }

static uint64_t scratch_bytes(const obi_trainer *trainer)
{
    const obi_train_model *model = trainer->model;
    uint64_t bytes = obi_op_hidden_scratch_bytes(tokens_at_once(trainer), model->config.width);
    for (uint32_t i = 0; i < model->param_count; i++) {
        const obi_weight *w = &model->params[i].w;
        uint64_t needed = obi_op_sumsq_scratch_bytes((uint64_t)w->block_rows * w->row_words);
        if (needed > bytes) bytes = needed;
    }
    return bytes > 4 ? bytes : 4;
}

static obi_status make_buffers(obi_trainer *trainer)
{
    const obi_config *config = &trainer->model->config;
    uint64_t N = tokens_at_once(trainer), V = config->vocabulary;
    uint64_t tile = TILE_BYTES_MAX / (V * 4) / 64 * 64;
    if (tile < 64) tile = 64;
    if (tile > N) tile = N;
    if (tile * V * 4 > trainer->device->caps.storage_range)
        return obi_fail(OBI_ERROR_ARGUMENT, "a vocabulary of %u tokens is too large to train with on this device", config->vocabulary);
    trainer->tile = (uint32_t)tile;
    OBI_TRY(make(trainer, &trainer->logits, tile * V, OBI_MEMORY_DEVICE));
    if (trainer->teacher) OBI_TRY(make(trainer, &trainer->teacher_logits, tile * V, OBI_MEMORY_DEVICE));
    OBI_TRY(make(trainer, &trainer->targets, N, OBI_MEMORY_UPLOAD));
    OBI_TRY(make(trainer, &trainer->token_loss, N * KL_WORDS, OBI_MEMORY_DEVICE));
    OBI_TRY(make(trainer, &trainer->token_loss_host, N * KL_WORDS, OBI_MEMORY_READBACK));
    OBI_TRY(make(trainer, &trainer->hidden_loss, hidden_stride(trainer) * config->layers, OBI_MEMORY_DEVICE));
    OBI_TRY(make(trainer, &trainer->hidden_loss_host, hidden_stride(trainer) * config->layers, OBI_MEMORY_READBACK));
    OBI_TRY(make(trainer, &trainer->scratch, scratch_bytes(trainer) / 4, OBI_MEMORY_DEVICE));
    OBI_TRY(make(trainer, &trainer->plan, OBI_EMBED_PLAN_WORDS(N), OBI_MEMORY_UPLOAD));
    OBI_TRY(make(trainer, &trainer->sums, 2, OBI_MEMORY_DEVICE));
    OBI_TRY(make(trainer, &trainer->sums_host, 2, OBI_MEMORY_READBACK));
    uint64_t scratch = obi_pass_scratch_bytes(trainer->model, trainer->sequences, trainer->options->cutoff_len, trainer->tile);
    trainer->measured += scratch;
    return trainer->measuring ? OBI_OK : obi_cmd_reserve(trainer->cmd, scratch);
}

static void free_buffers(obi_trainer *trainer)
{
    obi_buffer **buffers[] = {
        &trainer->logits,      &trainer->teacher_logits,   &trainer->targets, &trainer->token_loss, &trainer->token_loss_host,
        &trainer->hidden_loss, &trainer->hidden_loss_host, &trainer->scratch, &trainer->plan,       &trainer->sums,
        &trainer->sums_host
    };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
        obi_buffer_destroy(trainer->device, *buffers[i]);
        *buffers[i] = NULL;
    }
    obi_pass_destroy(trainer->pass);
    obi_pass_destroy(trainer->teacher_pass);
    trainer->pass = trainer->teacher_pass = NULL;
}

/* ---- as many sequences at once as memory holds ------------------------------------------------------------------- */

static obi_pass_keeping keeping_of(const obi_train_options *options)
{
    return options->gradient_checkpointing ? OBI_PASS_RECOMPUTE : OBI_PASS_KEEP;
}

static obi_status measure_work(obi_trainer *trainer, obi_work_bytes *work)
{
    uint32_t T = trainer->options->cutoff_len;
    *work = (obi_work_bytes){ 0 };
    OBI_TRY(obi_pass_measure(trainer->model, trainer->sequences, T, keeping_of(trainer->options), &work->activations));
    if (trainer->teacher) OBI_TRY(obi_pass_measure(trainer->teacher, trainer->sequences, T, OBI_PASS_FORWARD, &work->teacher_activations));
    trainer->measuring = true;
    trainer->measured = 0;
    obi_status status = make_buffers(trainer);
    trainer->measuring = false;
    work->logits = (uint64_t)trainer->tile * trainer->model->config.vocabulary * (trainer->teacher ? 8 : 4);
    work->other = trainer->measured - work->logits;
    return status;
}

obi_status obi_trainer_measure(const obi_train_options *options, obi_train_model *model, const obi_train_model *teacher,
                               obi_work_bytes *out)
{
    obi_trainer trainer = { .device = model->device,
                            .options = options,
                            .model = model,
                            .teacher = teacher,
                            .sequences = options->per_device_train_batch_size,
                            .batches = options->gradient_accumulation_steps };
    obi_status status = measure_work(&trainer, out);
    for (; status == OBI_ERROR_MEMORY && trainer.sequences > 1; status = measure_work(&trainer, out)) trainer.sequences /= 2;
    return status; /* halved as a trainer does it that cannot bind its buffers */
}

static obi_status make_work(obi_trainer *trainer)
{
    obi_pass_keeping keeping = keeping_of(trainer->options);
    uint32_t T = trainer->options->cutoff_len;
    obi_work_bytes work;
    obi_status status;
    OBI_TRY(measure_work(trainer, &work));
    OBI_TRY(obi_memory_fits(trainer->device, work.activations + work.teacher_activations + work.logits + work.other,
                            "the activations of a batch"));
    OBI_TRY_GOTO(obi_pass_create(trainer->model, trainer->sequences, T, keeping, &trainer->pass));
    if (trainer->teacher) OBI_TRY_GOTO(obi_pass_create(trainer->teacher, trainer->sequences, T, OBI_PASS_FORWARD, &trainer->teacher_pass));
    status = make_buffers(trainer);
done:
    if (status != OBI_OK) free_buffers(trainer);
    return status;
}

/* Memory is out: at most half the sequences at once, and as many more batches. */
static obi_status take_less(obi_trainer *trainer)
{
    uint64_t step = (uint64_t)trainer->sequences * trainer->batches;
    uint32_t before = trainer->sequences, sequences = before / 2;
    if (before == 1) {
        char reason[256];
        snprintf(reason, sizeof reason, "%.*s", (int)strcspn(obi_last_error(), ";"), obi_last_error());
        return obi_fail(
            OBI_ERROR_MEMORY, "not even one sequence of %u tokens fits into memory: %s; use %sa smaller cutoff_len or a smaller model",
            trainer->options->cutoff_len, reason, trainer->options->gradient_checkpointing ? "" : "gradient_checkpointing: true, ");
    }
    while (step % sequences) sequences--;
    free_buffers(trainer);
    trainer->sequences = sequences;
    trainer->batches = (uint32_t)(step / sequences);
    obi_log(OBI_LOG_WARNING,
            "memory does not hold the work on %u sequences at once: going on with %u, %u times a step, which comes to the same", before,
            sequences, trainer->batches);
    return OBI_OK;
}

/* Work buffers for trainer->sequences, or for as many as fit. */
static obi_status fit(obi_trainer *trainer)
{
    for (;;) {
        obi_status status = make_work(trainer);
        if (status != OBI_ERROR_MEMORY) return status;
        OBI_TRY(take_less(trainer));
    }
}

/* Memory was out in the middle of a step or an evaluation. */
static obi_status shrink(obi_trainer *trainer)
{
    obi_cmd_begin(trainer->cmd); /* waits, and forgets the buffers */
    OBI_TRY(take_less(trainer));
    return fit(trainer);
}

/* *status is this rank's of what may be tried again, and becomes OBI_ERROR_MEMORY for all when it was for one. */
static obi_status take_less_together(obi_trainer *trainer, obi_status *status)
{
    bool out = *status == OBI_ERROR_MEMORY;
    if (!out) OBI_TRY(*status);
    OBI_TRY(obi_ranks_any(trainer->ranks, &out));
    if (!out) return OBI_OK;
    *status = OBI_ERROR_MEMORY;
    OBI_TRY(shrink(trainer));
    return obi_trainer_agree_batch(trainer);
}

uint64_t obi_trainer_step_sequences(const obi_trainer *trainer)
{
    return (uint64_t)trainer->sequences * trainer->batches * obi_ranks_size(trainer->ranks);
}

obi_status obi_trainer_set_batch(obi_trainer *trainer, uint32_t sequences)
{
    uint64_t step = (uint64_t)trainer->sequences * trainer->batches;
    if (sequences == trainer->sequences) return OBI_OK;
    if (sequences == 0 || step % sequences)
        return obi_fail(OBI_ERROR_ARGUMENT, "%u sequences at once do not make a step of %llu", sequences, (unsigned long long)step);
    obi_cmd_begin(trainer->cmd);
    free_buffers(trainer);
    trainer->sequences = sequences;
    trainer->batches = (uint32_t)(step / sequences);
    return fit(trainer);
}

static void clear_optimiser(obi_trainer *trainer)
{
    for (uint32_t i = 0; i < trainer->model->param_count; i++) {
        const obi_param *param = &trainer->model->params[i];
        for (uint32_t block = 0; param->trained && block < param->m.block_count; block++) {
            obi_cmd_fill(trainer->cmd, obi_view_of(param->m.blocks[block]), 0);
            obi_cmd_fill(trainer->cmd, obi_view_of(param->v.blocks[block]), 0);
        }
    }
}

obi_status obi_trainer_create(obi_device *device, const obi_train_options *options, obi_train_model *model, const obi_train_model *teacher,
                              const obi_dataset *data, uint64_t steps, obi_trainer **out)
{
    *out = NULL;
    obi_trainer *trainer = obi_calloc(1, sizeof *trainer);
    if (!trainer) return OBI_ERROR_MEMORY;
    trainer->device = device;
    trainer->options = options;
    trainer->model = model;
    trainer->teacher = teacher;
    trainer->data = data;
    trainer->steps = steps;
    trainer->sequences = options->per_device_train_batch_size;
    trainer->batches = options->gradient_accumulation_steps;
    trainer->best = INFINITY;
    obi_status status;
    uint32_t sequences = options->per_device_train_batch_size, T = options->cutoff_len;
    if ((uint64_t)sequences * T > UINT32_MAX / 4) {
        status = obi_fail(OBI_ERROR_ARGUMENT, "a batch of %u sequences of %u tokens is too large", sequences, T);
        goto done;
    }
    if (teacher && (teacher->config.vocabulary != model->config.vocabulary || teacher->config.width != model->config.width ||
                    teacher->config.layers != model->config.layers)) {
        status = obi_fail(OBI_ERROR_ARGUMENT, "teacher and student must agree in width, layers and vocabulary");
        goto done;
    }
    OBI_TRY_GOTO(obi_cmd_create(device, &trainer->cmd));
    OBI_TRY_GOTO(obi_flips_create(model, &trainer->flips));
    obi_cmd_begin(trainer->cmd); /* first: now the system has given the memory that it promised for these */
    clear_optimiser(trainer);
    obi_gradient_clear(trainer);
    obi_train_model_pack(trainer->cmd, model);
    obi_flips_begin(trainer->flips, trainer->cmd);
    OBI_TRY_GOTO(obi_cmd_run(trainer->cmd));
    status = fit(trainer);
done:
    if (status != OBI_OK) obi_trainer_destroy(trainer);
    else *out = trainer;
    return status;
}

void obi_trainer_destroy(obi_trainer *trainer)
{
    if (!trainer) return;
    obi_cmd_destroy(trainer->cmd);
    obi_flips_destroy(trainer->flips);
    obi_exchange_destroy(trainer->exchange);
    free_buffers(trainer);
    obi_free(trainer);
}

uint64_t obi_trainer_bytes(const obi_trainer *trainer)
{
    const obi_buffer *buffers[] = {
        trainer->logits,      trainer->teacher_logits,   trainer->targets, trainer->token_loss, trainer->token_loss_host,
        trainer->hidden_loss, trainer->hidden_loss_host, trainer->scratch, trainer->plan,       trainer->sums,
        trainer->sums_host
    };
    uint64_t bytes = trainer->pass->bytes + (trainer->teacher_pass ? trainer->teacher_pass->bytes : 0) + obi_flips_bytes(trainer->flips);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) bytes += buffers[i] ? buffers[i]->size : 0;
    return bytes;
}

/* ---- one batch ------------------------------------------------------------------------------------------------- */

/* The block that is sequence number `position`: in the run's order, or in the file's. */
static const uint32_t *block_at(const obi_trainer *trainer, const obi_dataset *data, uint64_t position, bool shuffled)
{
    return shuffled ? obi_dataset_block(data, trainer->options->seed, position) : data->ids + position % data->blocks * data->length;
}

/* How many tokens of `count` sequences from number `position` on are trained. */
static uint64_t trained_tokens(const obi_trainer *trainer, const obi_dataset *data, uint64_t position, uint64_t count, bool shuffled)
{
    uint64_t tokens = 0;
    for (uint64_t i = 0; i < count; i++) tokens += obi_dataset_trained(data, block_at(trainer, data, position + i, shuffled));
    return tokens;
}

/* Ids and targets. */
static obi_status put_batch(obi_trainer *trainer, const obi_dataset *data, uint64_t position, bool shuffled)
{
    obi_pass *pass = trainer->pass;
    uint32_t *targets = trainer->targets->mapped, T = pass->T;
    for (uint32_t s = 0; s < pass->sequences; s++, position++) {
        const uint32_t *ids = block_at(trainer, data, position, shuffled), *own = obi_dataset_targets(data, ids);
        OBI_TRY(obi_pass_set_ids(pass, s, ids));
        if (trainer->teacher_pass) OBI_TRY(obi_pass_set_ids(trainer->teacher_pass, s, ids));
        memcpy(targets + (uint64_t)s * T, own ? own : ids + 1, (size_t)(T - 1) * 4);
        targets[(uint64_t)s * T + T - 1] = OBI_NO_TARGET;
    }
    return obi_buffer_flush(trainer->device, trainer->targets, 0, (uint64_t)pass->N * 4);
}

/* What a hidden-state loss adds on the way down. */
typedef struct hidden_user {
    obi_trainer *trainer;
    float scale;
} hidden_user;

static void add_hidden(void *user, obi_cmd *cmd, uint32_t layer)
{
    hidden_user *hidden = user;
    obi_trainer *trainer = hidden->trainer;
    obi_pass *pass = trainer->pass;
    uint32_t D = trainer->model->config.width;
    if (layer + 1 == trainer->model->config.layers) return; /* outputs of layers 0 .. L-2 are matched */
    obi_view loss = obi_view_rows(trainer->hidden_loss, layer, 1, hidden_stride(trainer));
    obi_op_hidden(cmd, loss, obi_view_of(pass->dx), obi_view_of(pass->x[layer + 1]), obi_view_of(trainer->teacher_pass->x[layer + 1]),
                  obi_view_of(trainer->scratch), pass->N, D, hidden->scale, OBI_HIDDEN_COS);
}

/* Losses and the gradient of `final`, a tile of logits at a time. kl: to the teacher, else next-token. */
static void record_losses(obi_trainer *trainer, obi_cmd *cmd, bool kl, float scale, bool backward)
{
    obi_pass *pass = trainer->pass;
    uint32_t V = trainer->model->config.vocabulary;
    for (uint32_t first = 0; first < pass->N; first += trainer->tile) {
        uint32_t rows = pass->N - first < trainer->tile ? pass->N - first : trainer->tile;
        obi_view logits = obi_view_rows(trainer->logits, 0, rows, V), targets = obi_view_rows(trainer->targets, first, rows, 1);
        obi_pass_logits(pass, cmd, logits, first, rows);
        if (kl) {
            obi_view teacher = obi_view_rows(trainer->teacher_logits, 0, rows, V);
            obi_pass_logits(trainer->teacher_pass, cmd, teacher, first, rows);
            obi_op_kd_xent(cmd, obi_view_rows(trainer->token_loss, first, rows, KL_WORDS), logits, teacher, targets, rows, V, scale);
        } else {
            obi_op_xent(cmd, obi_view_rows(trainer->token_loss, first, rows, 1), logits, targets, rows, V, scale);
        }
        if (backward) obi_pass_logits_backward(pass, cmd, logits, first, rows);
    }
    obi_cmd_copy(cmd, obi_view_of(trainer->token_loss_host), obi_view_of(trainer->token_loss));
}

/* Sum of every stride-th token's loss, over the tokens that have a target. */
static obi_status sum_losses(obi_trainer *trainer, uint32_t stride, double *sum)
{
    OBI_TRY(obi_buffer_invalidate(trainer->device, trainer->token_loss_host, 0, trainer->token_loss_host->size));
    const float *losses = trainer->token_loss_host->mapped;
    for (uint32_t t = 0; t < trainer->pass->N; t++) *sum += (double)losses[(uint64_t)t * stride];
    return OBI_OK;
}

static obi_status sum_hidden(obi_trainer *trainer, double *sum)
{
    OBI_TRY(obi_buffer_invalidate(trainer->device, trainer->hidden_loss_host, 0, trainer->hidden_loss_host->size));
    const float *losses = trainer->hidden_loss_host->mapped;
    for (uint32_t layer = 0; layer + 1 < trainer->model->config.layers; layer++)
        for (uint32_t t = 0; t < trainer->pass->N; t++) *sum += (double)losses[layer * hidden_stride(trainer) + t];
    return OBI_OK;
}

static obi_status run_batch(obi_trainer *trainer, uint64_t position, obi_step_report *report)
{
    const obi_train_options *options = trainer->options;
    obi_pass *pass = trainer->pass;
    obi_cmd *cmd = trainer->cmd;
    bool kd = trainer->teacher != NULL, hidden = kd && options->kd_beta > 0 && trainer->model->config.layers > 1;
    double share = report->trained > 0 ? 1.0 / (double)report->trained : 0;
    double hidden_share = 1.0 / ((double)obi_trainer_step_sequences(trainer) * pass->T); /* every token has hidden states */
    hidden_user user = { trainer, (float)(options->kd_beta * hidden_share) };
    OBI_TRY(put_batch(trainer, trainer->data, position, true));
    obi_cmd_begin(cmd);
    if (kd) obi_pass_forward(trainer->teacher_pass, cmd);
    obi_pass_forward(pass, cmd);
    OBI_TRY(obi_cmd_run(cmd));
    obi_cmd_begin(cmd);
    record_losses(trainer, cmd, kd, (float)((kd ? options->kd_alpha : 1) * share), true);
    obi_pass_backward(pass, cmd, hidden ? add_hidden : NULL, &user);
    const obi_param *embedding = &trainer->model->params[trainer->model->embedding];
    if (embedding->trained) {
        obi_view rows = obi_pass_embedding_backward(pass, cmd);
        uint32_t distinct;
        OBI_TRY(obi_embed_plan(trainer->plan->mapped, &distinct, pass->ids->mapped, pass->N, trainer->model->config.vocabulary));
        OBI_TRY(obi_buffer_flush(trainer->device, trainer->plan, 0, trainer->plan->size));
        obi_op_embed_scatter_add(cmd, &embedding->gradient, rows, obi_view_of(trainer->plan), pass->N, distinct);
    }
    if (hidden) obi_cmd_copy(cmd, obi_view_of(trainer->hidden_loss_host), obi_view_of(trainer->hidden_loss));
    OBI_TRY(obi_cmd_run(cmd));
    double loss = 0, hidden_sum = 0;
    OBI_TRY(sum_losses(trainer, kd ? KL_WORDS : 1, &loss));
    if (hidden) OBI_TRY(sum_hidden(trainer, &hidden_sum));
    if (kd) report->kl += loss * share;
    else report->nll += loss * share;
    report->hidden += hidden_sum * hidden_share;
    report->tokens += pass->N;
    return OBI_OK;
}

/* ---- the update ------------------------------------------------------------------------------------------------ */

static void group_rates(const obi_train_options *options, const obi_param *param, double *rate, double *decay)
{
    switch (param->group) {
    case OBI_GROUP_WEIGHT:
        *rate = options->learning_rate;
        *decay = options->weight_decay;
        break;
    case OBI_GROUP_SCALES:
    case OBI_GROUP_BIAS:
        *rate = options->scales_learning_rate;
        *decay = options->scales_weight_decay;
        break;
    case OBI_GROUP_TABLE:
        *rate = options->other_learning_rate;
        *decay = options->weight_decay;
        break;
    default: *rate = options->other_learning_rate; *decay = options->scales_weight_decay;
    }
}

static void record_update(obi_trainer *trainer, double factor, double gradient_scale)
{
    const obi_train_options *options = trainer->options;
    double count = (double)trainer->step + 1;
    for (uint32_t i = 0; i < trainer->model->param_count; i++) {
        const obi_param *param = &trainer->model->params[i];
        double rate, decay;
        group_rates(options, param, &rate, &decay);
        obi_adamw adamw = { .lr = (float)(rate * factor),
                            .beta1 = (float)options->adam_beta1,
                            .beta2 = (float)options->adam_beta2,
                            .eps = (float)options->adam_epsilon,
                            .weight_decay = (float)decay,
                            .c1 = (float)(1 - pow(options->adam_beta1, count)),
                            .c2 = (float)(1 - pow(options->adam_beta2, count)),
                            .grad_scale = (float)gradient_scale };
        for (uint32_t block = 0; param->trained && block < param->w.block_count; block++) {
            uint64_t elements;
            obi_view w = obi_param_trained(param, &param->w, block, &elements);
            obi_op_adamw(trainer->cmd, w, obi_param_trained(param, &param->gradient, block, &elements),
                         obi_param_trained(param, &param->m, block, &elements), obi_param_trained(param, &param->v, block, &elements),
                         elements, &adamw);
        }
    }
    obi_train_model_pack(trainer->cmd, trainer->model);
}

/* The update, unless the step is skipped, and what it did to the signs. */
static obi_status update(obi_trainer *trainer, double gradient_scale, obi_step_report *report)
{
    obi_flips *flips = trainer->flips;
    if (report->skipped && !flips) return OBI_OK;
    obi_cmd_begin(trainer->cmd);
    obi_flips_keep(flips, trainer->cmd);
    if (!report->skipped && report->trained > 0) record_update(trainer, report->factor, gradient_scale);
    obi_flips_count(flips, trainer->cmd);
    OBI_TRY(obi_cmd_run(trainer->cmd));
    report->signs = flips ? flips->signs : 0;
    return obi_flips_read(flips, &report->flipped, &report->moved);
}

/* The gradient of this rank's part of a step, from nothing. */
static obi_status accumulate(obi_trainer *trainer, obi_step_report *report)
{
    memset(report, 0, sizeof *report);
    report->distilled = trainer->teacher != NULL;
    obi_cmd_begin(trainer->cmd);
    obi_gradient_clear(trainer);
    OBI_TRY(obi_cmd_run(trainer->cmd));
    uint64_t sequences = obi_trainer_step_sequences(trainer), first = trainer->step * sequences;
    uint64_t stride = (uint64_t)trainer->sequences * obi_ranks_size(trainer->ranks); /* the ranks take batches in turn */
    report->trained = trained_tokens(trainer, trainer->data, first, sequences, true);
    first += (uint64_t)trainer->sequences * obi_ranks_rank(trainer->ranks);
    for (uint64_t done = 0; done < sequences; done += stride) OBI_TRY(run_batch(trainer, first + done, report));
    return OBI_OK;
}

obi_status obi_trainer_step(obi_trainer *trainer, obi_step_report *report)
{
    const obi_train_options *options = trainer->options;
    obi_status status;
    do {
        status = accumulate(trainer, report);
        OBI_TRY(take_less_together(trainer, &status)); /* nothing was updated yet */
    } while (status == OBI_ERROR_MEMORY);
    OBI_TRY(obi_trainer_sum_gradient(trainer, report));
    bool finite;
    OBI_TRY(obi_gradient_measure(trainer, &report->gradient_norm, &finite));
    report->loss = trainer->teacher ? options->kd_alpha * report->kl + options->kd_beta * report->hidden : report->nll;
    report->factor = obi_schedule_factor(options, trainer->step, trainer->steps);
    report->skipped = !finite || !isfinite(report->loss);
    double clip = 1;
    if (options->max_grad_norm > 0 && report->gradient_norm > options->max_grad_norm)
        clip = options->max_grad_norm / (report->gradient_norm + 1e-6);
    OBI_TRY(update(trainer, clip, report));
    trainer->step++;
    return OBI_OK;
}

/* How many of the first `blocks` sequences come in whole batches. */
static uint64_t whole_batches(const obi_trainer *trainer, const obi_dataset *held_out, uint64_t blocks)
{
    if (held_out->blocks < blocks) blocks = held_out->blocks;
    return blocks / trainer->sequences * trainer->sequences;
}

/* This rank's part of an evaluation: sums of NLL and KL. */
static obi_status evaluate(obi_trainer *trainer, const obi_dataset *held_out, uint64_t blocks, double sums[2])
{
    obi_cmd *cmd = trainer->cmd;
    uint64_t sequences = trainer->sequences, batches = whole_batches(trainer, held_out, blocks) / sequences;
    sums[0] = sums[1] = 0;
    if (batches == 0) return obi_fail(OBI_ERROR_DATA, "the held-out text has fewer than %llu sequences", (unsigned long long)sequences);
    for (uint64_t batch = obi_ranks_rank(trainer->ranks); batch < batches; batch += obi_ranks_size(trainer->ranks)) {
        OBI_TRY(put_batch(trainer, held_out, batch * sequences, false));
        obi_cmd_begin(cmd);
        obi_pass_forward(trainer->pass, cmd);
        record_losses(trainer, cmd, false, 0, false);
        OBI_TRY(obi_cmd_run(cmd));
        OBI_TRY(sum_losses(trainer, 1, &sums[0]));
        if (!trainer->teacher) continue;
        obi_cmd_begin(cmd);
        obi_pass_forward(trainer->teacher_pass, cmd);
        record_losses(trainer, cmd, true, 0, false);
        OBI_TRY(obi_cmd_run(cmd));
        OBI_TRY(sum_losses(trainer, KL_WORDS, &sums[1]));
    }
    return OBI_OK;
}

obi_status obi_trainer_evaluate(obi_trainer *trainer, const obi_dataset *held_out, uint64_t blocks, double *nll, double *kl)
{
    obi_status status;
    double sums[2];
    do {
        status = evaluate(trainer, held_out, blocks, sums);
        OBI_TRY(take_less_together(trainer, &status));
    } while (status == OBI_ERROR_MEMORY);
    OBI_TRY(obi_ranks_sum_doubles(trainer->ranks, sums, 2));
    double tokens = (double)trained_tokens(trainer, held_out, 0, whole_batches(trainer, held_out, blocks), false);
    *nll = sums[0] / tokens;
    *kl = trainer->teacher ? sums[1] / tokens : NAN;
    return OBI_OK;
}

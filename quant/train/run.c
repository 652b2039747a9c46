#include "quant/train/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "quant/import/vocab_file.h"
#include "quant/train/checkpoint.h"
#include "quant/train/directory.h"
#include "quant/train/export.h"
#include "quant/train/record.h"
#include "quant/train/scales.h"
#include "quant/train/trainer_ranks.h"

#define PATH_MAX_BYTES OBI_DIRECTORY_PATH_MAX
#define OBI_VOCABULARY_MAX (1u << 22)
#define EVAL_BLOCKS_MAX 256 /* sequences of the held-out text that an evaluation looks at */
#define BROKEN_STEPS_MAX 3  /* in a row before the last checkpoint is taken up again */
#define ROLL_BACKS_MAX 3    /* to the same checkpoint before the run is given up */

typedef struct training {
    obi_device *device;
    const obi_train_options *options;
    const obi_run_hooks *hooks;
    int lock;            /* file descriptor of OUTPUT/lock, -1 when not held */
    obi_record *record;  /* NULL in a dry run */
    obi_source *source;  /* of the teacher, or of the model to go on with */
    obi_source *student; /* kd: of the student, when it does not come from the teacher */
    obi_tokenizer *tokenizer;
    obi_dataset data, held_out;
    obi_train_model *model, *teacher;
    obi_trainer *trainer;
    uint32_t broken; /* steps in a row whose gradient was not finite */
    uint32_t roll_backs; /* in a row to the checkpoint of step `rolled_to` */
    uint64_t rolled_to;
    uint64_t profiled_steps;
    double profiled_seconds;
} training;

/* ---- the directory --------------------------------------------------------------------------------------------- */

/* This process writes and reports; the others compute. */
static bool leads(const training *run) { return obi_ranks_rank(run->hooks->ranks) == 0; }

static obi_status path_in(const training *run, const char *name, char *path)
{
    return obi_directory_path(run->options->output_dir, name, path);
}

/* What a run that is given up has left; its log goes when the new one's begins. */
static obi_status give_up_run(const training *run)
{
    static const char *const models[] = { "best.gguf", "model.gguf" };
    char path[PATH_MAX_BYTES];
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        OBI_TRY(path_in(run, models[i], path));
        unlink(path);
    }
    return obi_checkpoint_remove_all(run->options->output_dir);
}

static obi_status open_directory(training *run)
{
    size_t checkpoints;
    OBI_TRY(obi_directory_open(run->options->output_dir, &run->lock));
    if (run->options->overwrite_output_dir) OBI_TRY(give_up_run(run));
    OBI_TRY(obi_checkpoint_count(run->options->output_dir, &checkpoints));
    if (checkpoints > 0 && !run->options->resume)
        return obi_fail(OBI_ERROR_ARGUMENT,
                        "%s holds a run; go on with it (resume_from_checkpoint: true) or give it up (overwrite_output_dir: true)",
                        run->options->output_dir);
    return obi_directory_write_options(run->options);
}

static const obi_vocab *vocab_of(const training *run) { return obi_tokenizer_vocab(run->tokenizer); }

/* ---- what a run needs ------------------------------------------------------------------------------------------ */

/* Files first: a run that lacks one leaves no directory behind, and nothing on the device. */
static obi_status open_tokenizer(training *run)
{
    const obi_train_options *options = run->options;
    const char *tokenizer = options->tokenizer_name_or_path[0] ? options->tokenizer_name_or_path : NULL;
    const char *model = options->stage == OBI_STAGE_KD ? options->teacher_model_name_or_path : options->model_name_or_path;
    obi_vocab vocab = { 0 };
    if (!model[0]) {
        OBI_TRY(obi_vocab_file_read(&vocab, tokenizer, OBI_VOCABULARY_MAX));
        return obi_tokenizer_create(&run->tokenizer, &vocab); /* takes the vocab, on failure too */
    }
    OBI_TRY(obi_source_open(&run->source, model, tokenizer));
    if (options->stage == OBI_STAGE_KD && options->model_name_or_path[0])
        OBI_TRY(obi_source_open(&run->student, options->model_name_or_path, tokenizer));
    if (run->source->vocab.count == 0)
        return obi_fail(OBI_ERROR_DATA, "there is no tokenizer beside the model; name one (tokenizer_name_or_path)");
    return obi_tokenizer_create(&run->tokenizer, &run->source->vocab);
}

/* Of sft examples, otherwise text. */
static obi_status open_text(const training *run, const char *path, obi_dataset *data)
{
    const obi_train_options *options = run->options;
    if (options->stage != OBI_STAGE_SFT)
        return obi_dataset_open(data, path, run->tokenizer, options->document_separator, options->cutoff_len);
    OBI_TRY(obi_dataset_open_instructions(data, path, run->tokenizer, options->template == OBI_TEMPLATE_ALPACA, options->cutoff_len));
    if (data->cut > 0)
        obi_log(OBI_LOG_WARNING,
                "%s: of %" PRIu64 " examples %" PRIu64 " were longer than cutoff_len and were cut, %" PRIu64
                " had no answer left and were left out",
                path, data->documents + data->left_out, data->cut, data->left_out);
    return OBI_OK;
}

static obi_status open_texts(training *run)
{
    const obi_train_options *options = run->options;
    uint32_t context = run->source ? run->source->config.context : options->max_position_embeddings;
    if (options->cutoff_len > context) return obi_fail(OBI_ERROR_ARGUMENT, "cutoff_len: the model's context is %u", context);
    OBI_TRY(open_text(run, options->dataset, &run->data));
    if (options->eval_dataset[0]) OBI_TRY(open_text(run, options->eval_dataset, &run->held_out));
    return OBI_OK;
}

static obi_status make_models(training *run)
{
    const obi_train_options *options = run->options;
    if (!run->source) return obi_train_model_random(run->device, options, vocab_of(run)->count, &run->model);
    if (options->stage != OBI_STAGE_KD) return obi_train_model_from_source(run->device, run->source, options, &run->model);
    OBI_TRY(obi_train_model_from_source(run->device, run->source, NULL, &run->teacher));
    const obi_source *start = run->student ? run->student : run->source;
    return run->student && start->config.onebit ? obi_train_model_from_source(run->device, start, options, &run->model)
                                                : obi_train_model_student(run->device, start, options, &run->model);
}

/* The configurations that make_models will give the models. */
static obi_status plan_memory(training *run)
{
    const obi_train_options *options = run->options;
    obi_memory_plan plan;
    const obi_source *start = run->student ? run->student : run->source;
    obi_config model = start ? start->config : obi_train_random_config(options, vocab_of(run)->count);
    bool distilled = options->stage == OBI_STAGE_KD;
    if (distilled && !model.onebit) obi_train_student_form(options, &model);
    obi_status status = obi_plan_memory(run->device, options, &model, distilled ? &run->source->config : NULL, &plan);
    if (status == OBI_ERROR_MEMORY) return OBI_OK; /* not even one sequence can be bound: the trainer says what would help */
    OBI_TRY(status);
    obi_memory_expect(run->device, plan.total - plan.transfers);
    uint64_t exchange = obi_ranks_size(run->hooks->ranks) > 1 ? OBI_EXCHANGE_BYTES : 0; /* has an arena of its own */
    plan.other += exchange;
    plan.total += exchange;
    if (run->hooks->memory && leads(run)) run->hooks->memory(&plan, run->hooks->user);
    return OBI_OK;
}

static uint64_t count_steps(const training *run)
{
    if (run->options->max_steps > 0) return run->options->max_steps;
    double per_step = (double)run->options->per_device_train_batch_size * run->options->gradient_accumulation_steps *
                      obi_ranks_size(run->hooks->ranks);
    double steps = ceil(run->options->num_train_epochs * (double)run->data.blocks / per_step);
    return steps > 1 ? (uint64_t)steps : 1;
}

static void tell_plan(const training *run)
{
    if (!run->hooks->plan || !leads(run)) return;
    obi_run_plan plan = { .steps = run->trainer->steps,
                          .first_step = run->trainer->step,
                          .train_tokens = run->data.blocks * run->data.length,
                          .held_out_tokens = run->held_out.blocks * run->held_out.length,
                          .model_bytes = obi_train_model_bytes(run->model),
                          .teacher_bytes = run->teacher ? obi_train_model_bytes(run->teacher) : 0,
                          .work_bytes = obi_trainer_bytes(run->trainer) };
    for (uint32_t i = 0; i < run->model->param_count; i++) {
        const obi_param *param = &run->model->params[i];
        uint64_t count = (uint64_t)param->w.rows * param->w.columns;
        if (param->group != OBI_GROUP_SCALES) plan.parameters += count;
        if (param->trained) plan.trained += param->tied ? 1 : param->count ? param->count : count;
    }
    run->hooks->plan(&plan, run->hooks->user);
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

/* Whether the KL to the teacher, not the next-token loss, says which evaluation is the best. */
static bool by_kl(const training *run) { return run->teacher && run->options->metric_for_best_model != OBI_METRIC_EVAL_LOSS; }

static bool has_stopped_early(const training *run)
{
    uint32_t patience = run->options->early_stopping_patience;
    return patience > 0 && run->trainer->without_better >= patience;
}

static obi_status evaluate(training *run)
{
    if (run->held_out.blocks == 0) return OBI_OK;
    double nll, kl;
    char path[PATH_MAX_BYTES];
    double start = obi_clock_seconds();
    OBI_TRY(obi_trainer_evaluate(run->trainer, &run->held_out, EVAL_BLOCKS_MAX, &nll, &kl));
    run->profiled_seconds += obi_clock_seconds() - start;
    bool best = (by_kl(run) ? kl : nll) < run->trainer->best;
    if (best) {
        run->trainer->best = by_kl(run) ? kl : nll;
        run->trainer->without_better = 0;
        OBI_TRY(path_in(run, "best.gguf", path));
        if (leads(run)) OBI_TRY(obi_train_export(run->model, vocab_of(run), "best", path));
    } else {
        run->trainer->without_better++;
    }
    obi_record_evaluation(run->record, run->trainer->step, nll, kl, best);
    obi_record_draw(run->record);
    if (run->hooks->evaluation && leads(run)) run->hooks->evaluation(run->trainer->step, nll, kl, best, run->hooks->user);
    return OBI_OK;
}

static obi_status save(training *run)
{
    OBI_TRY(obi_trainer_share(run->trainer)); /* changes nothing where the ranks' devices round alike */
    if (!leads(run)) return OBI_OK;
    obi_status status = obi_checkpoint_save(run->trainer, run->options->output_dir, run->options->save_total_limit);
    if (status != OBI_OK) obi_fail_prefix(status, "step %" PRIu64 " is not saved, earlier checkpoints are whole", run->trainer->step);
    return status;
}

static obi_status give_up(const training *run, const char *why)
{
    obi_record_divergence(run->record, run->trainer->step, UINT64_MAX);
    obi_record_draw(run->record);
    return obi_fail(OBI_ERROR_RUNTIME,
                    "the training diverged at step %" PRIu64 ": loss or gradient was not finite three times in a row and %s; lower "
                    "learning_rate",
                    run->trainer->step, why);
}

/* After three steps without a finite gradient the parameters themselves are suspect: back to the last good checkpoint. The
 * data after it come in the same order, so the step counter stays where it is. */
static obi_status roll_back(training *run)
{
    uint64_t step = run->trainer->step;
    double best = run->trainer->best;
    uint32_t without_better = run->trainer->without_better;
    bool found = false;
    if (leads(run)) OBI_TRY(obi_checkpoint_load_newest(run->trainer, run->options->output_dir, &found));
    OBI_TRY(obi_ranks_any(run->hooks->ranks, &found));
    OBI_TRY(obi_trainer_share(run->trainer));
    if (!found) return give_up(run, "there is no checkpoint to go back to");
    uint64_t back = run->trainer->step;
    run->roll_backs = run->roll_backs > 0 && back == run->rolled_to ? run->roll_backs + 1 : 1;
    run->rolled_to = back;
    if (run->roll_backs > ROLL_BACKS_MAX) {
        run->trainer->step = step;
        return give_up(run, "going back to its last checkpoint has not helped");
    }
    obi_record_divergence(run->record, step, back);
    obi_log(OBI_LOG_WARNING, "the gradient was not finite three times in a row: back to the parameters of step %" PRIu64,
            run->trainer->step);
    run->trainer->step = step;
    run->trainer->best = best; /* best.gguf is what it was */
    run->trainer->without_better = without_better;
    run->broken = 0;
    return OBI_OK;
}

static int by_falling_seconds(const void *left, const void *right)
{
    const obi_profile_row *a = left, *b = right;
    return a->seconds < b->seconds ? 1 : a->seconds > b->seconds ? -1 : 0;
}

static void tell_profile(const training *run)
{
    if (!run->hooks->profile || !leads(run)) return;
    obi_profile_row rows[OBI_KERNEL_COUNT];
    uint32_t count = obi_cmd_profile_rows(run->trainer->cmd, rows);
    qsort(rows, count, sizeof *rows, by_falling_seconds);
    run->hooks->profile(rows, count, run->profiled_steps, run->profiled_seconds, run->hooks->user);
}

static obi_status loop(training *run)
{
    const obi_train_options *options = run->options;
    obi_trainer *trainer = run->trainer;
    bool enough = has_stopped_early(run);
    uint64_t first = trainer->step;
    if (run->hooks->profile) obi_cmd_profile(trainer->cmd, true);
    while (trainer->step < trainer->steps && !enough) {
        obi_step_report report;
        if (run->hooks->profile && trainer->step == first + 1) { /* the first step made the pipelines: forget it */
            obi_cmd_profile(trainer->cmd, true);
            run->profiled_steps = 0;
            run->profiled_seconds = 0;
        }
        double start = obi_clock_seconds();
        OBI_TRY(obi_trainer_step(trainer, &report));
        double seconds = obi_clock_seconds() - start;
        run->profiled_steps++;
        run->profiled_seconds += seconds;
        run->broken = report.skipped ? run->broken + 1 : 0;
        if (run->hooks->step && leads(run)) run->hooks->step(trainer->step, trainer->steps, &report, seconds, run->hooks->user);
        if (options->dry_run) break; /* there is no directory and no log */
        if (trainer->step % options->logging_steps == 0 || report.skipped || trainer->step == trainer->steps)
            obi_record_step(run->record, trainer->step, &report, report.factor * options->learning_rate, seconds,
                            run->device->memory.reserved_bytes);
        if (run->broken >= BROKEN_STEPS_MAX) OBI_TRY(roll_back(run));
        bool last = trainer->step == trainer->steps;
        if (last || (options->eval_steps > 0 && trainer->step % options->eval_steps == 0)) OBI_TRY(evaluate(run));
        enough = has_stopped_early(run);
        bool wanted = run->hooks->save && run->hooks->save(run->hooks->user);
        bool asked = run->hooks->stop && run->hooks->stop(run->hooks->user);
        OBI_TRY(obi_ranks_any(run->hooks->ranks, &wanted));
        OBI_TRY(obi_ranks_any(run->hooks->ranks, &asked));
        if (last || enough || wanted || asked || (options->save_steps > 0 && trainer->step % options->save_steps == 0)) OBI_TRY(save(run));
        if (last || enough || wanted || asked) obi_record_draw(run->record);
        if (asked && !last)
            return obi_fail(OBI_ERROR_CANCELLED, "stopped at step %" PRIu64 "; the same command goes on from there", trainer->step);
    }
    tell_profile(run);
    return OBI_OK;
}

/* model.gguf from best.gguf, which an evaluation of this run has left. */
static obi_status take_best(const training *run, const char *path)
{
    char best[PATH_MAX_BYTES];
    obi_mapping file;
    obi_writer writer;
    OBI_TRY(path_in(run, "best.gguf", best));
    OBI_TRY(obi_mapping_open(&file, best));
    obi_status status = obi_writer_open(&writer, path);
    if (status == OBI_OK) {
        status = obi_write(&writer, file.data, file.size);
        if (status == OBI_OK) status = obi_writer_commit(&writer);
        else obi_writer_abandon(&writer);
    }
    obi_mapping_close(&file);
    return status;
}

/* `before`: device memory that others held when the run began. */
static obi_status tell_estimate(const training *run, uint64_t before)
{
    obi_estimate estimate;
    if (!run->hooks->estimate) return OBI_OK;
    OBI_TRY(obi_estimate_run(run->trainer, &run->held_out, EVAL_BLOCKS_MAX, &estimate));
    if (leads(run)) run->hooks->estimate(&estimate, run->device->memory.peak_bytes - before, run->hooks->user);
    return OBI_OK;
}

static obi_status finish(training *run)
{
    char path[PATH_MAX_BYTES];
    if (!leads(run)) return OBI_OK;
    OBI_TRY(path_in(run, "model.gguf", path));
    if (run->options->load_best_model_at_end) return take_best(run, path);
    return obi_train_export(run->model, vocab_of(run), "model", path);
}

static void close_run(training *run)
{
    obi_trainer_destroy(run->trainer);
    obi_train_model_free(run->model);
    obi_train_model_free(run->teacher);
    obi_dataset_close(&run->data);
    obi_dataset_close(&run->held_out);
    obi_tokenizer_free(run->tokenizer);
    obi_source_close(run->source);
    obi_source_close(run->student);
    obi_record_close(run->record);
    obi_memory_expect(run->device, 0);
    if (run->lock >= 0) close(run->lock);
}

obi_status obi_train_run(obi_device *device, const obi_train_options *options, const obi_run_hooks *hooks)
{
    training run = { .device = device, .options = options, .hooks = hooks, .lock = -1 };
    bool resumed = false;
    obi_status status;
    OBI_TRY_GOTO(open_tokenizer(&run));
    OBI_TRY_GOTO(obi_scales_check(options, options->stage == OBI_STAGE_KD ? run.student : run.source));
    OBI_TRY_GOTO(open_texts(&run));
    if (!options->dry_run && leads(&run)) OBI_TRY_GOTO(open_directory(&run));
    uint64_t before = device->memory.reserved_bytes;
    OBI_TRY_GOTO(plan_memory(&run));
    OBI_TRY_GOTO(make_models(&run));
    OBI_TRY_GOTO(obi_trainer_create(device, options, run.model, run.teacher, &run.data, count_steps(&run), &run.trainer));
    OBI_TRY_GOTO(obi_trainer_join(run.trainer, hooks->ranks));
    if (options->resume && !options->dry_run && leads(&run))
        OBI_TRY_GOTO(obi_checkpoint_load_newest(run.trainer, options->output_dir, &resumed));
    OBI_TRY_GOTO(obi_trainer_share(run.trainer));
    if (!options->dry_run && leads(&run) && run.trainer->step < run.trainer->steps)
        OBI_TRY_GOTO(obi_record_open(options->output_dir, run.trainer->step, &run.record));
    tell_plan(&run);
    OBI_TRY_GOTO(loop(&run));
    status = options->dry_run ? tell_estimate(&run, before) : finish(&run);
done:
    close_run(&run);
    return status;
}

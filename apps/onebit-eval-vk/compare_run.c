#include "compare_run.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agree.h"
#include "common/model.h"
#include "common/stop.h"
#include "common/stream.h"
#include "common/term.h"
#include "common/text_file.h"
#include "common/whole_file.h"
#include "compare_key.h"
#include "compare_seconds.h"
#include "ppl.h"
#include "zeroshot.h"

/* ---- what all rows share -------------------------------------------------------------------------------------------- */

static int read_text(eval_text *text, const char *path, uint64_t most, size_t window)
{
    char *bytes = NULL;
    size_t count = 0;
    *text = (eval_text){ .name = path, .window = window };
    if (!path) return APP_GO_ON;
    int code = app_read_text(path, most ? most : UINT64_MAX, &bytes, &count);
    text->bytes = bytes;
    text->count = count;
    return code;
}

static bool is_gguf(const char *path)
{
    char magic[4] = "";
    FILE *file = fopen(path, "rb");
    bool is = file && fread(magic, 1, 4, file) == 4 && memcmp(magic, "GGUF", 4) == 0;
    if (file) fclose(file);
    return is;
}

static int open_teacher(compare_bench *bench)
{
    const compare_config *config = bench->config;
    if (is_gguf(config->model)) {
        snprintf(bench->teacher_path, sizeof bench->teacher_path, "%s", config->model);
    } else {
        uint64_t key = compare_key_of_path(config->model) + 31 * compare_key_of_path(config->tokenizer);
        snprintf(bench->teacher_path, sizeof bench->teacher_path, "%s/teacher-%08" PRIx32 ".gguf", config->output_dir, (uint32_t)key);
        if (access(bench->teacher_path, R_OK) != 0) {
            const ob_quantize_desc desc = {
                .input = config->model, .output = bench->teacher_path, .tokenizer = config->tokenizer, .form = OB_FORM_F32
            };
            ob_status status = ob_quantize(bench->context, &desc, NULL);
            if (status != OB_OK) return app_fail(status);
        }
    }
    ob_model_info info;
    ob_status status = app_load_model(&bench->teacher, bench->context, bench->teacher_path, true);
    if (status == OB_OK) status = ob_model_info_get(bench->teacher, &info);
    if (status != OB_OK) return app_fail(status);
    bench->window = eval_text_window(&bench->text, &info, 1);
    bench->protocol_window = eval_text_window(&bench->wikitext2, &info, 1);
    return APP_GO_ON;
}

int compare_bench_open(compare_bench *bench, const compare_config *config, const eval_options *options)
{
    memset(bench, 0, sizeof *bench);
    bench->config = config;
    bench->session = (eval_session){ .batch = (uint32_t)options->batch, .cache_type = OB_CACHE_F32, .exact = true };
    int code = read_text(&bench->text, config->text, config->bytes, (size_t)config->window);
    if (code == APP_GO_ON) code = read_text(&bench->wikitext2, config->wikitext2, 0, 0);
    if (code == APP_GO_ON) code = read_text(&bench->c4, config->c4, 0, 0);
    bench->wikitext2.protocol = EVAL_PROTOCOL_WIKITEXT2;
    bench->c4.protocol = EVAL_PROTOCOL_C4;
    if (code == APP_GO_ON && config->calibration)
        code = app_read_text(config->calibration, config->calibration_bytes ? config->calibration_bytes : UINT64_MAX, &bench->calibration,
                             &bench->calibration_bytes);
    if (code == APP_GO_ON && access(config->model, R_OK) != 0)
        code = app_refuse(5, "cannot open the model %s: %s", config->model, strerror(errno));
    if (code == APP_GO_ON && !app_make_directory(config->output_dir))
        code = app_refuse(1, "cannot make the directory %s: %s", config->output_dir, strerror(errno));
    if (code != APP_GO_ON) return code;
    app_use_threads(&options->common, 0);
    /* Exact: the rows shall differ by their methods, not by what a driver's kernels round. */
    ob_status status = ob_context_create(&bench->context, &(ob_context_desc){ .device = options->common.device, .exact = true });
    if (status == OB_OK) status = ob_context_info(bench->context, &bench->device);
    bench->session.device = &bench->device;
    return status == OB_OK ? open_teacher(bench) : app_fail(status);
}

int compare_bench_close(compare_bench *bench, int code)
{
    ob_model_destroy(bench->teacher);
    code = app_end_context(bench->context, code);
    eval_text *const texts[] = { &bench->text, &bench->wikitext2, &bench->c4 };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free((void *)(uintptr_t)texts[i]->bytes);
    free(bench->calibration);
    memset(bench, 0, sizeof *bench);
    return code;
}

/* ---- failures ------------------------------------------------------------------------------------------------------- */

/* Marks the row; a reason given again and again by the same inputs is not tried again. The reason may have names of files in it, which
 * may be any bytes, and be cut in the middle of a character: what is no UTF-8, which JSON must be, becomes '?'. */
static int fail(compare_result *result, int code, const char *reason)
{
    result->failed = true;
    result->lasting = code == 2 || code == 5;
    snprintf(result->reason, sizeof result->reason, "%.599s", *reason ? reason : "it failed without saying why");
    for (char *at = result->reason; *at;) {
        size_t left = strlen(at);
        int bytes = app_utf8_measure((const unsigned char *)at, left);
        size_t bad = bytes == 0 ? left : bytes < 0 ? (size_t)-bytes : 0;
        memset(at, '?', bad);
        at += bad ? bad : (size_t)bytes;
    }
    return code;
}

static int fail_with(compare_result *result, ob_status status)
{
    int number = app_stop_signal();
    if (status == OB_ERROR_CANCELLED && number) return 128 + number;
    return fail(result, ob_exit_code(status), ob_last_error());
}

/* One that diverged for good most likely does so again: on one device its settings say all, but for where it was stopped, as a run may go
 * back to the checkpoint that stopping it saved. So it is kept, and --retry is there. The words are those of onebit_train.h. */
static int fail_training(compare_result *result, ob_status status)
{
    bool again = status == OB_ERROR_RUNTIME && strstr(ob_last_error(), "the training diverged");
    int code = fail_with(result, status);
    result->lasting = result->lasting || again;
    return code;
}

/* What a measurement returned and said. */
static int fail_by_code(compare_result *result, int code)
{
    if (code == 0 || code > 128) return code;
    return fail(result, code, app_last_refusal());
}

/* ---- making a model --------------------------------------------------------------------------------------------------- */

typedef struct maker {
    compare_run_progress progress;
    void *user;
} maker;

static bool quantize_progress(double fraction, const char *what, void *user)
{
    const maker *m = user;
    m->progress(what ? what : "", fraction, m->user);
    return app_stop_signal() == 0;
}

static int make_quantized(compare_result *result, compare_bench *bench, const compare_row *row, const char *path, maker *m)
{
    ob_quantize_desc desc = {
        .input = bench->config->model, .output = path, .tokenizer = bench->config->tokenizer, .progress = quantize_progress, .user = m
    };
    compare_quantize_settings(row, &desc);
    if (compare_is_calibrated(row)) {
        desc.calibration = bench->calibration;
        desc.calibration_bytes = bench->calibration_bytes;
    }
    ob_status status = ob_quantize(bench->context, &desc, NULL);
    return status == OB_OK ? 0 : fail_with(result, status);
}

static void train_step(const ob_train_step *step, void *user)
{
    const maker *m = user;
    char line[160];
    snprintf(line, sizeof line, "step %" PRIu64 "/%" PRIu64 "  loss %.4f  %.0f tokens/s", step->step, step->steps, step->loss,
             step->seconds > 0 ? (double)step->tokens / step->seconds : 0);
    m->progress(line, step->steps ? (double)step->step / (double)step->steps : 0, m->user);
}

static bool train_stop(void *user)
{
    (void)user;
    return app_stop_signal() != 0;
}

static int make_trained(compare_result *result, compare_bench *bench, const compare_row *row, uint64_t seed, const char *directory,
                        maker *m)
{
    compare_words keys;
    compare_train_words(bench->config, row, seed, bench->teacher_path, directory, &keys);
    if (keys.too_many) return fail(result, 2, "it has more keys than a training takes");
    const ob_train_desc desc = { .overrides = keys.words, .override_count = keys.count, .step = train_step, .stop = train_stop, .user = m };
    ob_status status = ob_train(bench->context, &desc);
    return status == OB_OK ? 0 : fail_training(result, status);
}

/* The learning rate that the run took, its preset's included, from its resolved.yaml. */
static double rate_of(const char *directory)
{
    char path[1200], line[1024];
    double rate = NAN;
    snprintf(path, sizeof path, "%s/resolved.yaml", directory);
    FILE *file = fopen(path, "rb");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "learning_rate:", 14) == 0) {
            const char *at = line + 14;
            rate = strtod(at + strspn(at, " \"'"), NULL);
        }
    if (file) fclose(file);
    return rate;
}

/* ---- measuring ---------------------------------------------------------------------------------------------------------- */

static int measure_size(compare_result *result, const char *path)
{
    ob_model_size size;
    ob_status status = ob_model_size_get(path, &size);
    if (status != OB_OK) return fail_with(result, status);
    double own = (double)size.linear_weights * size.linear_bits / 8, stored = size.stored_bits / 8;
    double *metric = result->metric;
    if (size.linear_weights > 0) metric[METRIC_BITS] = size.linear_bits;
    metric[METRIC_BYTES] = (double)size.tensor_bytes + (size.linear_weights > 0 ? own - stored : 0);
    metric[METRIC_MODEL_BITS] = size.parameters ? 8 * metric[METRIC_BYTES] / (double)size.parameters : NAN;
    metric[METRIC_FILE_BYTES] = (double)size.file_bytes;
    return 0;
}

/* A measurement of a text or of tasks, which keeps a log so that it goes on where it was stopped. A log of other settings, of other data
 * or of another file of the model is no use any more: the measurement is made anew. */
typedef struct measurement {
    compare_bench *bench;
    ob_model *model;
    const char *path, *directory;
    eval_text text; /* with its log */
    eval_zeroshot_desc tasks;
    union {
        eval_agree agree;
        eval_ppl ppl;
        eval_zeroshot tasks;
    } result;
} measurement;

static int run_agree(measurement *m)
{
    return eval_agree_measure(&m->result.agree, m->model, m->path, m->bench->teacher, m->bench->teacher_path, &m->bench->session, &m->text);
}
static int run_ppl(measurement *m) { return eval_ppl_measure(&m->result.ppl, m->model, &m->bench->session, &m->text); }
static int run_tasks(measurement *m) { return eval_zeroshot_measure(&m->result.tasks, m->model, &m->bench->session, &m->tasks); }

static int measure_with_log(measurement *m, const char *name, int (*run)(measurement *))
{
    char log[1200];
    snprintf(log, sizeof log, "%s/%s.jsonl", m->directory, name);
    m->text.log = m->tasks.log = log;
    int code = run(m);
    /* What is said of a log begins with its name; any other failure is none of the log, which is good and stays. */
    bool of_log = (code == 2 || code == 5) && strncmp(app_last_refusal(), log, strlen(log)) == 0;
    if (!of_log || unlink(log) != 0) return code;
    compare_seconds_forget(m->directory, "measuring"); /* they were spent on it */
    return run(m);
}

/* On the held-out text; of rows in the table on the others, too. */
static int measure_texts(compare_result *result, measurement *m, bool all)
{
    compare_bench *bench = m->bench;
    double *metric = result->metric;
    m->text = bench->text;
    int code = measure_with_log(m, "held-out", run_agree);
    if (code != 0) return fail_by_code(result, code);
    const eval_score *score = &m->result.agree.score;
    const eval_agreement *agreement = &m->result.agree.agreement;
    metric[METRIC_PPL] = score->perplexity;
    metric[METRIC_BITS_PER_BYTE] = score->bytes ? score->bits_per_byte : NAN;
    metric[METRIC_KL] = agreement->kl;
    metric[METRIC_SAME] = 100 * (double)agreement->same / (double)score->predictions;
    metric[METRIC_RATIO] = score->perplexity / agreement->teacher.perplexity;
    const struct {
        const eval_text *text;
        compare_metric metric;
    } others[] = { { &bench->wikitext2, METRIC_WIKITEXT2 }, { &bench->c4, METRIC_C4 } };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (!others[i].text->bytes || !all) continue;
        m->text = *others[i].text;
        code = measure_with_log(m, compare_metric_names[others[i].metric], run_ppl);
        if (code != 0) return fail_by_code(result, code);
        metric[others[i].metric] = m->result.ppl.score.perplexity;
    }
    return 0;
}

static int measure_tasks(compare_result *result, measurement *m)
{
    const compare_config *config = m->bench->config;
    m->tasks = (eval_zeroshot_desc){ .folder = config->zeroshot, .items = (size_t)config->zeroshot_items, .model_path = m->path };
    int code = measure_with_log(m, "zeroshot", run_tasks);
    if (code != 0) return fail_by_code(result, code);
    const eval_zeroshot *measured = &m->result.tasks;
    for (int i = 0; i < measured->count && i < EVAL_TASKS; i++)
        result->metric[METRIC_TASK + i] = 100 * eval_zeroshot_share(&measured->task[i], measured->task[i].normalised);
    double error;
    result->metric[METRIC_AVERAGE] = 100 * eval_zeroshot_average(measured, &error);
    return 0;
}

static int measure(compare_result *result, compare_bench *bench, const compare_row *row, const char *path, const char *directory)
{
    ob_model *model = NULL;
    int code = measure_size(result, path);
    if (code != 0) return code;
    ob_status status = app_load_model(&model, bench->context, path, true);
    code = status == OB_OK ? 0 : fail_with(result, status);
    measurement m = { .bench = bench, .model = model, .path = path, .directory = directory };
    if (code == 0) code = measure_texts(result, &m, row->shown);
    if (code == 0 && bench->config->zeroshot && row->shown) code = measure_tasks(result, &m);
    ob_model_destroy(model);
    return code;
}

/* ---- both ------------------------------------------------------------------------------------------------------------------ */

/* The session ends, and the row goes on in the next one. */
static bool is_interrupted(int code) { return code > 128 || code == 6; }

/* Beside a made model lies `made`, which says how long it took. Of what was not finished there is `making`, when it goes on where it was (a
 * training does, with every try; what is quantised begins anew), or `measuring`: the seconds so far, but for those of a session that was
 * killed. Without such a file seconds are not counted, nothing else. */
static int write_made(compare_result *result, const char *directory, uint64_t key, double seconds)
{
    if (compare_seconds_write(directory, "made", key, seconds)) return 0;
    char reason[1300];
    snprintf(reason, sizeof reason, "cannot write %s/made: %s", directory, strerror(errno));
    return fail(result, 1, reason);
}

static int make(compare_result *result, compare_bench *bench, const compare_row *row, uint64_t seed, uint64_t key, const char *directory,
                const char *path, maker *m)
{
    double seconds = compare_seconds_read(directory, "made", key, -1), start = app_seconds();
    int code = 0;
    if (seconds < 0 || access(path, R_OK) != 0) {
        bool goes_on = row->kind == COMPARE_TRAIN;
        code = goes_on ? make_trained(result, bench, row, seed, directory, m) : make_quantized(result, bench, row, path, m);
        seconds = (goes_on ? compare_seconds_read(directory, "making", key, 0) : 0) + app_seconds() - start;
        if (code == 0) code = write_made(result, directory, key, seconds);
        if (code == 0) compare_seconds_forget(directory, "making");
        else if (goes_on) (void)compare_seconds_write(directory, "making", key, seconds);
    }
    result->metric[METRIC_SECONDS] = seconds;
    return code;
}

/* What is there from other settings of the measurement, such as another text, was not spent on this one: the seconds have its key. */
static int measure_timed(compare_result *result, compare_bench *bench, const compare_row *row, uint64_t key, const char *path,
                         const char *directory)
{
    double start = app_seconds();
    int code = measure(result, bench, row, path, directory);
    double seconds = compare_seconds_read(directory, "measuring", key, 0) + app_seconds() - start;
    if (code == 0) compare_seconds_forget(directory, "measuring");
    else (void)compare_seconds_write(directory, "measuring", key, seconds);
    result->metric[METRIC_SECONDS] += seconds;
    return code;
}

int compare_run(compare_result *result, compare_bench *bench, const compare_row *row, uint64_t seed, const char *directory,
                compare_run_progress progress, void *user)
{
    char path[1200];
    maker m = { progress, user };
    compare_result_clear(result);
    result->metric[METRIC_SECONDS] = 0;
    if (!app_make_directory(directory)) {
        snprintf(path, sizeof path, "cannot make the directory %.1000s: %s", directory, strerror(errno));
        fail(result, 1, path);
        return 0;
    }
    snprintf(path, sizeof path, "%s", row->kind == COMPARE_FILE ? compare_keys_get(&row->keys, "path") : "");
    if (row->kind != COMPARE_FILE) snprintf(path, sizeof path, "%s/model.gguf", directory);
    uint64_t key = compare_key_of_model(bench->config, row, seed, &bench->device);
    int code = row->kind == COMPARE_FILE ? 0 : make(result, bench, row, seed, key, directory, path, &m);
    if (code <= 128 && row->kind == COMPARE_TRAIN) { /* a failed run, too: figures show how it went */
        char log[1200];
        snprintf(log, sizeof log, "%s/log.jsonl", directory);
        compare_result_read_log(result, log);
        result->metric[METRIC_RATE] = rate_of(directory);
    }
    if (code == 0) code = measure_timed(result, bench, row, compare_key_of_result(bench->config, row, key), path, directory);
    return is_interrupted(code) ? code : 0;
}

#include "compare.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/args.h"
#include "common/stop.h"
#include "common/term.h"
#include "common/whole_file.h"
#include "compare_config.h"
#include "compare_key.h"
#include "compare_page.h"
#include "compare_run.h"
#include "compare_table.h"

static const char examples[] =
    "  onebit-eval-vk compare comparison.yaml\n"
    "      makes and measures every row, prints the table; again, it makes only what is missing\n"
    "  onebit-eval-vk compare comparison.yaml --retry\n"
    "      also tries again what failed\n\n"
    "The YAML file: model, output_dir and text (held out) are needed; tokenizer, bytes, window, wikitext2, c4, zeroshot,\n"
    "zeroshot_items, calibration, calibration_bytes, title, document, seeds are not. train: has keys of onebit-train-vk for every trained\n"
    "row. rows: a list of name, kind (quantize, train or file) and the method's keys; table: false keeps one for figures only.\n"
    "figures: a list of file, title, kind (losses or rates) and rows. ${NAME} and ${NAME:-VALUE} are taken from the environment.\n"
    "docs/comparison.md has all of it.\n\n"
    "  model: models/stories-teacher.gguf\n"
    "  output_dir: build/comparison\n"
    "  text: stories.txt\n"
    "  train: {dataset: train.txt, max_steps: 500}\n"
    "  seeds: [1, 2, 3]\n"
    "  rows:\n"
    "    - {name: FP16, form: f16}\n"
    "    - {name: SVID, method: svid}\n"
    "    - {name: OneBit, kind: train, preset: improved}\n\n"
    "output_dir then has table.md, report.html, figures, models and results. Ctrl-C stops; the same command goes on where it was stopped,\n"
    "inside a training too. A row that fails is marked so, and the exit code is 1.\n";

typedef struct compare_options {
    eval_options eval;
    const char *config;
    bool retry;
} compare_options;

static int parse(compare_options *o, int argc, char **argv)
{
    *o = (compare_options){ 0 };
    const app_option options[] = {
        APP_ROW_HEADING("Comparison"),
        APP_ROW_FLAG(0, "retry", "try again what failed by its inputs or diverged, too", &o->retry),
        EVAL_BATCH_ROW(o->eval),
        APP_ROW_HEADING("Output"),
        APP_ROW_FLAG(0, "json", "print all results as JSON instead of the table", &o->eval.json),
        APP_DEVICE_ROWS(o->eval.common),
        APP_ROW_INTEGER('t', "threads", "N", "processors that lavapipe works on (default: LP_NUM_THREADS, else all)",
                        &o->eval.common.threads, 1, 256),
        APP_OTHER_ROWS(o->eval.common),
    };
    const app_program program = {
        .name = "onebit-eval-vk compare",
        .purpose = "makes models of one by many methods and compares them in a table.",
        .usage = "CONFIG.yaml [options]",
        .options = options,
        .common = &o->eval.common,
        .examples = examples,
        .operands = 1,
    };
    int outcome = app_parse(&program, argc, argv, &o->config);
    if (outcome != APP_GO_ON) return outcome;
    return o->config ? APP_GO_ON : app_usage_error("no comparison was given; name a YAML file");
}

/* ---- the runs: every row with every seed -------------------------------------------------------------------------------- */

typedef struct run {
    size_t row, seed; /* indices */
    uint64_t model;   /* its key */
    char result[1200], directory[1200];
    bool known; /* its result was there, or is there now */
} run;

typedef struct comparison {
    const compare_options *options;
    compare_config config;
    compare_bench bench;
    compare_outcome outcome;
    run *runs;
    size_t run_count, at; /* the one that is being made */
    app_progress progress;
    double started;
} comparison;

static compare_result *result_of(const comparison *c, const run *r) { return &c->outcome.results[r->row][r->seed]; }

/* Letters and digits of a name, others as dashes. */
static void slug(char *out, size_t room, const char *name)
{
    size_t used = 0;
    for (; *name && used + 1 < room; name++) {
        bool plain = (*name >= 'a' && *name <= 'z') || (*name >= '0' && *name <= '9') || (*name >= 'A' && *name <= 'Z');
        char c = plain ? *name : '-';
        if (c == '-' && (used == 0 || out[used - 1] == '-')) continue;
        out[used++] = c;
    }
    while (used > 0 && out[used - 1] == '-') used--;
    out[used] = 0;
}

static int list_runs(comparison *c)
{
    const compare_config *config = &c->config;
    size_t count = 0;
    for (size_t i = 0; i < config->row_count; i++) count += config->rows[i].seed_count;
    c->runs = calloc(count, sizeof *c->runs);
    if (!c->runs) return app_refuse(4, "there is not enough memory for the rows");
    for (size_t i = 0; i < config->row_count; i++) {
        const compare_row *row = &config->rows[i];
        c->outcome.results[i] = calloc(row->seed_count, sizeof(compare_result));
        if (!c->outcome.results[i]) return app_refuse(4, "there is not enough memory for the rows");
        for (size_t s = 0; s < row->seed_count; s++) {
            run *r = &c->runs[c->run_count++];
            char name[64];
            slug(name, sizeof name, row->name);
            *r = (run){ .row = i, .seed = s, .model = compare_key_of_model(config, row, row->seeds[s], &c->bench.device) };
            uint64_t key = compare_key_of_result(config, row, r->model);
            if (row->kind == COMPARE_TRAIN)
                snprintf(r->directory, sizeof r->directory, "%s/runs/%s-s%" PRIu64 "-%08" PRIx32, config->output_dir, name, row->seeds[s],
                         (uint32_t)r->model);
            else snprintf(r->directory, sizeof r->directory, "%s/runs/%s-%08" PRIx32, config->output_dir, name, (uint32_t)r->model);
            snprintf(r->result, sizeof r->result, "%s/rows/%016" PRIx64 ".json", config->output_dir, key);
            compare_result *result = result_of(c, r);
            r->known = compare_result_read(result, r->result) && (!result->failed || (result->lasting && !c->options->retry));
            if (!r->known) compare_result_clear(result);
        }
    }
    return APP_GO_ON;
}

static void name_run(const comparison *c, const run *r, char *text, size_t room)
{
    const compare_row *row = &c->config.rows[r->row];
    if (row->seed_count > 1) snprintf(text, room, "%s, seed %" PRIu64, row->name, row->seeds[r->seed]);
    else snprintf(text, room, "%s", row->name);
}

/* ---- the time left ------------------------------------------------------------------------------------------------------- */

/* Seconds that a run will take, from those of its kind and method that are done; NaN: none is. */
static double expected(const comparison *c, const run *of)
{
    const compare_row *row = &c->config.rows[of->row];
    double sum[2] = { 0, 0 };
    size_t count[2] = { 0, 0 };
    for (size_t i = 0; i < c->run_count; i++) {
        const run *r = &c->runs[i];
        const compare_row *other = &c->config.rows[r->row];
        double seconds = result_of(c, r)->metric[METRIC_SECONDS];
        if (!r->known || result_of(c, r)->failed || !isfinite(seconds) || other->kind != row->kind) continue;
        const char *own = compare_keys_get(&row->keys, "method"), *others = compare_keys_get(&other->keys, "method");
        bool alike = strcmp(own ? own : "", others ? others : "") == 0;
        for (int k = 0; k < 1 + alike; k++) sum[k] += seconds, count[k]++;
    }
    return count[1] ? sum[1] / (double)count[1] : count[0] ? sum[0] / (double)count[0] : NAN;
}

/* Of the whole comparison, the run at hand being done to `share` after `passed` seconds. */
static void put_left(const comparison *c, double share, double passed, char *text, size_t room)
{
    double left = share > 0.01 && passed > 1 ? passed * (1 - share) / share : expected(c, &c->runs[c->at]) - passed;
    bool least = !isfinite(left);
    if (least) left = 0;
    for (size_t i = c->at + 1; i < c->run_count; i++) {
        if (c->runs[i].known) continue;
        double seconds = expected(c, &c->runs[i]);
        if (isfinite(seconds)) left += seconds;
        else least = true;
    }
    if (left <= 0) snprintf(text, room, "%s", "");
    else snprintf(text, room, ", %s%s left in all", least ? "at least " : "", app_duration(left).text);
}

static void on_progress(const char *line, double share, void *user)
{
    comparison *c = user;
    if (!app_progress_due(&c->progress, 10)) return;
    char name[160], left[80], text[420];
    double passed = app_seconds() - c->started;
    name_run(c, &c->runs[c->at], name, sizeof name);
    put_left(c, share, passed, left, sizeof left);
    snprintf(text, sizeof text, "%zu/%zu %.80s: %.0f %%  %.120s%s", c->at + 1, c->run_count, name, 100 * share, line, left);
    app_progress_line(&c->progress, text);
}

/* ---- the directory -------------------------------------------------------------------------------------------------------- */

/* Two comparisons at once would write into each other's logs. The lock goes with the process, however it ends. */
static int lock_directory(const compare_config *config, int *lock)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/lock", config->output_dir);
    *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*lock < 0) return app_refuse(1, "cannot create %s: %s", path, strerror(errno));
    if (flock(*lock, LOCK_EX | LOCK_NB) == 0) return APP_GO_ON;
    return app_refuse(2, "another comparison works in %s; wait for it or name another output_dir", config->output_dir);
}

/* ---- the comparison ------------------------------------------------------------------------------------------------------- */

/* Returns 0, or the code that ends it all. */
static int make_run(comparison *c, run *r)
{
    char name[160], left[80];
    const compare_row *row = &c->config.rows[r->row];
    compare_result *result = result_of(c, r);
    name_run(c, r, name, sizeof name);
    put_left(c, 0, 0, left, sizeof left);
    app_note("%zu of %zu: %s%s", c->at + 1, c->run_count, name, left);
    app_progress_start(&c->progress);
    c->started = app_seconds();
    int code = compare_run(result, &c->bench, row, row->seeds[r->seed], r->directory, on_progress, c);
    app_progress_end(&c->progress);
    if (code != 0) {
        compare_result_clear(result);
        return code;
    }
    r->known = true;
    if (result->failed) app_note("%s: failed: %s", name, result->reason);
    return compare_result_write(result, r->result, row->name, row->seeds[r->seed]);
}

/* Rows that come to one key have one result: that of the first. */
static bool take_known(comparison *c, run *r)
{
    for (size_t i = 0; i < c->at && !r->known; i++) {
        const run *other = &c->runs[i];
        r->known = other->known && strcmp(other->result, r->result) == 0;
        if (r->known) *result_of(c, r) = *result_of(c, other);
    }
    return r->known;
}

static int make_runs(comparison *c)
{
    char path[1200];
    size_t known = 0;
    const char *const folders[] = { "rows", "runs" };
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", c->config.output_dir, folders[i]);
        if (!app_make_directory(path)) return app_refuse(1, "cannot make the directory %s: %s", path, strerror(errno));
    }
    for (size_t i = 0; i < c->run_count; i++) known += c->runs[i].known;
    app_note("%zu rows, %zu runs, of which %zu are known", c->config.row_count, c->run_count, known);
    for (c->at = 0; c->at < c->run_count; c->at++) {
        if (c->runs[c->at].known || take_known(c, &c->runs[c->at])) continue;
        int code = app_stop_signal() ? 128 + app_stop_signal() : make_run(c, &c->runs[c->at]);
        if (code > 128) app_note("stopped; the same command goes on from here");
        if (code != 0) return code;
    }
    return 0;
}

/* 1 when rows failed. */
static int report(const comparison *c)
{
    size_t failed = 0;
    int code = compare_page_write(&c->outcome);
    if (c->options->eval.json) {
        compare_table_json(&c->outcome);
    } else {
        compare_table_markdown(stdout, &c->outcome);
        if (c->config.figure_count > 0) putchar('\n');
        compare_table_runs(stdout, &c->outcome, false);
    }
    for (size_t i = 0; i < c->run_count; i++) failed += result_of(c, &c->runs[i])->failed;
    if (code != 0) return code;
    app_note("wrote %s/report.html", c->config.output_dir);
    if (failed == 0) return 0;
    app_note("%zu of %zu runs failed", failed, c->run_count);
    return 1;
}

int eval_compare_main(int argc, char **argv)
{
    compare_options o;
    int code = parse(&o, argc, argv);
    if (code != APP_GO_ON) return code;
    comparison c = { .options = &o };
    int lock = -1;
    code = compare_config_read(&c.config, o.config);
    app_catch_signals();
    if (code == APP_GO_ON) {
        code = compare_bench_open(&c.bench, &c.config, &o.eval);
        c.outcome.config = &c.config;
        c.outcome.device = c.bench.device;
        c.outcome.window = c.bench.window;
        c.outcome.protocol_window = c.bench.protocol_window;
        if (code == APP_GO_ON) code = lock_directory(&c.config, &lock);
        if (code == APP_GO_ON) code = list_runs(&c);
        if (code == APP_GO_ON) code = make_runs(&c);
        if (code == 0) code = report(&c);
        code = compare_bench_close(&c.bench, code);
    }
    for (size_t i = 0; i < c.config.row_count; i++) free(c.outcome.results[i]);
    if (lock >= 0) close(lock);
    free(c.runs);
    compare_config_free(&c.config);
    return code;
}

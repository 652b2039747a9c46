#include "generation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/model.h"
#include "common/stop.h"
#include "common/term.h"
#include "common/threads.h"
#include "generation_report.h"
#include "onebit/onebit_bench.h"
#include "shape.h"
#include "times.h"

#define COUNTS_MAX 8 /* of a list like 128,512 */
#define POSITIONS_MAX (1 << 20)
#define ROUNDS_MAX 1000

typedef struct generation_options {
    app_common common;
    const char *model, *random;
    const char *prompts, *generates, *depths;
    int64_t rounds, warmup, batch;
    int format, cache_type;
    model_shape shape;
    generation_test tests[2 * COUNTS_MAX * COUNTS_MAX];
    int test_count;
} generation_options;

static const char examples[] =
    "  onebit-bench-vk decode -m story.gguf\n"
    "      tg128: 128 tokens one after the other, five times\n"
    "  onebit-bench-vk decode --random 1.1B -p 512 -n 128 -r 3 -o json\n"
    "      pp512 and tg128 of a model of random weights, without a file\n"
    "  onebit-bench-vk prompt -m story.gguf -p 128,512 -d 1024\n"
    "      prompts of two lengths behind 1024 tokens that are already there\n\n"
    "ppN: N tokens are given at once, as the prompt of onebit-run-vk is. tgN: N times one token is given and the next one chosen,\n"
    "always the likeliest. Each round starts from an empty context (or -d tokens). Time to first token is the opening of the device,\n"
    "the loading or making of the model, and one token in and the next one out, each measured once, before everything else.\n";

/* "128,512": at most COUNTS_MAX numbers. Returns how many, or -1 after a usage error. */
static int read_counts(const char *name, const char *text, int64_t *counts)
{
    int found = 0;
    for (const char *at = text;; at++) {
        char *end = NULL;
        errno = 0;
        long long value = strtoll(at, &end, 10);
        bool number = *at >= '0' && *at <= '9' && end != at && (!*end || *end == ',') && !errno && value <= POSITIONS_MAX;
        if (!number || found == COUNTS_MAX) {
            app_usage_error("%s must be a whole number from 0 to %d, or up to %d of them with commas between, not '%s'", name,
                            POSITIONS_MAX, COUNTS_MAX, text);
            return -1;
        }
        counts[found++] = value;
        at = end;
        if (!*at) return found;
    }
}

static int list_tests(generation_options *o)
{
    int64_t prompts[COUNTS_MAX], generates[COUNTS_MAX], depths[COUNTS_MAX];
    int prompt_count = read_counts("-p", o->prompts, prompts);
    int generate_count = prompt_count < 0 ? -1 : read_counts("-n", o->generates, generates);
    int depth_count = generate_count < 0 ? -1 : read_counts("-d", o->depths, depths);
    if (depth_count < 0) return 2;
    for (int d = 0; d < depth_count; d++) {
        uint32_t depth = (uint32_t)depths[d];
        for (int i = 0; i < prompt_count; i++)
            if (prompts[i] > 0) o->tests[o->test_count++] = (generation_test){ .prompt = (uint32_t)prompts[i], .depth = depth };
        for (int i = 0; i < generate_count; i++)
            if (generates[i] > 0) o->tests[o->test_count++] = (generation_test){ .generate = (uint32_t)generates[i], .depth = depth };
    }
    return o->test_count > 0 ? APP_GO_ON : app_usage_error("there is nothing to measure: -p and -n are both 0");
}

static int parse(generation_options *o, bool decode, int argc, char **argv)
{
    *o = (generation_options){ .depths = "0", .rounds = 5, .warmup = 1, .batch = 128 };
    o->prompts = decode ? "0" : "512";
    o->generates = decode ? "128" : "0";
    const app_option options[] = {
        APP_ROW_HEADING("Model"),
        APP_ROW_TEXT('m', "model", "FILE", "the model, a GGUF file", &o->model),
        APP_ROW_TEXT(0, "random", "SHAPE", "instead of it a 1-bit model of random weights, made on the\nspot: " SHAPE_HELP, &o->random),
        APP_ROW_HEADING("Measurement"),
        APP_ROW_TEXT('p', "n-prompt", "N",
                     decode ? "tokens of a prompt, 0: none; 128,512: one after the other\n(default: 0)"
                            : "tokens of a prompt; 128,512: one after the other (default: 512)",
                     &o->prompts),
        APP_ROW_TEXT('n', "n-gen", "N",
                     decode ? "tokens to generate; 32,128: one after the other (default: 128)" : "tokens to generate, 0: none (default: 0)",
                     &o->generates),
        APP_ROW_TEXT('d', "n-depth", "N", "tokens that are in the context before (default: 0)", &o->depths),
        APP_ROW_INTEGER('r', "repetitions", "N", "timed rounds of each (default: 5)", &o->rounds, 1, ROUNDS_MAX),
        APP_ROW_INTEGER(0, "warmup", "N", "rounds before them, untimed (default: 1)", &o->warmup, 0, ROUNDS_MAX),
        APP_ROW_INTEGER('b', "batch-size", "N", "tokens of a prompt processed at once (default: 128)", &o->batch, 1, 65536),
        APP_CACHE_ROW(&o->cache_type),
        APP_ROW_CHOICE('o', "output", BENCH_FORMATS, "Markdown (default), CSV or JSON on stdout", &o->format),
        APP_DEVICE_ROWS(o->common),
        APP_MMAP_ROW(o->common),
        APP_EXACT_ROW(o->common),
        APP_THREADS_ROW(o->common),
        APP_OTHER_ROWS(o->common),
    };
    const app_program program = {
        .name = decode ? "onebit-bench-vk decode" : "onebit-bench-vk prompt",
        .purpose = decode ? "times the tokens that a model generates." : "times the reading of prompts.",
        .usage = "-m MODEL.gguf | --random SHAPE [options]",
        .options = options,
        .common = &o->common,
        .examples = examples,
    };
    int outcome = app_parse(&program, argc, argv, NULL);
    if (outcome != APP_GO_ON) return outcome;
    if (!o->model && !o->random) return app_usage_error("no model was given; -m names a GGUF file, --random a shape like 1.1B");
    if (o->model && o->random) return app_usage_error("-m and --random both give a model; use one of them");
    if (o->random) outcome = shape_read(o->random, &o->shape);
    if (outcome == APP_GO_ON) outcome = list_tests(o);
    if (outcome == APP_GO_ON && o->model) outcome = app_check_model_path(o->model);
    return outcome;
}

/* ---- measurement ------------------------------------------------------------------------------------------------ */

static uint32_t positions_of(const generation_test *test) { return test->depth + test->prompt + test->generate; }

static uint32_t positions_needed(const generation_options *o)
{
    uint32_t most = 2; /* the first token's */
    for (int i = 0; i < o->test_count; i++)
        if (positions_of(&o->tests[i]) > most) most = positions_of(&o->tests[i]);
    return most;
}

static ob_status make_model(const generation_options *o, ob_context *context, ob_model **out)
{
    if (o->model) return app_load_model(out, context, o->model, !o->common.no_mmap);
    const model_shape *shape = &o->shape;
    uint32_t positions = positions_needed(o);
    app_progress progress;
    app_progress_start(&progress);
    ob_status status = ob_bench_model(out, context,
                                      &(ob_bench_model_desc){ .width = (uint32_t)shape->width,
                                                              .ffn = (uint32_t)shape->ffn,
                                                              .layers = (uint32_t)shape->layers,
                                                              .heads = (uint32_t)shape->heads,
                                                              .kv_heads = (uint32_t)shape->kv_heads,
                                                              .vocabulary = (uint32_t)shape->vocabulary,
                                                              .planes = (uint32_t)shape->planes,
                                                              .context = positions > 2048 ? positions : 2048,
                                                              .seed = 1,
                                                              .name = shape->name,
                                                              .progress = app_progress_step,
                                                              .user = &progress });
    app_progress_end(&progress);
    return status;
}

typedef struct runner {
    const generation_options *options;
    ob_session *session;
    uint32_t *ids; /* random ones, as many as there are positions */
    app_progress progress;
    const generation_test *test;
    char name[48];
    uint64_t done, all; /* tokens of this test, all rounds */
} runner;

/* After each piece of work: false once Ctrl-C came. */
static bool went_on(runner *run, uint32_t tokens)
{
    run->done += tokens;
    return app_progress_step((double)run->done / (double)run->all, run->name, &run->progress);
}

static ob_status feed(runner *run, uint32_t first, uint32_t count)
{
    uint32_t batch = (uint32_t)run->options->batch;
    for (uint32_t done = 0; done < count;) {
        uint32_t part = count - done < batch ? count - done : batch;
        ob_status status = ob_session_feed(run->session, run->ids + first + done, part);
        if (status != OB_OK) return status;
        done += part;
        if (!went_on(run, part)) return OB_ERROR_CANCELLED;
    }
    return OB_OK;
}

/* The loop of onebit-run-vk at temperature 0. */
static ob_status generate(runner *run, uint32_t count)
{
    uint32_t id = run->ids[0];
    for (uint32_t i = 0; i < count; i++) {
        ob_status status = ob_session_feed(run->session, &id, 1);
        if (status == OB_OK) status = ob_session_sample(run->session, &id);
        if (status != OB_OK) return status;
        if (!went_on(run, 1)) return OB_ERROR_CANCELLED;
    }
    return OB_OK;
}

static ob_status one_round(runner *run, double *seconds)
{
    const generation_test *test = run->test;
    ob_status status = ob_session_rewind(run->session, 0);
    if (status == OB_OK) status = feed(run, 0, test->depth);
    if (status != OB_OK) return status;
    double start = app_seconds();
    status = test->generate > 0 ? generate(run, test->generate) : feed(run, test->depth, test->prompt);
    *seconds = app_seconds() - start;
    return status;
}

static ob_status measure(runner *run, generation_test *test)
{
    const generation_options *o = run->options;
    ob_status status = OB_OK;
    run->test = test;
    run->done = 0;
    run->all = (uint64_t)(o->warmup + o->rounds) * positions_of(test);
    generation_test_name(test, run->name, sizeof run->name);
    app_progress_start(&run->progress);
    for (int64_t round = -o->warmup; round < o->rounds && status == OB_OK; round++) {
        double seconds = 0;
        status = one_round(run, &seconds);
        if (round >= 0) test->seconds[round] = seconds;
    }
    app_progress_end(&run->progress);
    return status;
}

static ob_status prepare(const generation_options *o, ob_model *model, runner *run, generation_report *report)
{
    ob_model_info *info = &report->model;
    ob_status status = ob_model_info_get(model, info);
    if (status != OB_OK) return status;
    uint32_t positions = positions_needed(o), state = 1;
    double start = app_seconds();
    status = ob_session_create(&run->session, model,
                               &(ob_session_desc){ .context = positions, .batch = (uint32_t)o->batch,
                                                   .cache_type = (ob_cache_type)o->cache_type });
    run->ids = calloc(positions, sizeof *run->ids);
    if (status == OB_OK && !run->ids) return OB_ERROR_MEMORY;
    for (uint32_t i = 0; status == OB_OK && i < positions; i++) {
        state = state * 1664525u + 1013904223u;
        run->ids[i] = (state >> 8) % info->vocabulary;
    }
    uint32_t id;
    if (status == OB_OK) status = ob_session_feed(run->session, run->ids, 1);
    if (status == OB_OK) status = ob_session_sample(run->session, &id);
    report->first_seconds = app_seconds() - start;
    return status;
}

static int measure_all(generation_options *o, ob_context *context, ob_model *model, generation_report *report)
{
    runner run = { .options = o };
    double *seconds = calloc((size_t)o->rounds * (size_t)o->test_count, sizeof *seconds);
    ob_status status = seconds ? ob_context_info(context, &report->device) : OB_ERROR_MEMORY;
    if (status == OB_OK) status = prepare(o, model, &run, report);
    for (int i = 0; i < o->test_count && status == OB_OK; i++) {
        o->tests[i].seconds = seconds + (size_t)i * (size_t)o->rounds;
        status = measure(&run, &o->tests[i]);
        if (status == OB_OK) status = ob_bench_memory_get(context, &report->memory);
        if (status == OB_OK) generation_report_row(report, &o->tests[i]);
    }
    if (status == OB_OK) generation_report_end(report);
    ob_session_destroy(run.session);
    free(run.ids);
    free(seconds);
    return status == OB_OK ? 0 : app_fail(status);
}

static int bench(bool decode, int argc, char **argv)
{
    generation_options o;
    int code = parse(&o, decode, argc, argv);
    if (code != APP_GO_ON) return code;
    app_catch_signals();
    generation_report report = { .format = o.format, .rounds = (uint32_t)o.rounds, .batch = (uint32_t)o.batch, .file = o.model };
    report.load_before = generation_load_average();
    double start = app_seconds();
    app_use_threads(&o.common, o.model ? app_file_bytes(o.model) : shape_bytes(&o.shape));
    ob_context *context = NULL;
    ob_model *model = NULL;
    ob_status status = ob_context_create(&context, &(ob_context_desc){ .device = o.common.device, .exact = o.common.exact });
    report.context_seconds = app_seconds() - start;
    if (status == OB_OK) status = make_model(&o, context, &model);
    report.model_seconds = app_seconds() - start - report.context_seconds;
    code = status == OB_OK ? measure_all(&o, context, model, &report) : app_fail(status);
    ob_model_destroy(model);
    return app_end_context(context, code);
}

int bench_decode(int argc, char **argv) { return bench(true, argc, argv); }
int bench_prompt(int argc, char **argv) { return bench(false, argc, argv); }

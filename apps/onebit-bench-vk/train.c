#include "train.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/args.h"
#include "common/json.h"
#include "common/stop.h"
#include "common/term.h"
#include "onebit/onebit_bench.h"
#include "times.h"

#define KEYS_MAX 64 /* KEY=VALUE words */
#define KEY_BYTES_MAX 64

enum { STAGE_KD, STAGE_PRETRAIN };

typedef struct train_options {
    app_common common;
    int stage, format;
    int64_t hidden, layers, heads, kv_heads, ffn, vocabulary, batch, sequence;
    int64_t steps, warmup, profiled;
    const char *keys[KEYS_MAX];
} train_options;

static const char examples[] =
    "  onebit-bench-vk train\n"
    "      the default shape: 4.7 million linear weights\n"
    "  onebit-bench-vk train --hidden 512 --layers 8 --heads 8 --ffn 1376 --vocab 4096 --batch 4 --seq 256\n"
    "      four times wider\n"
    "  onebit-bench-vk train --steps 10 -o json recompute_activations=true estimator=identity\n"
    "      keys of onebit-train-vk behind the options, the result as JSON\n\n"
    "A step is that of onebit-train-vk: teacher forward, student forward and backward, clipping, AdamW, packing of signs. Its\n"
    "operations are counted as 2 per token and weight for each of: teacher forward, student forward, gradient of the input,\n"
    "gradient of the weight (not for a frozen head), plus 2 T D per token and layer for causal attention forward and twice\n"
    "that backward. What is computed again, and what is not a product, is not counted.\n";

static int parse(train_options *o, int argc, char **argv)
{
    *o = (train_options){ .hidden = 256,
                          .layers = 6,
                          .heads = 8,
                          .ffn = 688,
                          .vocabulary = 4096,
                          .batch = 8,
                          .sequence = 256,
                          .steps = 5,
                          .warmup = 1,
                          .profiled = 1 };
    const app_option options[] = {
        APP_ROW_HEADING("Model and step"),
        APP_ROW_CHOICE(0, "stage", "kd|pretrain", "a 1-bit student beside its teacher (default), or ordinary weights", &o->stage),
        APP_ROW_INTEGER(0, "hidden", "D", "width (default: 256)", &o->hidden, 2, 1048576),
        APP_ROW_INTEGER(0, "layers", "L", "layers (default: 6)", &o->layers, 1, 1024),
        APP_ROW_INTEGER(0, "heads", "H", "attention heads (default: 8)", &o->heads, 1, 1024),
        APP_ROW_INTEGER(0, "kv-heads", "K", "key/value heads (default: as many)", &o->kv_heads, 1, 1024),
        APP_ROW_INTEGER(0, "ffn", "F", "feed-forward width (default: 688)", &o->ffn, 1, 1048576),
        APP_ROW_INTEGER(0, "vocab", "V", "vocabulary; embedding and head are one matrix (default: 4096)", &o->vocabulary, 2, 1 << 22),
        APP_ROW_INTEGER(0, "batch", "B", "sequences of a step (default: 8)", &o->batch, 1, 65536),
        APP_ROW_INTEGER(0, "seq", "T", "tokens of a sequence, a multiple of 64 (default: 256)", &o->sequence, 64, 1048576),
        APP_ROW_HEADING("Measurement"),
        APP_ROW_INTEGER(0, "steps", "N", "timed steps (default: 5)", &o->steps, 1, 1000000),
        APP_ROW_INTEGER(0, "warmup", "N", "steps before them, untimed (default: 1)", &o->warmup, 0, 1000000),
        APP_ROW_INTEGER(0, "profile-steps", "N", "steps after them whose kernels are timed one by one; 0: no table\n(default: 1)",
                        &o->profiled, 0, 1000000),
        APP_ROW_CHOICE('o', "output", BENCH_FORMATS, "Markdown (default), CSV or JSON on stdout", &o->format),
        APP_DEVICE_ROWS(o->common),
        APP_OTHER_ROWS(o->common),
    };
    const app_program program = {
        .name = "onebit-bench-vk train",
        .purpose = "times a training step of a model of random weights.",
        .usage = "[options] [KEY=VALUE]...\n\nKEY is any key of onebit-train-vk: estimator=identity, trainable=all.",
        .options = options,
        .common = &o->common,
        .examples = examples,
        .operands = KEYS_MAX,
    };
    int outcome = app_parse(&program, argc, argv, o->keys);
    if (outcome != APP_GO_ON) return outcome;
    if (!o->kv_heads) o->kv_heads = o->heads;
    for (int i = 0; i < KEYS_MAX && o->keys[i]; i++) {
        size_t length = strcspn(o->keys[i], "=");
        if (o->keys[i][length] != '=' || length == 0 || length >= KEY_BYTES_MAX)
            return app_usage_error("'%s' is not KEY=VALUE", o->keys[i]);
    }
    return APP_GO_ON;
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

typedef struct train_report {
    const train_options *options;
    const ob_bench_train_result *result;
    ob_device_info device;
    bench_times times;
    double busy; /* seconds of processor time of a timed step; with a software driver that is the device's too */
    double load; /* of the machine, one minute's average at the start; NaN when unknown */
} train_report;

static double tokens_per_second(const train_report *r) { return (double)r->result->tokens / r->times.median; }
static double gflops(const train_report *r) { return 1e-9 * r->result->operations / r->times.median; }
static double kernel_seconds(const ob_bench_train_result *result)
{
    double sum = 0;
    for (uint32_t i = 0; i < result->kernel_count; i++) sum += result->kernels[i].seconds;
    return sum;
}
static const char *stage_of(const train_options *o) { return o->stage == STAGE_KD ? "kd" : "pretrain"; }

static void print_kernels_md(const ob_bench_train_result *result)
{
    double each = 1.0 / result->profiled, all = kernel_seconds(result), clock = result->profiled_seconds;
    if (!(clock > 0)) return;
    printf("\n| kernel | calls/step | ms/step | share | GB/s |\n|---|---:|---:|---:|---:|\n");
    for (uint32_t i = 0; i < result->kernel_count; i++) {
        const ob_kernel_time *row = &result->kernels[i];
        printf("| %s | %.0f | %.2f | %.1f %% | %.2f |\n", row->kernel, (double)row->calls * each, 1e3 * row->seconds * each,
               100 * row->seconds / clock, row->seconds > 0 ? 1e-9 * (double)row->bytes / row->seconds : 0.0);
    }
    printf("| outside kernels | | %.2f | %.1f %% | |\n", 1e3 * (clock - all) * each, 100 * (clock - all) / clock);
    printf("| by the clock | | %.2f | | |\n", 1e3 * clock * each);
}

static void print_md(const train_report *r)
{
    const train_options *o = r->options;
    const ob_bench_train_result *result = r->result;
    printf("| %s step | |\n|---|---|\n", stage_of(o));
    printf("| device | %s, tier %c, %s |\n", r->device.name, r->device.tier, r->device.driver);
    if (isfinite(r->load)) printf("| load average before | %.2f |\n", r->load);
    printf("| model | width %" PRId64 ", %" PRId64 " layers, %" PRId64 "/%" PRId64 " heads, ffn %" PRId64 ", vocabulary %" PRId64
           ": %s parameters, %s in linears |\n",
           o->hidden, o->layers, o->heads, o->kv_heads, o->ffn, o->vocabulary, app_count(result->parameters).text,
           app_count(result->linear_weights).text);
    printf("| step | %" PRId64 " x %" PRId64 " tokens, %.4g Gflop |\n", o->batch, o->sequence, 1e-9 * result->operations);
    printf("| median of %" PRIu32 " | **%.1f ms** |\n", result->steps, 1e3 * r->times.median);
    printf("| mean +/- sd | %.1f +/- %.1f ms |\n", 1e3 * r->times.mean, 1e3 * r->times.deviation);
    if (isfinite(r->busy)) printf("| processor time of a step | %.1f ms |\n", 1e3 * r->busy);
    printf("| rate | %.0f tokens/s, %.1f GFLOP/s |\n", tokens_per_second(r), gflops(r));
    printf("| device memory | %s model, %s teacher, %s work; %s allocated |\n", app_bytes(result->model_bytes).text,
           app_bytes(result->teacher_bytes).text, app_bytes(result->work_bytes).text, app_bytes(result->reserved_bytes).text);
    if (result->kernel_count > 0) print_kernels_md(result);
    else if (result->profiled > 0) app_note("no times by kernel: this device has no timestamps");
}

static void print_csv(const train_report *r)
{
    const train_options *o = r->options;
    const ob_bench_train_result *result = r->result;
    printf("stage,hidden,layers,heads,kv_heads,ffn,vocab,batch,seq,steps,median_ms,mean_ms,sd_ms,tokens_per_second,gflops,device_bytes\n");
    printf("%s,%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, stage_of(o), o->hidden,
           o->layers, o->heads, o->kv_heads, o->ffn, o->vocabulary, o->batch, o->sequence);
    printf(",%" PRIu32 ",%.3f,%.3f,%.3f,%.2f,%.3f,%" PRIu64 "\n", result->steps, 1e3 * r->times.median, 1e3 * r->times.mean,
           1e3 * r->times.deviation, tokens_per_second(r), gflops(r), result->used_bytes);
}

static void print_kernels_json(app_json *json, const ob_bench_train_result *result)
{
    app_json_open(json, "kernels", '[');
    for (uint32_t i = 0; i < result->kernel_count; i++) {
        const ob_kernel_time *row = &result->kernels[i];
        app_json_open(json, NULL, '{');
        app_json_text(json, "kernel", row->kernel);
        app_json_number(json, "calls_per_step", (double)row->calls / result->profiled);
        app_json_number(json, "ms_per_step", 1e3 * row->seconds / result->profiled);
        app_json_number(json, "share", row->seconds / result->profiled_seconds);
        app_json_number(json, "bytes_per_step", (double)row->bytes / result->profiled);
        app_json_close(json);
    }
    app_json_close(json);
}

static void print_json(const train_report *r)
{
    const train_options *o = r->options;
    const ob_bench_train_result *result = r->result;
    app_json json = { .file = stdout };
    app_json_open(&json, NULL, '{');
    app_json_text(&json, "program", "onebit-bench-vk train");
    app_json_text(&json, "version", ob_version());
    app_json_text(&json, "device", r->device.name);
    app_json_text(&json, "driver", r->device.driver);
    app_json_text(&json, "tier", (char[2]){ r->device.tier, 0 });
    app_json_number(&json, "load_average", r->load);
    app_json_text(&json, "stage", stage_of(o));
    app_json_integer(&json, "hidden", o->hidden);
    app_json_integer(&json, "layers", o->layers);
    app_json_integer(&json, "heads", o->heads);
    app_json_integer(&json, "kv_heads", o->kv_heads);
    app_json_integer(&json, "ffn", o->ffn);
    app_json_integer(&json, "vocab", o->vocabulary);
    app_json_integer(&json, "batch", o->batch);
    app_json_integer(&json, "seq", o->sequence);
    app_json_count(&json, "parameters", result->parameters);
    app_json_count(&json, "linear_weights", result->linear_weights);
    app_json_count(&json, "steps", result->steps);
    app_json_number(&json, "median_ms", 1e3 * r->times.median);
    app_json_number(&json, "mean_ms", 1e3 * r->times.mean);
    app_json_number(&json, "sd_ms", 1e3 * r->times.deviation);
    app_json_number(&json, "least_ms", 1e3 * r->times.least);
    app_json_number(&json, "cpu_ms", 1e3 * r->busy);
    app_json_number(&json, "tokens_per_second", tokens_per_second(r));
    app_json_number(&json, "operations_per_step", result->operations);
    app_json_number(&json, "gflops", gflops(r));
    app_json_count(&json, "model_bytes", result->model_bytes);
    app_json_count(&json, "teacher_bytes", result->teacher_bytes);
    app_json_count(&json, "work_bytes", result->work_bytes);
    app_json_count(&json, "device_bytes", result->used_bytes);
    app_json_count(&json, "device_bytes_reserved", result->reserved_bytes);
    app_json_number(&json, "loss", result->loss);
    app_json_number(&json, "profiled_ms_per_step", result->profiled ? 1e3 * result->profiled_seconds / result->profiled : NAN);
    app_json_number(&json, "kernels_ms_per_step", result->kernel_count ? 1e3 * kernel_seconds(result) / result->profiled : NAN);
    print_kernels_json(&json, result);
    app_json_close(&json);
}

/* ---- measurement ----------------------------------------------------------------------------------------------- */

typedef struct pairs {
    const char *of[2 * (10 + KEYS_MAX)];
    char text[10 + KEYS_MAX][KEY_BYTES_MAX]; /* numbers, and keys without their values */
    size_t count;
} pairs;

static void add_number(pairs *p, const char *key, int64_t value)
{
    snprintf(p->text[p->count], sizeof *p->text, "%" PRId64, value);
    p->of[2 * p->count] = key;
    p->of[2 * p->count + 1] = p->text[p->count];
    p->count++;
}

static void add_key(pairs *p, const char *word)
{
    size_t length = strcspn(word, "=");
    snprintf(p->text[p->count], sizeof *p->text, "%.*s", (int)length, word);
    p->of[2 * p->count] = p->text[p->count];
    p->of[2 * p->count + 1] = word + length + 1;
    p->count++;
}

typedef struct watcher {
    app_progress progress;
    uint32_t first, last; /* timed steps lie between the ends of these */
    double busy;          /* processor time between them */
} watcher;

static double processor_seconds(void)
{
    struct timespec now;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0 ? (double)now.tv_sec + 1e-9 * (double)now.tv_nsec : NAN;
}

static bool on_progress(uint32_t done, uint32_t all, void *user)
{
    watcher *w = user;
    if (done == w->first) w->busy = processor_seconds();
    if (done == w->last) w->busy = processor_seconds() - w->busy;
    return app_progress_step((double)done / all, "steps", &w->progress);
}

static int measure(const train_options *o, ob_context *context)
{
    pairs keys = { 0 };
    keys.of[0] = "stage";
    keys.of[1] = stage_of(o);
    keys.count = 1;
    add_number(&keys, "hidden_size", o->hidden);
    add_number(&keys, "num_hidden_layers", o->layers);
    add_number(&keys, "num_attention_heads", o->heads);
    add_number(&keys, "num_key_value_heads", o->kv_heads);
    add_number(&keys, "intermediate_size", o->ffn);
    add_number(&keys, "per_device_train_batch_size", o->batch);
    add_number(&keys, "cutoff_len", o->sequence);
    for (int i = 0; i < KEYS_MAX && o->keys[i]; i++) add_key(&keys, o->keys[i]);

    train_report report = { .options = o };
    if (getloadavg(&report.load, 1) != 1) report.load = NAN;
    ob_bench_train_result *result = NULL;
    watcher watch = { .first = (uint32_t)o->warmup, .last = (uint32_t)(o->warmup + o->steps), .busy = NAN };
    app_progress_start(&watch.progress);
    ob_status status = ob_bench_train(context,
                                      &(ob_bench_train_desc){ .overrides = keys.of,
                                                              .override_count = keys.count,
                                                              .vocabulary = (uint32_t)o->vocabulary,
                                                              .warmup = (uint32_t)o->warmup,
                                                              .steps = (uint32_t)o->steps,
                                                              .profiled = (uint32_t)o->profiled,
                                                              .progress = on_progress,
                                                              .user = &watch },
                                      &result);
    app_progress_end(&watch.progress);
    if (status == OB_OK) status = ob_context_info(context, &report.device);
    if (status == OB_OK) {
        report.result = result;
        report.busy = watch.busy / result->steps; /* NaN without a warm-up step */
        report.times = bench_times_of(result->seconds, result->steps);
        if (o->format == BENCH_JSON) print_json(&report);
        else if (o->format == BENCH_CSV) print_csv(&report);
        else print_md(&report);
    }
    ob_bench_train_free(result);
    return status == OB_OK ? 0 : app_fail(status);
}

int bench_train(int argc, char **argv)
{
    train_options o;
    int code = parse(&o, argc, argv);
    if (code != APP_GO_ON) return code;
    app_catch_signals();
    ob_context *context = NULL;
    ob_status status = ob_context_create(&context, &(ob_context_desc){ .device = o.common.device });
    code = status == OB_OK ? measure(&o, context) : app_fail(status);
    return app_end_context(context, code);
}

#include "generation_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "common/term.h"
#include "times.h"

#define ROUNDS_MAX 1000

void generation_test_name(const generation_test *test, char *name, size_t room)
{
    int length = snprintf(name, room, "%s%" PRIu32, test->generate > 0 ? "tg" : "pp", test->generate > 0 ? test->generate : test->prompt);
    if (test->depth > 0 && length > 0 && (size_t)length < room) snprintf(name + length, room - (size_t)length, " @ d%" PRIu32, test->depth);
}

double generation_load_average(void)
{
    double load;
    return getloadavg(&load, 1) == 1 ? load : NAN;
}

/* The most that this process had in memory, in bytes. On a software driver the device's memory is part of it. */
static uint64_t host_peak_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static double first_token_seconds(const generation_report *r) { return r->context_seconds + r->model_seconds + r->first_seconds; }

typedef struct figures {
    char test[48];
    double rates[ROUNDS_MAX], nanoseconds[ROUNDS_MAX]; /* of each round, in their order */
    bench_times rate, time;
    double load;
    uint64_t host_bytes;
} figures;

static void fill_row(figures *out, const generation_report *r, const generation_test *test)
{
    double sorted[ROUNDS_MAX];
    double tokens = test->generate > 0 ? test->generate : test->prompt;
    generation_test_name(test, out->test, sizeof out->test);
    for (uint32_t i = 0; i < r->rounds; i++) sorted[i] = out->rates[i] = tokens / test->seconds[i];
    out->rate = bench_times_of(sorted, r->rounds);
    for (uint32_t i = 0; i < r->rounds; i++) sorted[i] = out->nanoseconds[i] = 1e9 * test->seconds[i];
    out->time = bench_times_of(sorted, r->rounds);
    out->load = generation_load_average();
    out->host_bytes = host_peak_bytes();
}

/* ---- Markdown --------------------------------------------------------------------------------------------------- */

static void print_md(generation_report *r, const figures *row)
{
    if (!r->started) {
        printf("| model | size | params | device | tier | test | t/s |\n");
        printf("| --- | ---: | ---: | --- | --- | ---: | ---: |\n");
    }
    printf("| %s%s | %s | %s | %s | %c | %s | %.2f ± %.2f |\n", r->model.name[0] ? r->model.name : r->model.architecture,
           r->model.onebit ? ", 1-bit" : "", app_bytes(r->model.device_bytes).text, app_count(r->model.parameters).text, r->device.name,
           r->device.tier, row->test, row->rate.mean, row->rate.deviation);
}

static void print_md_end(const generation_report *r)
{
    double load = generation_load_average();
    printf("\ntime to first token: %.3f s (device %.3f, model %.3f, session and one token %.3f)\n", first_token_seconds(r),
           r->context_seconds, r->model_seconds, r->first_seconds);
    printf("peak memory: %s of the host, %s on the device%s\n", app_bytes(host_peak_bytes()).text, app_bytes(r->memory.peak_bytes).text,
           r->device.unified ? " (the same memory)" : "");
    if (isfinite(r->load_before) && isfinite(load)) printf("load average: %.2f before, %.2f after\n", r->load_before, load);
    printf("onebit %s, %s, %" PRIu32 " round%s\n", ob_version(), r->device.driver, r->rounds, r->rounds == 1 ? "" : "s");
}

/* ---- CSV -------------------------------------------------------------------------------------------------------- */

/* A field in quotes, those inside it doubled. */
static void print_field(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"') putchar('"');
        putchar(*text == '\n' || *text == '\r' ? ' ' : *text);
    }
    fputs("\",", stdout);
}

static void print_csv(generation_report *r, const generation_test *test, const figures *row)
{
    if (!r->started)
        printf("version,device,driver,tier,model_filename,model_type,model_size,model_n_params,n_batch,n_prompt,n_gen,n_depth,rounds,"
               "avg_ns,stddev_ns,avg_ts,stddev_ts,median_ts,first_token_s,context_s,model_s,first_s,host_peak_bytes,device_peak_bytes,"
               "load_before,load_after\n");
    print_field(ob_version());
    print_field(r->device.name);
    print_field(r->device.driver);
    printf("%c,", r->device.tier);
    print_field(r->file ? r->file : "");
    print_field(r->model.name[0] ? r->model.name : r->model.architecture);
    printf("%" PRIu64 ",%" PRIu64 ",%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",", r->model.device_bytes,
           r->model.parameters, r->batch, test->prompt, test->generate, test->depth, r->rounds);
    printf("%.0f,%.0f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%" PRIu64 ",%" PRIu64 ",", row->time.mean, row->time.deviation, row->rate.mean,
           row->rate.deviation, row->rate.median, first_token_seconds(r), r->context_seconds, r->model_seconds, r->first_seconds,
           row->host_bytes, r->memory.peak_bytes);
    if (isfinite(r->load_before) && isfinite(row->load)) printf("%.2f,%.2f\n", r->load_before, row->load);
    else printf(",\n");
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void print_samples(app_json *json, const char *key, const double *samples, uint32_t count)
{
    app_json_open(json, key, '[');
    for (uint32_t i = 0; i < count; i++) app_json_number(json, NULL, samples[i]);
    app_json_close(json);
}

static void print_json(generation_report *r, const generation_test *test, const figures *row)
{
    app_json *json = &r->json;
    if (!r->started) {
        json->file = stdout;
        app_json_open(json, NULL, '[');
    }
    app_json_open(json, NULL, '{');
    app_json_text(json, "program", "onebit-bench-vk");
    app_json_text(json, "version", ob_version());
    app_json_text(json, "device", r->device.name);
    app_json_text(json, "driver", r->device.driver);
    app_json_text(json, "tier", (char[2]){ r->device.tier, 0 });
    app_json_text(json, "model_filename", r->file ? r->file : "");
    app_json_text(json, "model_type", r->model.name[0] ? r->model.name : r->model.architecture);
    app_json_bool(json, "onebit", r->model.onebit);
    app_json_count(json, "model_size", r->model.device_bytes);
    app_json_count(json, "model_n_params", r->model.parameters);
    app_json_count(json, "n_batch", r->batch);
    app_json_text(json, "test", row->test);
    app_json_count(json, "n_prompt", test->prompt);
    app_json_count(json, "n_gen", test->generate);
    app_json_count(json, "n_depth", test->depth);
    app_json_number(json, "avg_ns", row->time.mean);
    app_json_number(json, "stddev_ns", row->time.deviation);
    app_json_number(json, "avg_ts", row->rate.mean);
    app_json_number(json, "stddev_ts", row->rate.deviation);
    app_json_number(json, "median_ts", row->rate.median);
    print_samples(json, "samples_ns", row->nanoseconds, r->rounds);
    print_samples(json, "samples_ts", row->rates, r->rounds);
    app_json_number(json, "first_token_s", first_token_seconds(r));
    app_json_number(json, "context_s", r->context_seconds);
    app_json_number(json, "model_s", r->model_seconds);
    app_json_number(json, "first_s", r->first_seconds);
    app_json_count(json, "host_peak_bytes", row->host_bytes);
    app_json_count(json, "device_peak_bytes", r->memory.peak_bytes);
    app_json_bool(json, "unified_memory", r->device.unified);
    app_json_number(json, "load_before", r->load_before);
    app_json_number(json, "load_after", row->load);
    app_json_close(json);
}

/* ---- any -------------------------------------------------------------------------------------------------------- */

void generation_report_row(generation_report *report, const generation_test *test)
{
    figures row;
    fill_row(&row, report, test);
    if (report->format == BENCH_CSV) print_csv(report, test, &row);
    else if (report->format == BENCH_JSON) print_json(report, test, &row);
    else print_md(report, &row);
    report->started = true;
    fflush(stdout);
}

void generation_report_end(generation_report *report)
{
    if (report->format == BENCH_JSON) app_json_close(&report->json);
    if (report->format == BENCH_MD) print_md_end(report);
}

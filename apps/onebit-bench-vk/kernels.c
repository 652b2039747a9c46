#include "kernels.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/args.h"
#include "common/json.h"
#include "common/stop.h"
#include "common/term.h"
#include "onebit/onebit_bench.h"
#include "times.h"

#define SHAPES_MAX 32
#define ROUNDS_MAX 1000

typedef struct shape {
    uint32_t T, m, n;
} shape;

typedef struct kernels_options {
    app_common common;
    const char *filter;
    int64_t rounds, warmup;
    int format;
    const char *words[SHAPES_MAX];
    shape shapes[SHAPES_MAX];
    int shape_count;
} kernels_options;

static const char examples[] = "  onebit-bench-vk kernels\n"
                               "      every operation at 512x4096x4096\n"
                               "  onebit-bench-vk kernels --filter sign 512x4096x4096 2048x688x256 -o csv\n"
                               "      those with \"sign\" in their names, at two shapes\n";

/* "512x4096x4096" */
static bool read_shape(const char *word, shape *out)
{
    int end = 0;
    for (const char *at = word; *at; at++)
        if (!strchr("0123456789x", *at)) return false;
    return sscanf(word, "%8" SCNu32 "x%8" SCNu32 "x%8" SCNu32 "%n", &out->T, &out->m, &out->n, &end) == 3 && !word[end] && out->T > 0 &&
           out->m > 0 && out->n > 0;
}

static int parse(kernels_options *o, int argc, char **argv)
{
    *o = (kernels_options){ .filter = "", .rounds = 5, .warmup = 1 };
    const app_option options[] = {
        APP_ROW_HEADING("Measurement"),
        APP_ROW_TEXT(0, "filter", "TEXT", "only operations with TEXT in their name (default: all)", &o->filter),
        APP_ROW_INTEGER(0, "rounds", "N", "timed runs of each (default: 5)", &o->rounds, 1, ROUNDS_MAX),
        APP_ROW_INTEGER(0, "warmup", "N", "runs before them, untimed (default: 1)", &o->warmup, 0, 1000000),
        APP_ROW_CHOICE('o', "output", BENCH_FORMATS, "Markdown (default), CSV or JSON on stdout", &o->format),
        APP_DEVICE_ROWS(o->common),
        APP_OTHER_ROWS(o->common),
    };
    const app_program program = {
        .name = "onebit-bench-vk kernels",
        .purpose = "times single operations on random data.",
        .usage = "[options] [TxMxN]...\n\nTxMxN: T rows of activations and a matrix of M rows and N columns (default: 512x4096x4096).",
        .options = options,
        .common = &o->common,
        .examples = examples,
        .operands = SHAPES_MAX,
    };
    int outcome = app_parse(&program, argc, argv, o->words);
    if (outcome != APP_GO_ON) return outcome;
    for (; o->shape_count < SHAPES_MAX && o->words[o->shape_count]; o->shape_count++)
        if (!read_shape(o->words[o->shape_count], &o->shapes[o->shape_count]))
            return app_usage_error("'%s' is not a shape like 512x4096x4096", o->words[o->shape_count]);
    if (o->shape_count == 0) o->shapes[o->shape_count++] = (shape){ 512, 4096, 4096 };
    const char *name, *formula;
    bool found = false;
    for (uint32_t i = 0; ob_bench_kernel_describe(i, &name, &formula); i++) found = found || strstr(name, o->filter);
    return found ? APP_GO_ON : app_usage_error("no operation has '%s' in its name", o->filter);
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

typedef struct row {
    const char *name, *formula;
    shape shape;
    bench_times wall, device; /* device.median is 0 without timestamps */
    double operations;
    uint64_t bytes;
} row;

static double rate(double amount, double seconds) { return seconds > 0 ? 1e-9 * amount / seconds : NAN; }

static void print_start(const kernels_options *o, const ob_device_info *device, app_json *json)
{
    if (o->format == BENCH_CSV) {
        printf("operation,T,m,n,rounds,wall_ms,wall_sd_ms,device_ms,wall_gflops,device_gflops,wall_gbs\n");
    } else if (o->format == BENCH_JSON) {
        app_json_open(json, NULL, '{');
        app_json_text(json, "program", "onebit-bench-vk kernels");
        app_json_text(json, "version", ob_version());
        app_json_text(json, "device", device->name);
        app_json_text(json, "driver", device->driver);
        app_json_text(json, "tier", (char[2]){ device->tier, 0 });
        app_json_integer(json, "rounds", o->rounds);
        app_json_open(json, "operations", '[');
    } else {
        printf("%s, tier %c, %s; medians of %" PRId64 "\n\n", device->name, device->tier, device->driver, o->rounds);
        printf("| operation | T x m x n | ms | +/- sd | ms on the device | GFLOP/s | GFLOP/s on the device | GB/s |\n");
        printf("|---|---|---:|---:|---:|---:|---:|---:|\n");
    }
}

static void print_row(const kernels_options *o, const row *r, app_json *json)
{
    double wall = 1e3 * r->wall.median, device = 1e3 * r->device.median;
    double wall_rate = rate(r->operations, r->wall.median), device_rate = rate(r->operations, r->device.median);
    double moved = rate((double)r->bytes, r->wall.median);
    if (o->format == BENCH_CSV) {
        printf("%s,%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRId64 ",%.4f,%.4f,%.4f,%.3f,%.3f,%.3f\n", r->name, r->shape.T, r->shape.m,
               r->shape.n, o->rounds, wall, 1e3 * r->wall.deviation, device, wall_rate, device > 0 ? device_rate : 0.0, moved);
    } else if (o->format == BENCH_JSON) {
        app_json_open(json, NULL, '{');
        app_json_text(json, "operation", r->name);
        app_json_text(json, "formula", r->formula);
        app_json_count(json, "T", r->shape.T);
        app_json_count(json, "m", r->shape.m);
        app_json_count(json, "n", r->shape.n);
        app_json_number(json, "flop", r->operations);
        app_json_count(json, "bytes", r->bytes);
        app_json_number(json, "wall_ms", wall);
        app_json_number(json, "wall_sd_ms", 1e3 * r->wall.deviation);
        app_json_number(json, "wall_gflops", wall_rate);
        app_json_number(json, "device_ms", device > 0 ? device : NAN);
        app_json_number(json, "device_gflops", device_rate);
        app_json_number(json, "wall_gbs", moved);
        app_json_close(json);
    } else {
        char on_device[2][32] = { "-", "-" };
        if (device > 0) {
            snprintf(on_device[0], sizeof *on_device, "%.2f", device);
            snprintf(on_device[1], sizeof *on_device, "%.1f", device_rate);
        }
        printf("| %s | %" PRIu32 " x %" PRIu32 " x %" PRIu32 " | %.2f | %.2f | %s | %.1f | %s | %.2f |\n", r->name, r->shape.T, r->shape.m,
               r->shape.n, wall, 1e3 * r->wall.deviation, on_device[0], wall_rate, on_device[1], moved);
    }
    fflush(stdout);
}

/* ---- measurement ------------------------------------------------------------------------------------------------ */

static ob_status measure(const kernels_options *o, ob_context *context, uint32_t index, row *r)
{
    double wall[ROUNDS_MAX], device[ROUNDS_MAX];
    ob_status status = ob_bench_kernel(context,
                                       &(ob_bench_kernel_desc){ .index = index,
                                                                .T = r->shape.T,
                                                                .m = r->shape.m,
                                                                .n = r->shape.n,
                                                                .warmup = (uint32_t)o->warmup,
                                                                .rounds = (uint32_t)o->rounds,
                                                                .seconds = wall,
                                                                .device_seconds = device },
                                       &r->operations, &r->bytes);
    if (status != OB_OK) return status;
    r->wall = bench_times_of(wall, (uint32_t)o->rounds);
    r->device = bench_times_of(device, (uint32_t)o->rounds);
    return OB_OK;
}

static int measure_all(const kernels_options *o, ob_context *context)
{
    ob_device_info device;
    ob_status status = ob_context_info(context, &device);
    if (status != OB_OK) return app_fail(status);
    app_json json = { .file = stdout };
    bool started = false;
    for (int s = 0; s < o->shape_count; s++) {
        row r = { .shape = o->shapes[s] };
        for (uint32_t i = 0; ob_bench_kernel_describe(i, &r.name, &r.formula); i++) {
            if (!strstr(r.name, o->filter)) continue;
            if (app_stop_signal()) return app_refuse(128 + app_stop_signal(), "stopped");
            status = measure(o, context, i, &r);
            if (status != OB_OK) return app_fail(status);
            if (!started) print_start(o, &device, &json);
            started = true;
            print_row(o, &r, &json);
        }
    }
    if (o->format == BENCH_JSON) {
        app_json_close(&json);
        app_json_close(&json);
    }
    return 0;
}

int bench_kernels(int argc, char **argv)
{
    kernels_options o;
    int code = parse(&o, argc, argv);
    if (code != APP_GO_ON) return code;
    app_catch_signals();
    ob_context *context = NULL;
    ob_status status = ob_context_create(&context, &(ob_context_desc){ .device = o.common.device });
    code = status == OB_OK ? measure_all(&o, context) : app_fail(status);
    return app_end_context(context, code);
}

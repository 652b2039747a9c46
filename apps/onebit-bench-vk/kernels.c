#include "kernels.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/json.h"
#include "common/stop.h"
#include "common/term.h"
#include "common/threads.h"
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
    const char *roofline; /* a file to write, or NULL */
    bool list;
    const char *words[SHAPES_MAX];
    shape shapes[SHAPES_MAX];
    int shape_count;
} kernels_options;

static const char examples[] =
    "  onebit-bench-vk kernels\n"
    "      every operation, most at 1x4096x4096 (a token) and 512x4096x4096 (a prompt), attention over several contexts\n"
    "  onebit-bench-vk kernels --filter sign 512x4096x4096 2048x688x256 -o csv\n"
    "      those with \"sign\" in their names, at two shapes\n"
    "  onebit-bench-vk kernels --roofline roofline.svg\n"
    "      the same, and a picture of them under the device's two roofs\n\n"
    "First the device itself is measured: the bytes that a buffer copy or an addition of long vectors moves (read and written), and\n"
    "f32 multiply-adds without memory. Rates of an operation come from the device's clock, or from the wall clock where it has none.\n"
    "GFLOP/s: a multiply and an add count as two, and so does a weight of one bit, whatever the kernel does instead; such a kernel\n"
    "can be above the arithmetic rate. An exponential, a root, a division and a comparison count as one.\n"
    "GB/s: the bytes that must be moved at the least, each input and output once; what caches hold can be above the copy rate.\n"
    "Gw/s: one-bit weights gone through per second, in thousand millions.\n";

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
        APP_ROW_FLAG(0, "list", "names and formulas of the operations, and nothing else", &o->list),
        APP_ROW_INTEGER(0, "rounds", "N", "timed runs of each (default: 5)", &o->rounds, 1, ROUNDS_MAX),
        APP_ROW_INTEGER(0, "warmup", "N", "runs before them, untimed (default: 1)", &o->warmup, 0, 1000000),
        APP_ROW_CHOICE('o', "output", BENCH_FORMATS, "Markdown (default), CSV or JSON on stdout", &o->format),
        APP_ROW_TEXT(0, "roofline", "FILE.svg", "also draw the operations under the device's roofs", &o->roofline),
        APP_DEVICE_ROWS(o->common),
        APP_EXACT_ROW(o->common),
        APP_THREADS_ROW(o->common),
        APP_OTHER_ROWS(o->common),
    };
    const app_program program = {
        .name = "onebit-bench-vk kernels",
        .purpose = "times single operations on random data.",
        .usage = "[options] [TxMxN]...\n\n"
                 "TxMxN: T rows of activations and a matrix of M rows and N columns; T queries over M positions of\n"
                 "width N for attention; M words for a loss or a choice (default: shapes of a 7B model; --list has the formulas).",
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
    if (o->roofline && !*o->roofline) return app_usage_error("--roofline needs the name of a file");
    ob_bench_kernel_info info;
    bool found = false;
    for (uint32_t i = 0; ob_bench_kernel_describe(i, &info); i++) found = found || strstr(info.name, o->filter);
    return found ? APP_GO_ON : app_usage_error("no operation has '%s' in its name; --list has them all", o->filter);
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

typedef struct row {
    const char *name, *formula;
    shape shape;
    bench_times wall, device; /* device.median is 0 without timestamps */
    ob_bench_kernel_cost cost;
} row;

/* Everything that is printed of a run. */
typedef struct results {
    const kernels_options *options;
    ob_device_info device;
    ob_bench_rates rates;
    app_json json;
    app_progress progress;
    bool started;
    ob_bench_point *points; /* of the roofline; labels are ours */
    size_t point_count;
} results;

/* Seconds that its rates are made of. */
static double seconds_of(const row *r) { return r->device.median > 0 ? r->device.median : r->wall.median; }

typedef struct figures {
    double gflops, gbs, gws;       /* gws is NaN where there is no weight of one bit */
    double of_copy, of_arithmetic; /* shares */
} figures;

static figures figures_of(const results *all, const row *r)
{
    double seconds = seconds_of(r), operations = r->cost.operations / seconds, bytes = (double)r->cost.bytes / seconds;
    return (figures){ .gflops = 1e-9 * operations,
                      .gbs = 1e-9 * bytes,
                      .gws = r->cost.signs ? 1e-9 * (double)r->cost.signs / seconds : NAN,
                      .of_copy = bytes / all->rates.bytes_per_second,
                      .of_arithmetic = operations / all->rates.operations_per_second };
}

static void print_start(results *all)
{
    const kernels_options *o = all->options;
    const ob_device_info *device = &all->device;
    double copy = 1e-9 * all->rates.bytes_per_second, arithmetic = 1e-9 * all->rates.operations_per_second;
    if (o->format == BENCH_CSV) {
        printf("operation,T,m,n,rounds,wall_ms,wall_sd_ms,device_ms,gflops,gws,gbs,of_copy,of_arithmetic,copy_gbs,"
               "arithmetic_gflops,kernels\n");
    } else if (o->format == BENCH_JSON) {
        app_json *json = &all->json;
        json->file = stdout;
        app_json_open(json, NULL, '{');
        app_json_text(json, "program", "onebit-bench-vk kernels");
        app_json_text(json, "version", ob_version());
        app_json_text(json, "device", device->name);
        app_json_text(json, "driver", device->driver);
        app_json_text(json, "tier", (char[2]){ device->tier, 0 });
        app_json_integer(json, "rounds", o->rounds);
        app_json_number(json, "copy_gbs", copy);
        app_json_number(json, "arithmetic_gflops", arithmetic);
        app_json_open(json, "operations", '[');
    } else {
        printf("%s, tier %c, %s; medians of %" PRId64 "\n", device->name, device->tier, device->driver, o->rounds);
        printf("copy rate %.2f GB/s, arithmetic rate %.1f GFLOP/s (f32)\n\n", copy, arithmetic);
        printf("| operation | T x m x n | us | +/- sd | us on the device | GFLOP/s | Gw/s | GB/s | of copy | of arithmetic | kernels |\n");
        printf("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---|\n");
    }
    all->started = true;
}

/* The kernels that ran, with `between` between their names. */
static void print_kernels(const row *r, const char *between)
{
    for (uint32_t k = 0; k < r->cost.kernel_count; k++) printf("%s%s", k > 0 ? between : "", r->cost.kernels[k]);
}

static void print_row_md(const row *r, const figures *f)
{
    char device[32] = "-", signs[32] = "";
    if (r->device.median > 0) snprintf(device, sizeof device, "%.1f", 1e6 * r->device.median);
    if (isfinite(f->gws)) snprintf(signs, sizeof signs, "%.2f", f->gws);
    printf("| %s | %" PRIu32 " x %" PRIu32 " x %" PRIu32 " | %.1f | %.1f | %s | %.1f | %s | %.2f | %.1f %% | %.1f %% | ", r->name,
           r->shape.T, r->shape.m, r->shape.n, 1e6 * r->wall.median, 1e6 * r->wall.deviation, device, f->gflops, signs, f->gbs,
           100 * f->of_copy, 100 * f->of_arithmetic);
    print_kernels(r, ", ");
    printf(" |\n");
}

static void print_row_csv(const results *all, const row *r, const figures *f)
{
    char signs[32] = "";
    if (isfinite(f->gws)) snprintf(signs, sizeof signs, "%.4f", f->gws);
    printf("%s,%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRId64 ",%.4f,%.4f,%.4f,", r->name, r->shape.T, r->shape.m, r->shape.n,
           all->options->rounds, 1e3 * r->wall.median, 1e3 * r->wall.deviation, 1e3 * r->device.median);
    printf("%.3f,%s,%.3f,%.5f,%.5f,%.3f,%.3f,", f->gflops, signs, f->gbs, f->of_copy, f->of_arithmetic, 1e-9 * all->rates.bytes_per_second,
           1e-9 * all->rates.operations_per_second);
    print_kernels(r, " ");
    printf("\n");
}

static void print_row_json(app_json *json, const row *r, const figures *f)
{
    app_json_open(json, NULL, '{');
    app_json_text(json, "operation", r->name);
    app_json_text(json, "formula", r->formula);
    app_json_count(json, "T", r->shape.T);
    app_json_count(json, "m", r->shape.m);
    app_json_count(json, "n", r->shape.n);
    app_json_number(json, "flop", r->cost.operations);
    app_json_count(json, "bytes", r->cost.bytes);
    app_json_count(json, "signs", r->cost.signs);
    app_json_number(json, "wall_ms", 1e3 * r->wall.median);
    app_json_number(json, "wall_sd_ms", 1e3 * r->wall.deviation);
    app_json_number(json, "device_ms", r->device.median > 0 ? 1e3 * r->device.median : NAN);
    app_json_number(json, "gflops", f->gflops);
    app_json_number(json, "gws", f->gws);
    app_json_number(json, "gbs", f->gbs);
    app_json_number(json, "of_copy", f->of_copy);
    app_json_number(json, "of_arithmetic", f->of_arithmetic);
    app_json_open(json, "kernels", '[');
    for (uint32_t k = 0; k < r->cost.kernel_count; k++) app_json_text(json, NULL, r->cost.kernels[k]);
    app_json_close(json);
    app_json_close(json);
}

static void print_row(results *all, const row *r)
{
    figures f = figures_of(all, r);
    if (all->options->format == BENCH_CSV) print_row_csv(all, r, &f);
    else if (all->options->format == BENCH_JSON) print_row_json(&all->json, r, &f);
    else print_row_md(r, &f);
    fflush(stdout);
}

/* ---- the picture ------------------------------------------------------------------------------------------------ */

static ob_status keep_point(results *all, const row *r)
{
    if (!all->options->roofline) return OB_OK;
    ob_bench_point *grown = realloc(all->points, (all->point_count + 1) * sizeof *grown);
    if (!grown) return OB_ERROR_MEMORY;
    all->points = grown;
    char label[128];
    snprintf(label, sizeof label, "%s %" PRIu32 " x %" PRIu32 " x %" PRIu32, r->name, r->shape.T, r->shape.m, r->shape.n);
    char *kept = strdup(label);
    if (!kept) return OB_ERROR_MEMORY;
    grown[all->point_count++] = (ob_bench_point){ kept, r->cost.operations, (double)r->cost.bytes, seconds_of(r) };
    return OB_OK;
}

static ob_status draw(const results *all)
{
    char title[384];
    snprintf(title, sizeof title, "%s, tier %c", all->device.name, all->device.tier);
    ob_status status = ob_bench_roofline(all->options->roofline, title, &all->rates, all->points, all->point_count);
    if (status == OB_OK) app_note("wrote %s", all->options->roofline);
    return status;
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
                                       &r->cost);
    if (status != OB_OK) return status;
    r->wall = bench_times_of(wall, (uint32_t)o->rounds);
    r->device = bench_times_of(device, (uint32_t)o->rounds);
    return OB_OK;
}

/* How many shapes operation `info` is measured at, and the s-th of them: those that were asked for, else its own. */
static uint32_t shapes_of(const kernels_options *o, const ob_bench_kernel_info *info)
{
    if (!strstr(info->name, o->filter)) return 0;
    return o->shape_count > 0 ? (uint32_t)o->shape_count : info->shape_count;
}
static shape shape_at(const kernels_options *o, const ob_bench_kernel_info *info, uint32_t s)
{
    if (o->shape_count > 0) return o->shapes[s];
    return (shape){ info->shapes[s][0], info->shapes[s][1], info->shapes[s][2] };
}

static uint32_t count_rows(const kernels_options *o)
{
    ob_bench_kernel_info info;
    uint32_t count = 0;
    for (uint32_t i = 0; ob_bench_kernel_describe(i, &info); i++) count += shapes_of(o, &info);
    return count;
}

static ob_status measure_row(results *all, ob_context *context, uint32_t index, row *r)
{
    ob_status status = measure(all->options, context, index, r);
    if (status != OB_OK) return status;
    app_progress_end(&all->progress); /* the row takes its place */
    if (!all->started) print_start(all);
    print_row(all, r);
    return keep_point(all, r);
}

static ob_status measure_all(results *all, ob_context *context)
{
    const kernels_options *o = all->options;
    uint32_t done = 0, rows = count_rows(o);
    ob_bench_kernel_info info;
    ob_status status = ob_context_info(context, &all->device);
    app_progress_start(&all->progress);
    app_progress_step(0, "the device's rates", &all->progress);
    if (status == OB_OK) status = ob_bench_rates_get(context, &all->rates);
    for (uint32_t i = 0; status == OB_OK && ob_bench_kernel_describe(i, &info); i++)
        for (uint32_t s = 0; status == OB_OK && s < shapes_of(o, &info); s++) {
            row r = { .name = info.name, .formula = info.formula, .shape = shape_at(o, &info, s) };
            if (!app_progress_step((double)done++ / rows, info.name, &all->progress)) status = OB_ERROR_CANCELLED;
            if (status == OB_OK) status = measure_row(all, context, i, &r);
        }
    app_progress_end(&all->progress);
    if (status == OB_OK && o->format == BENCH_JSON) {
        app_json_close(&all->json);
        app_json_close(&all->json);
    }
    if (status == OB_OK && o->roofline) status = draw(all);
    return status;
}

static int list(const kernels_options *o)
{
    ob_bench_kernel_info info;
    for (uint32_t i = 0; ob_bench_kernel_describe(i, &info); i++)
        if (strstr(info.name, o->filter)) printf("%-27s %s\n", info.name, info.formula);
    return 0;
}

int bench_kernels(int argc, char **argv)
{
    kernels_options o;
    int code = parse(&o, argc, argv);
    if (code != APP_GO_ON) return code;
    if (o.list) return list(&o);
    app_catch_signals();
    results all = { .options = &o };
    ob_context *context = NULL;
    app_use_threads(&o.common, 0);
    ob_status status = ob_context_create(&context, &(ob_context_desc){ .device = o.common.device, .exact = o.common.exact });
    if (status == OB_OK) status = measure_all(&all, context);
    code = status == OB_OK ? 0 : app_fail(status);
    for (size_t i = 0; i < all.point_count; i++) free((void *)(uintptr_t)all.points[i].label);
    free(all.points);
    return app_end_context(context, code);
}

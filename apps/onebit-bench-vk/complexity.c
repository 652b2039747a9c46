#include "complexity.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/chart.h"
#include "common/json.h"
#include "common/stop.h"
#include "common/term.h"
#include "common/threads.h"
#include "common/whole_file.h"
#include "onebit/onebit_bench.h"
#include "times.h"

#define SHAPES_MAX 16
#define TOKENS_MAX 32
#define ROUNDS_MAX 1000

typedef struct complexity_options {
    app_common common;
    const char *tokens, *svg;
    int64_t rounds, warmup;
    bool json;
    const char *words[SHAPES_MAX];
    uint32_t shapes[SHAPES_MAX][2]; /* m, n */
    size_t shape_count;
    uint32_t T[TOKENS_MAX];
    size_t token_count;
} complexity_options;

static const char examples[] =
    "  onebit-bench-vk complexity\n"
    "      matrices of four shapes, 16 to 2048 rows of activations\n"
    "  onebit-bench-vk complexity 4096x4096 11008x4096 --tokens 128,512,2048,8192 --svg complexity.svg\n"
    "      two matrices of a 7B model, and a picture of where the two forms cross\n\n"
    "X (T,n) times W^T, where W = S * (h g^T) has signs S (m,n) and the scales h (m) and g (n):\n"
    "  materialised  W is made of S, then multiplied with          2mn + Tmn multiplications\n"
    "  bracketed     [(X * g) S^T] * h, W is never made            Tn + Tmn + Tm\n"
    "  signs         the same as a 1-bit layer has it, S packed     Tn + Tm\n"
    "The first two take the same f32 product, so that only the bracket differs: \"outside\" is what they do besides it. By the\n"
    "multiplications they cross at T = 2mn / (m + n): the bracket is the better one wherever T < m and T < n. Medians of the rounds, "
    "which\n"
    "run all three in turn, by the device's clock.\n";

/* "16,64,256" */
static bool read_tokens(complexity_options *o)
{
    const char *at = o->tokens;
    for (;;) {
        char *end;
        errno = 0;
        unsigned long value = strtoul(at, &end, 10);
        if (end == at || *at < '0' || *at > '9' || errno || value == 0 || value > 65536 || o->token_count == TOKENS_MAX) return false;
        if (o->token_count > 0 && value <= o->T[o->token_count - 1]) return false;
        o->T[o->token_count++] = (uint32_t)value;
        if (!*end) return true;
        if (*end != ',') return false;
        at = end + 1;
    }
}

static bool read_shape(const char *word, uint32_t out[2])
{
    int end = 0;
    for (const char *at = word; *at; at++)
        if (!strchr("0123456789x", *at)) return false;
    return sscanf(word, "%6" SCNu32 "x%6" SCNu32 "%n", &out[0], &out[1], &end) == 2 && !word[end] && out[0] > 0 && out[1] > 0 &&
           out[0] <= 65536 && out[1] <= 65536;
}

static int parse(complexity_options *o, int argc, char **argv)
{
    *o = (complexity_options){ .rounds = 7, .warmup = 2, .tokens = "16,32,64,128,256,512,1024,2048" };
    const app_option options[] = {
        APP_ROW_HEADING("Measurement"),
        APP_ROW_TEXT(0, "tokens", "T,T,...", "rows of activations, rising (default: 16,32,64,...,2048)", &o->tokens),
        APP_ROW_INTEGER(0, "rounds", "N", "timed runs of each form (default: 7)", &o->rounds, 1, ROUNDS_MAX),
        APP_ROW_INTEGER(0, "warmup", "N", "runs before them, untimed (default: 2)", &o->warmup, 0, 1000),
        APP_ROW_HEADING("Output"),
        APP_ROW_FLAG(0, "json", "print the result as JSON", &o->json),
        APP_ROW_TEXT(0, "svg", "FILE", "also draw what the forms do outside the product", &o->svg),
        APP_DEVICE_ROWS(o->common),
        APP_EXACT_ROW(o->common),
        APP_THREADS_ROW(o->common),
        APP_OTHER_ROWS(o->common),
    };
    const app_program program = {
        .name = "onebit-bench-vk complexity",
        .purpose = "measures what it saves never to make the weight of a 1-bit layer.",
        .usage = "[options] [MxN]...\n\nMxN: a matrix of M outputs and N inputs (default: 256x256, 688x256, 512x512, 1024x1024).",
        .options = options,
        .common = &o->common,
        .examples = examples,
        .operands = SHAPES_MAX,
    };
    int outcome = app_parse(&program, argc, argv, o->words);
    if (outcome != APP_GO_ON) return outcome;
    if (!read_tokens(o)) return app_usage_error("--tokens takes rising numbers from 1 to 65536, like 16,64,256, and not '%s'", o->tokens);
    for (; o->shape_count < SHAPES_MAX && o->words[o->shape_count]; o->shape_count++)
        if (!read_shape(o->words[o->shape_count], o->shapes[o->shape_count]))
            return app_usage_error("'%s' is not a matrix like 4096x4096", o->words[o->shape_count]);
    static const uint32_t usual[][2] = { { 256, 256 }, { 688, 256 }, { 512, 512 }, { 1024, 1024 } };
    if (o->shape_count == 0) {
        o->shape_count = sizeof usual / sizeof *usual;
        memcpy(o->shapes, usual, sizeof usual);
    }
    if (o->svg && !*o->svg) return app_usage_error("--svg needs the name of a file");
    return APP_GO_ON;
}

/* ---- results -------------------------------------------------------------------------------------------------------- */

typedef struct row {
    uint32_t T, m, n;
    double seconds[OB_BENCH_WAYS], outside[OB_BENCH_WAYS], deviation[OB_BENCH_WAYS]; /* medians, and of the whole */
    double difference[OB_BENCH_WAYS];
} row;

typedef struct results {
    const complexity_options *options;
    ob_device_info device;
    bool timestamps;
    row *rows; /* of a matrix its T, then those of the next matrix */
    size_t count;
    app_progress progress;
} results;

/* T at which the multiplications of the two forms are equal. */
static double crossover_of_multiplications(double m, double n) { return 2 * m * n / (m + n); }

static double outside_ratio(const row *r) { return r->outside[OB_BENCH_BRACKETED] / r->outside[OB_BENCH_MATERIALISED]; }

/* T at which the ratio of the times outside the product passes 1, between two measured ones on a logarithmic scale; NaN: it does not. */
static double crossover_measured(const results *all, size_t shape)
{
    const row *rows = &all->rows[shape * all->options->token_count];
    for (size_t i = 0; i + 1 < all->options->token_count; i++) {
        double here = log(outside_ratio(&rows[i])), next = log(outside_ratio(&rows[i + 1]));
        if (!(here <= 0 && next > 0)) continue;
        double share = next > here ? -here / (next - here) : 0;
        return exp(log(rows[i].T) + share * (log(rows[i + 1].T) - log(rows[i].T)));
    }
    return NAN;
}

/* What is known of it where it lies outside what was measured. */
static const char *crossover_words(const results *all, size_t shape, char *text, size_t room)
{
    const row *first = &all->rows[shape * all->options->token_count], *last = first + all->options->token_count - 1;
    double at = crossover_measured(all, shape);
    if (isfinite(at)) snprintf(text, room, "%.0f", at);
    else if (!all->timestamps) snprintf(text, room, "unknown: the device has no timestamps");
    else if (outside_ratio(last) <= 1) snprintf(text, room, "above %" PRIu32, last->T);
    else snprintf(text, room, "below %" PRIu32, first->T);
    return text;
}

static void print_md(const results *all)
{
    const complexity_options *o = all->options;
    printf("%s, tier %c, %s; medians of %" PRId64 ", ms %s\n\n", all->device.name, all->device.tier, all->device.driver, o->rounds,
           all->timestamps ? "on the device" : "by the clock");
    printf("| m x n | T | materialised | outside | bracketed | outside | outside, bracketed / materialised | multiplications outside | "
           "signs | "
           "materialised / signs |\n");
    printf("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    for (size_t i = 0; i < all->count; i++) {
        const row *r = &all->rows[i];
        double mults = (double)r->T * ((double)r->m + r->n) / (2.0 * r->m * r->n);
        printf("| %" PRIu32 " x %" PRIu32 " | %" PRIu32 " | %.3f | %.3f | %.3f | %.3f | %.2f | %.2f | %.3f | %.2f |\n", r->m, r->n, r->T,
               1e3 * r->seconds[0], 1e3 * r->outside[0], 1e3 * r->seconds[1], 1e3 * r->outside[1], outside_ratio(r), mults,
               1e3 * r->seconds[2], r->seconds[0] / r->seconds[2]);
    }
    printf("\n| m x n | crossover by multiplications, T = 2mn / (m + n) | crossover measured |\n|---|---:|---:|\n");
    for (size_t s = 0; s < o->shape_count; s++) {
        char text[64];
        printf("| %" PRIu32 " x %" PRIu32 " | %.0f | %s |\n", o->shapes[s][0], o->shapes[s][1],
               crossover_of_multiplications(o->shapes[s][0], o->shapes[s][1]), crossover_words(all, s, text, sizeof text));
    }
}

static void print_json(const results *all)
{
    static const char *const ways[OB_BENCH_WAYS] = { "materialised", "bracketed", "signs" };
    const complexity_options *o = all->options;
    app_json json = { .file = stdout };
    app_json_open(&json, NULL, '{');
    app_json_text(&json, "program", "onebit-bench-vk complexity");
    app_json_text(&json, "version", ob_version());
    app_json_text(&json, "device", all->device.name);
    app_json_text(&json, "driver", all->device.driver);
    app_json_text(&json, "tier", (char[2]){ all->device.tier, 0 });
    app_json_integer(&json, "rounds", o->rounds);
    app_json_bool(&json, "device_times", all->timestamps);
    app_json_open(&json, "rows", '[');
    for (size_t i = 0; i < all->count; i++) {
        const row *r = &all->rows[i];
        double product = (double)r->T * r->m * r->n, scaled = (double)r->T * ((double)r->m + r->n);
        const double multiplications[OB_BENCH_WAYS] = { product + 2.0 * r->m * r->n, product + scaled, scaled };
        app_json_open(&json, NULL, '{');
        app_json_count(&json, "T", r->T);
        app_json_count(&json, "m", r->m);
        app_json_count(&json, "n", r->n);
        for (int way = 0; way < OB_BENCH_WAYS; way++) {
            app_json_open(&json, ways[way], '{');
            app_json_number(&json, "ms", 1e3 * r->seconds[way]);
            app_json_number(&json, "sd_ms", 1e3 * r->deviation[way]);
            app_json_number(&json, "outside_ms", way == OB_BENCH_SIGNS || !all->timestamps ? NAN : 1e3 * r->outside[way]);
            app_json_number(&json, "multiplications", multiplications[way]);
            app_json_number(&json, "difference", r->difference[way]);
            app_json_close(&json);
        }
        app_json_close(&json);
    }
    app_json_close(&json);
    app_json_open(&json, "crossovers", '[');
    for (size_t s = 0; s < o->shape_count; s++) {
        app_json_open(&json, NULL, '{');
        app_json_count(&json, "m", o->shapes[s][0]);
        app_json_count(&json, "n", o->shapes[s][1]);
        app_json_number(&json, "by_multiplications", crossover_of_multiplications(o->shapes[s][0], o->shapes[s][1]));
        app_json_number(&json, "measured", crossover_measured(all, s));
        app_json_close(&json);
    }
    app_json_close(&json);
    app_json_close(&json);
}

/* ---- the picture --------------------------------------------------------------------------------------------------------- */

/* Over T as a share of the crossover by multiplications, so that all matrices share one line of theory. */
static int draw(const results *all)
{
    const complexity_options *o = all->options;
    app_chart_series series[SHAPES_MAX + 2] = { 0 };
    app_chart_point *points = calloc(all->count + 4, sizeof *points);
    char names[SHAPES_MAX][64];
    if (!points) return app_refuse(4, "there is not enough memory for the picture");
    double low = INFINITY, high = 0;
    for (size_t s = 0; s < o->shape_count; s++) {
        app_chart_point *own = points + s * o->token_count;
        double crossover = crossover_of_multiplications(o->shapes[s][0], o->shapes[s][1]);
        for (size_t i = 0; i < o->token_count; i++) {
            const row *r = &all->rows[s * o->token_count + i];
            own[i] = (app_chart_point){ .x = r->T / crossover, .y = outside_ratio(r) };
            low = fmin(low, own[i].x);
            high = fmax(high, own[i].x);
        }
        snprintf(names[s], sizeof names[s], "%" PRIu32 " x %" PRIu32, o->shapes[s][0], o->shapes[s][1]);
        series[s] =
            (app_chart_series){ .name = names[s], .points = own, .count = o->token_count, .colour = (int)s, .line = true, .dots = true };
    }
    app_chart_point *theory = points + all->count;
    theory[0] = (app_chart_point){ .x = low, .y = low };
    theory[1] = (app_chart_point){ .x = high, .y = high };
    theory[2] = (app_chart_point){ .x = low, .y = 1 };
    theory[3] = (app_chart_point){ .x = high, .y = 1 };
    series[o->shape_count] = (app_chart_series){
        .name = "multiplications", .points = theory, .count = 2, .colour = APP_CHART_GREY, .line = true, .dashed = true
    };
    series[o->shape_count + 1] = (app_chart_series){ .points = theory + 2, .count = 2, .colour = APP_CHART_GREY, .line = true };
    char note[512];
    snprintf(note, sizeof note, "below 1 the bracket is the better one; %s, medians of %" PRId64, all->device.name, o->rounds);
    const app_chart chart = { .title = "X Wᵀ: the bracketed form against the materialised weight",
                              .note = note,
                              .x = { .title = "T (m + n) / 2mn, rows of activations as a share of the crossover", .logarithmic = true },
                              .y = { .title = "time outside the product, ratio", .logarithmic = true },
                              .series = series,
                              .series_count = o->shape_count + 2 };
    app_whole_file file;
    bool written = app_whole_file_open(&file, o->svg);
    if (written) {
        app_chart_write(file.file, &chart);
        written = app_whole_file_commit(&file);
    }
    free(points);
    if (!written) return app_refuse(1, "cannot write %s: %s", o->svg, strerror(errno));
    app_note("wrote %s", o->svg);
    return 0;
}

/* ---- measurement ------------------------------------------------------------------------------------------------------------- */

static ob_status measure(results *all, ob_context *context, row *r)
{
    static double seconds[OB_BENCH_WAYS][ROUNDS_MAX], outside[OB_BENCH_WAYS][ROUNDS_MAX];
    uint32_t rounds = (uint32_t)all->options->rounds;
    ob_bench_complexity_desc desc = { .T = r->T, .m = r->m, .n = r->n, .warmup = (uint32_t)all->options->warmup, .rounds = rounds };
    for (int way = 0; way < OB_BENCH_WAYS; way++) {
        desc.seconds[way] = seconds[way];
        desc.outside[way] = outside[way];
    }
    ob_bench_complexity_result result;
    ob_status status = ob_bench_complexity(context, &desc, &result);
    if (status != OB_OK) return status;
    all->timestamps = result.timestamps;
    for (int way = 0; way < OB_BENCH_WAYS; way++) {
        bench_times whole = bench_times_of(seconds[way], rounds);
        r->seconds[way] = whole.median;
        r->deviation[way] = whole.deviation;
        r->outside[way] = bench_times_of(outside[way], rounds).median;
        r->difference[way] = result.difference[way];
    }
    return OB_OK;
}

static ob_status measure_all(results *all, ob_context *context)
{
    const complexity_options *o = all->options;
    ob_status status = ob_context_info(context, &all->device);
    app_progress_start(&all->progress);
    for (size_t s = 0; s < o->shape_count; s++)
        for (size_t i = 0; i < o->token_count && status == OB_OK; i++) {
            row *r = &all->rows[all->count];
            *r = (row){ .T = o->T[i], .m = o->shapes[s][0], .n = o->shapes[s][1] };
            double share = (double)all->count / (double)(o->shape_count * o->token_count);
            if (!app_progress_step(share, "measuring", &all->progress)) status = OB_ERROR_CANCELLED;
            if (status == OB_OK) status = measure(all, context, r);
            all->count += status == OB_OK;
        }
    app_progress_end(&all->progress);
    return status;
}

int bench_complexity(int argc, char **argv)
{
    complexity_options o;
    int code = parse(&o, argc, argv);
    if (code != APP_GO_ON) return code;
    app_catch_signals();
    results all = { .options = &o, .rows = calloc(o.shape_count * o.token_count, sizeof *all.rows) };
    if (!all.rows) return app_refuse(4, "there is not enough memory");
    ob_context *context = NULL;
    app_use_threads(&o.common, 0);
    ob_status status = ob_context_create(&context, &(ob_context_desc){ .device = o.common.device, .exact = o.common.exact });
    if (status == OB_OK) status = measure_all(&all, context);
    code = status == OB_OK ? 0 : app_fail(status);
    if (code == 0 && o.json) print_json(&all);
    else if (code == 0) print_md(&all);
    if (code == 0 && o.svg) code = draw(&all);
    free(all.rows);
    return app_end_context(context, code);
}

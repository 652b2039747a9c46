#include "compare_figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/chart.h"
#include "common/term.h"

#define SERIES_MAX 64

typedef struct drawing {
    app_chart_series series[SERIES_MAX];
    char names[SERIES_MAX][96];
    app_chart_point *points; /* all of them; series point into it */
    size_t series_count, point_count, room;
} drawing;

static bool start(drawing *d, size_t points)
{
    memset(d, 0, sizeof *d);
    d->room = points + 1;
    d->points = calloc(d->room, sizeof *d->points);
    return d->points != NULL;
}

static app_chart_series *series_named(drawing *d, const char *name)
{
    for (size_t s = 0; s < d->series_count; s++)
        if (strcmp(d->names[s], name) == 0) return &d->series[s];
    if (d->series_count == SERIES_MAX) return NULL;
    app_chart_series *made = &d->series[d->series_count];
    snprintf(d->names[d->series_count], sizeof d->names[0], "%s", name);
    *made = (app_chart_series){ .name = d->names[d->series_count], .colour = (int)d->series_count };
    d->series_count++;
    return made;
}

/* What stands for the row in a list of series: its method. */
static const char *method_of(const compare_config *config, const compare_row *row)
{
    const char *method = compare_setting(config, row, "method"), *form = compare_setting(config, row, "form");
    const char *preset = compare_setting(config, row, "preset");
    if (row->kind == COMPARE_FILE) return "files";
    if (row->kind == COMPARE_QUANTIZE && form && strcmp(form, "onebit") != 0) return "unquantised";
    if (method) {
        static const char *const words[][2] = { { "svid", "SVID" },         { "xnor", "XNOR" },     { "bitnet_b1", "BitNet-b1" },
                                                { "rtn", "RTN" },           { "gptq", "GPTQ" },     { "omniquant", "OmniQuant" },
                                                { "int8", "LLM.int8()" },   { "onebit", "OneBit" }, { "llmqat", "LLM-QAT" },
                                                { "llmqat_sym", "LLM-QAT" } };
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (strcmp(method, words[i][0]) == 0) return words[i][1];
        return method;
    }
    if (preset && strcmp(preset, "llmqat") == 0) return "LLM-QAT";
    return row->kind == COMPARE_TRAIN ? "OneBit" : "SVID";
}

static int write_chart(drawing *d, FILE *to, app_chart chart)
{
    chart.series = d->series;
    chart.series_count = d->series_count;
    app_chart_write(to, &chart);
    return 0;
}

/* ---- Figure 1 --------------------------------------------------------------------------------------------------------- */

static int by_x(const void *left, const void *right)
{
    double a = ((const app_chart_point *)left)->x, b = ((const app_chart_point *)right)->x;
    return a > b ? 1 : a < b ? -1 : 0;
}

static bool draw_perplexity(const compare_outcome *outcome, FILE *to)
{
    const compare_config *config = outcome->config;
    drawing d;
    if (!start(&d, config->row_count)) return false;
    /* The points of a method lie together: row by row, method by method. */
    for (size_t i = 0; i < config->row_count; i++)
        if (config->rows[i].shown && isfinite(compare_mean_of(outcome, i, METRIC_PPL).mean))
            (void)series_named(&d, method_of(config, &config->rows[i]));
    for (size_t s = 0; s < d.series_count; s++) {
        app_chart_series *series = &d.series[s];
        series->points = d.points + d.point_count;
        series->dots = true;
        for (size_t i = 0; i < config->row_count; i++) {
            if (!config->rows[i].shown || strcmp(method_of(config, &config->rows[i]), series->name) != 0) continue;
            compare_mean ppl = compare_mean_of(outcome, i, METRIC_PPL), bits = compare_mean_of(outcome, i, METRIC_BITS);
            if (!isfinite(ppl.mean) || !isfinite(bits.mean)) continue;
            d.points[d.point_count++] = (app_chart_point){ bits.mean, ppl.mean, ppl.deviation, config->rows[i].name };
            series->count++;
        }
        qsort((void *)(uintptr_t)series->points, series->count, sizeof *series->points, by_x);
        const char *words[] = { "RTN", "GPTQ", "OmniQuant" }; /* one method at several numbers of bits */
        for (size_t k = 0; k < 3; k++) series->line = series->line || (series->count > 1 && strcmp(series->name, words[k]) == 0);
    }
    bool drawn = d.point_count > 0;
    if (drawn && to)
        write_chart(&d, to,
                    (app_chart){ .title = "Perplexity against bits",
                                 .note = "held-out text; both axes logarithmic; bars: standard deviation over seeds",
                                 .x = { .title = "strict bits of a linear weight", .logarithmic = true },
                                 .y = { .title = "perplexity", .logarithmic = true },
                                 .height = 520,
                                 .width = 920 });
    free(d.points);
    return drawn;
}

/* ---- Figure 3c -------------------------------------------------------------------------------------------------------- */

static bool draw_size(const compare_outcome *outcome, FILE *to)
{
    const compare_config *config = outcome->config;
    drawing d;
    const char **names = calloc(config->row_count + 1, sizeof *names);
    char(*labels)[24] = calloc(config->row_count + 1, sizeof *labels);
    if (!start(&d, config->row_count) || !names || !labels) {
        free(names);
        free(labels);
        free(d.points);
        return false;
    }
    app_chart_series *bars = series_named(&d, "bytes");
    bars->name = NULL;
    bars->bars = true;
    bars->points = d.points;
    for (size_t i = 0; i < config->row_count; i++) {
        compare_mean bytes = compare_mean_of(outcome, i, METRIC_BYTES), bits = compare_mean_of(outcome, i, METRIC_BITS);
        if (!config->rows[i].shown || !isfinite(bytes.mean)) continue;
        if (isfinite(bits.mean)) snprintf(labels[bars->count], sizeof labels[0], "%.4g b", bits.mean);
        names[bars->count] = config->rows[i].name;
        d.points[bars->count] = (app_chart_point){ (double)bars->count, bytes.mean / 1e6, 0, labels[bars->count] };
        bars->count++;
    }
    bool drawn = bars->count > 0;
    if (drawn && to)
        write_chart(
            &d, to,
            (app_chart){ .title = "Size and bits",
                         .note =
                             "tensors by each method's own form, embedding and head in F16; above the bars: strict bits of a linear weight",
                         .x = { .title = "" },
                         .y = { .title = "MB (10^6 bytes)" },
                         .categories = names,
                         .category_count = bars->count,
                         .height = 460,
                         .width = 920 });
    free(names);
    free(labels);
    free(d.points);
    return drawn;
}

/* ---- Figures 5 and 6 ---------------------------------------------------------------------------------------------------- */

/* The first seed of each row that has a curve, its colours going round. A run that failed is drawn as far as it came, and named so. */
static bool draw_losses(const compare_outcome *outcome, const compare_figure *figure, FILE *to)
{
    drawing d;
    if (!start(&d, figure->row_count * COMPARE_CURVE_MAX)) return false;
    for (size_t k = 0; k < figure->row_count; k++) {
        size_t row = figure->rows[k];
        const compare_result *found = NULL;
        for (size_t s = 0; outcome->results[row] && s < outcome->config->rows[row].seed_count && !found; s++)
            if (outcome->results[row][s].curve_count > 0) found = &outcome->results[row][s];
        char name[96];
        snprintf(name, sizeof name, "%s%s", outcome->config->rows[row].name, found && found->failed ? " (failed)" : "");
        app_chart_series *series = found ? series_named(&d, name) : NULL;
        if (!series) continue;
        series->line = true;
        series->dashed = d.series_count > APP_CHART_COLOURS; /* the colours begin again */
        series->points = d.points + d.point_count;
        series->count = found->curve_count;
        for (size_t i = 0; i < found->curve_count; i++)
            d.points[d.point_count++] = (app_chart_point){ .x = found->curve[i][0], .y = found->curve[i][1] };
    }
    bool drawn = d.point_count > 0;
    if (drawn && to)
        write_chart(&d, to,
                    (app_chart){ .title = figure->title ? figure->title : "Training loss",
                                 .note = "one seed each",
                                 .x = { .title = "step" },
                                 .y = { .title = "training loss", .logarithmic = true },
                                 .width = 920 });
    free(d.points);
    return drawn;
}

static bool draw_rates(const compare_outcome *outcome, const compare_figure *figure, FILE *to)
{
    const compare_config *config = outcome->config;
    drawing d;
    if (!start(&d, figure->row_count)) return false;
    for (size_t k = 0; k < figure->row_count; k++)
        if (isfinite(compare_mean_of(outcome, figure->rows[k], METRIC_LOSS).mean))
            (void)series_named(&d, method_of(config, &config->rows[figure->rows[k]]));
    for (size_t s = 0; s < d.series_count; s++) {
        app_chart_series *series = &d.series[s];
        series->points = d.points + d.point_count;
        series->line = series->dots = true;
        for (size_t k = 0; k < figure->row_count; k++) {
            size_t row = figure->rows[k];
            compare_mean loss = compare_mean_of(outcome, row, METRIC_LOSS), rate = compare_mean_of(outcome, row, METRIC_RATE);
            if (strcmp(method_of(config, &config->rows[row]), series->name) != 0 || !isfinite(loss.mean) || !isfinite(rate.mean)) continue;
            d.points[d.point_count++] = (app_chart_point){ rate.mean, loss.mean, loss.deviation, NULL };
            series->count++;
        }
        qsort((void *)(uintptr_t)series->points, series->count, sizeof *series->points, by_x);
    }
    bool drawn = d.point_count > 0;
    if (drawn && to)
        write_chart(&d, to,
                    (app_chart){ .title = figure->title ? figure->title : "Stability over learning rates",
                                 .note = "mean of the last tenth of the log; bars: standard deviation over seeds",
                                 .x = { .title = "learning rate", .logarithmic = true },
                                 .y = { .title = "training loss at the end", .logarithmic = true },
                                 .width = 920 });
    free(d.points);
    return drawn;
}

bool compare_figure_draw(const compare_outcome *outcome, size_t i, FILE *to, const char **file, const char **caption, bool *drawn)
{
    const compare_config *config = outcome->config;
    if (i >= 2 + config->figure_count) return false;
    const compare_figure *figure = i >= 2 ? &config->figures[i - 2] : NULL;
    *file = i == 0 ? "perplexity-bits" : i == 1 ? "size-bits" : figure->file;
    *caption = i == 0 ? "Perplexity against bits" : i == 1 ? "Size and bits" : figure->title ? figure->title : figure->file;
    *drawn = i == 0                           ? draw_perplexity(outcome, to)
             : i == 1                         ? draw_size(outcome, to)
             : figure->kind == COMPARE_LOSSES ? draw_losses(outcome, figure, to)
                                              : draw_rates(outcome, figure, to);
    return true;
}

#include "compare_table.h"

#include <math.h>
#include <string.h>

#include "common/chart.h"
#include "common/json.h"
#include "common/term.h"

compare_mean compare_mean_of(const compare_outcome *outcome, size_t row, compare_metric metric)
{
    compare_mean out = { .count = 0 };
    double sum = 0, squares = 0;
    const compare_row *entry = &outcome->config->rows[row];
    const compare_result *results = outcome->results[row];
    for (int pass = 0; pass < 2; pass++) {
        for (size_t s = 0; results && s < entry->seed_count; s++) {
            double value = results[s].metric[metric];
            if (results[s].failed || !isfinite(value)) continue;
            if (pass == 0) sum += value, out.count++;
            else squares += (value - out.mean) * (value - out.mean);
        }
        if (pass == 0) out.mean = out.count ? sum / (double)out.count : NAN;
    }
    out.deviation = out.count > 1 ? sqrt(squares / (double)(out.count - 1)) : 0;
    return out;
}

size_t compare_failures(const compare_outcome *outcome, size_t row, const char **reason)
{
    size_t failures = 0;
    *reason = NULL;
    for (size_t s = 0; outcome->results[row] && s < outcome->config->rows[row].seed_count; s++) {
        const compare_result *result = &outcome->results[row][s];
        if (!result->failed) continue;
        if (failures++ == 0) *reason = result->reason;
    }
    return failures;
}

/* ---- columns ---------------------------------------------------------------------------------------------------------- */

typedef enum style { BITS, BYTES, PPL, PERCENT, NATS, FACTOR } style;

static const struct {
    compare_metric metric;
    style style;
    const char *title;
} columns[] = {
    { METRIC_BITS, BITS, "strict bits" },
    { METRIC_BYTES, BYTES, "size" },
    { METRIC_WIKITEXT2, PPL, "Wiki2" },
    { METRIC_C4, PPL, "C4" },
    { METRIC_PPL, PPL, "held out" },
    { METRIC_TASK + 0, PERCENT, "WinoGrande" },
    { METRIC_TASK + 1, PERCENT, "HellaSwag" },
    { METRIC_TASK + 2, PERCENT, "PIQA" },
    { METRIC_TASK + 3, PERCENT, "BoolQ" },
    { METRIC_TASK + 4, PERCENT, "ARC-e" },
    { METRIC_TASK + 5, PERCENT, "ARC-c" },
    { METRIC_AVERAGE, PERCENT, "Avg." },
    { METRIC_KL, NATS, "KL" },
    { METRIC_SAME, PERCENT, "same choice, %" },
    { METRIC_RATIO, FACTOR, "ppl / teacher's" },
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static bool is_asked(const compare_config *config, int column)
{
    compare_metric metric = columns[column].metric;
    if (metric == METRIC_WIKITEXT2) return config->wikitext2 != NULL;
    if (metric == METRIC_C4) return config->c4 != NULL;
    if (metric >= METRIC_TASK && metric <= METRIC_AVERAGE) return config->zeroshot != NULL;
    return true;
}

typedef struct cell {
    char text[64];
} cell;

/* Four digits that mean something, whole numbers from 1000 on, powers of ten from 100000 on. */
static void number(char *text, size_t room, double value, int digits)
{
    if (fabs(value) >= 1e5) snprintf(text, room, "%.1e", value);
    else if (fabs(value) >= 1000) snprintf(text, room, "%.0f", value);
    else if (fabs(value) >= 100 && digits > 1) snprintf(text, room, "%.1f", value);
    else snprintf(text, room, "%.*f", digits, value);
}

static cell cell_of(const compare_outcome *outcome, size_t row, int column)
{
    static const int digits[] = { [BITS] = 3, [PPL] = 2, [PERCENT] = 2, [NATS] = 3, [FACTOR] = 3 };
    cell out = { "" };
    compare_mean mean = compare_mean_of(outcome, row, columns[column].metric);
    if (!isfinite(mean.mean)) {
        snprintf(out.text, sizeof out.text, "–");
    } else if (columns[column].style == BYTES) {
        snprintf(out.text, sizeof out.text, "%s", app_bytes((uint64_t)mean.mean).text);
    } else {
        char middle[24], around[24];
        number(middle, sizeof middle, mean.mean, digits[columns[column].style]);
        number(around, sizeof around, mean.deviation, digits[columns[column].style]);
        bool has_seeds = mean.count > 1 && columns[column].style != BITS;
        snprintf(out.text, sizeof out.text, has_seeds ? "%s ± %s" : "%s", middle, around);
    }
    return out;
}

static void put_nominal(FILE *file, const compare_outcome *outcome, size_t row)
{
    double bits = compare_nominal_bits(outcome->config, &outcome->config->rows[row]);
    if (isfinite(bits)) fprintf(file, "%g", bits);
    else fputs("–", file);
}

/* ---- Markdown and HTML --------------------------------------------------------------------------------------------------- */

/* In a cell: no bar, no line break. */
static void put_markdown(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (*text == '|') fputs("\\|", file);
        else fputc((unsigned char)*text < ' ' ? ' ' : *text, file);
    }
}

static void put_name(FILE *file, const char *name, bool html)
{
    if (html) app_put_escaped(file, name);
    else put_markdown(file, name);
}

static void put_seeds(FILE *file, const compare_row *row)
{
    fprintf(file, "%s", row->seed_count > 1 ? "seeds" : "seed");
    for (size_t s = 0; s < row->seed_count; s++) fprintf(file, "%s %llu", s ? "," : "", (unsigned long long)row->seeds[s]);
}

/* Below the table of the rows that are shown, or of those that are not: seeds that failed, of several (a row of one says so itself), and
 * trainings that diverged and went back. */
static void put_notes(FILE *file, const compare_outcome *outcome, bool shown, bool html)
{
    for (size_t i = 0; i < outcome->config->row_count; i++) {
        const compare_row *row = &outcome->config->rows[i];
        for (size_t s = 0; row->shown == shown && outcome->results[i] && s < row->seed_count; s++) {
            const compare_result *result = &outcome->results[i][s];
            bool failed = result->failed && row->seed_count > 1;
            if (!failed && result->roll_backs == 0) continue;
            fputs(html ? "<p class=\"failed\">" : "\n", file);
            put_name(file, row->name, html);
            fprintf(file, ", seed %llu: ", (unsigned long long)row->seeds[s]);
            if (result->roll_backs > 0)
                fprintf(file, "the training diverged; times that it went back to a checkpoint: %llu",
                        (unsigned long long)result->roll_backs);
            if (failed) fputs(result->roll_backs > 0 ? "; failed: " : "failed: ", file);
            if (failed) put_name(file, result->reason, html);
            fputs(html ? "</p>\n" : "\n", file);
        }
    }
}

static void put_table(FILE *file, const compare_outcome *outcome, bool html)
{
    const compare_config *config = outcome->config;
    fputs(html ? "<div class=\"wide\"><table>\n<tr><th>method</th><th>bits</th>" : "| method | bits |", file);
    for (int c = 0; c < COLUMNS; c++)
        if (is_asked(config, c)) fprintf(file, html ? "<th>%s</th>" : " %s |", columns[c].title);
    fputs(html ? "</tr>\n" : "\n|---|---:|", file);
    for (int c = 0; c < COLUMNS && !html; c++)
        if (is_asked(config, c)) fputs("---:|", file);
    if (!html) fputc('\n', file);
    for (size_t i = 0; i < config->row_count; i++) {
        const compare_row *row = &config->rows[i];
        if (!row->shown) continue;
        const char *reason;
        bool failed = compare_failures(outcome, i, &reason) == row->seed_count;
        fputs(html ? "<tr><td>" : "| ", file);
        put_name(file, row->name, html);
        fputs(html ? "</td><td>" : " | ", file);
        put_nominal(file, outcome, i);
        fputs(html ? "</td>" : " |", file);
        int asked = 0;
        for (int c = 0; c < COLUMNS; c++) asked += is_asked(config, c);
        if (failed && html) fprintf(file, "<td class=\"failed\" colspan=\"%d\">", asked);
        if (failed) {
            fputs(html ? "failed: " : " failed: ", file);
            put_name(file, reason, html);
            fputs(html ? "</td>" : " |", file);
            for (int c = 1; c < asked && !html; c++) fputs(" |", file);
        }
        for (int c = 0; c < COLUMNS && !failed; c++)
            if (is_asked(config, c)) fprintf(file, html ? "<td>%s</td>" : " %s |", cell_of(outcome, i, c).text);
        fputs(html ? "</tr>\n" : "\n", file);
    }
    if (html) fputs("</table></div>\n", file);
    put_notes(file, outcome, true, html);
}

void compare_table_markdown(FILE *file, const compare_outcome *outcome) { put_table(file, outcome, false); }
void compare_table_html(FILE *file, const compare_outcome *outcome) { put_table(file, outcome, true); }

void compare_table_runs(FILE *file, const compare_outcome *outcome, bool html)
{
    const compare_config *config = outcome->config;
    bool any = false;
    for (size_t i = 0; i < config->row_count; i++) {
        const compare_row *row = &config->rows[i];
        if (row->shown) continue;
        if (!any)
            fputs(html
                      ? "<table>\n<tr><th>run</th><th>seeds</th><th>learning rate</th><th>last loss</th><th>held out</th><th>KL</th></tr>\n"
                      : "| run | seeds | learning rate | last loss | held out | KL |\n|---|---|---:|---:|---:|---:|\n",
                  file);
        any = true;
        const char *reason;
        bool failed = compare_failures(outcome, i, &reason) == row->seed_count;
        fputs(html ? "<tr><td>" : "| ", file);
        put_name(file, row->name, html);
        fputs(html ? "</td><td>" : " | ", file);
        put_seeds(file, row);
        if (failed) {
            fputs(html ? "</td><td class=\"failed\" colspan=\"4\">failed: " : " | failed: ", file);
            put_name(file, reason, html);
            fputs(html ? "</td></tr>\n" : " | | | |\n", file);
            continue;
        }
        static const compare_metric shown[] = { METRIC_RATE, METRIC_LOSS, METRIC_PPL, METRIC_KL };
        for (size_t k = 0; k < sizeof shown / sizeof *shown; k++) {
            double mean = compare_mean_of(outcome, i, shown[k]).mean;
            fputs(html ? "</td><td>" : " | ", file);
            if (isfinite(mean)) fprintf(file, "%.4g", mean);
            else fputs("–", file);
        }
        fputs(html ? "</td></tr>\n" : " |\n", file);
    }
    if (any && html) fputs("</table>\n", file);
    put_notes(file, outcome, false, html);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------------------- */

void compare_table_json(const compare_outcome *outcome)
{
    const compare_config *config = outcome->config;
    app_json json = { .file = stdout };
    app_json_open(&json, NULL, '{');
    app_json_text(&json, "program", "onebit-eval-vk compare");
    app_json_text(&json, "version", ob_version());
    app_json_text(&json, "config", config->path);
    app_json_text(&json, "device", outcome->device.name);
    app_json_text(&json, "driver", outcome->device.driver);
    app_json_open(&json, "rows", '[');
    for (size_t i = 0; i < config->row_count; i++) {
        const compare_row *row = &config->rows[i];
        app_json_open(&json, NULL, '{');
        app_json_text(&json, "name", row->name);
        app_json_text(&json, "kind", compare_kind_names[row->kind]);
        app_json_number(&json, "bits", compare_nominal_bits(config, row));
        app_json_bool(&json, "table", row->shown);
        app_json_open(&json, "seeds", '[');
        for (size_t s = 0; outcome->results[i] && s < row->seed_count; s++) {
            const compare_result *result = &outcome->results[i][s];
            app_json_open(&json, NULL, '{');
            app_json_count(&json, "seed", row->seeds[s]);
            app_json_bool(&json, "failed", result->failed);
            if (result->failed) app_json_text(&json, "reason", result->reason);
            if (row->kind == COMPARE_TRAIN) app_json_count(&json, "roll_backs", result->roll_backs);
            for (int m = 0; m < METRICS; m++)
                if (isfinite(result->metric[m])) app_json_number(&json, compare_metric_names[m], result->metric[m]);
            app_json_close(&json);
        }
        app_json_close(&json);
        app_json_close(&json);
    }
    app_json_close(&json);
    app_json_close(&json);
}

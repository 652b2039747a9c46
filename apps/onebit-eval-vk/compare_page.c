#include "compare_page.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/args.h"
#include "common/chart.h"
#include "common/term.h"
#include "common/text_file.h"
#include "common/whole_file.h"
#include "compare_figures.h"
#include "compare_key.h"
#include "protocol.h"

static const char style[] =
    ":root{color-scheme:light dark;--ink:#24292f;--dim:#5f6b76;--ground:#fff;--line:#d8dde2;--soft:#f5f7f9;--bad:#b42318}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e2e6ea;--dim:#9aa4ae;--ground:#0f1215;--line:#2b3138;--soft:#181c21;--bad:#ff8a7a}}\n"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground);max-width:1560px;margin:2rem auto;padding:0 "
    "1.2rem}\n"
    "h1{font-size:1.6rem;margin:0 0 .3rem}h2{font-size:1.2rem;margin:2.2rem 0 .7rem}p.dim,figcaption{color:var(--dim)}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13.5px}\n"
    "th,td{padding:.34rem .5rem;border-bottom:1px solid "
    "var(--line);text-align:right;white-space:nowrap}th{color:var(--dim);font-weight:600}\n"
    "th:first-child,td:first-child{text-align:left}tr:hover "
    "td{background:var(--soft)}.failed{color:var(--bad);text-align:left;white-space:normal}\n"
    "td.text{text-align:left;white-space:normal}figure{margin:0 0 1.6rem}figure svg{max-width:100%;height:auto;border:1px solid "
    "var(--line);border-radius:6px}\n"
    "pre{background:var(--soft);padding:.9rem;border-radius:6px;overflow-x:auto;font-size:12.5px}\n";

/* ---- pieces ------------------------------------------------------------------------------------------------------- */

static const char *title_of(const compare_config *config) { return config->title ? config->title : "Comparison of methods"; }

static const char *today(void)
{
    static char text[32];
    time_t now = time(NULL);
    struct tm parts;
    const struct tm *known = gmtime(&now);
    if (known) parts = *known;
    if (!known || strftime(text, sizeof text, "%Y-%m-%d", &parts) == 0) return "an unknown day";
    return text;
}

static int processors(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

/* What it ran on. */
static void put_machine(FILE *file, const ob_device_info *device)
{
    app_put_escaped(file, device->name);
    fprintf(file, ", tier %c, ", device->tier);
    app_put_escaped(file, device->driver);
    fprintf(file, "; %d processors; onebit %s; %s", processors(), ob_version(), today());
}

/* Text in a cell of either kind of table. */
static void put_cell(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (*text == '|') fputs("&#124;", file);
        else app_put_escaped(file, (char[2]){ *text, 0 });
    }
}

static void put_settings(FILE *file, const compare_config *config, const compare_row *row)
{
    fputs(compare_kind_names[row->kind], file);
    for (size_t i = 0; i < row->keys.count; i++) {
        fprintf(file, ", %s ", row->keys.pairs[i].key);
        put_cell(file, row->keys.pairs[i].value);
    }
    if (row->kind != COMPARE_TRAIN) return;
    for (size_t i = 0; i < config->train.count; i++) {
        if (compare_keys_get(&row->keys, config->train.pairs[i].key)) continue;
        fprintf(file, ", %s ", config->train.pairs[i].key);
        put_cell(file, config->train.pairs[i].value);
    }
}

/* Files that all rows share, and what is in them as a number. */
static void put_input(FILE *file, const char *what, const char *path, uint64_t content, bool html)
{
    if (!path) return;
    fprintf(file, html ? "<tr><td>%s</td><td class=\"text\">" : "| %s | ", what);
    put_cell(file, path);
    fprintf(file, html ? "</td><td>%016llx</td></tr>\n" : " | `%016llx` |\n", (unsigned long long)content);
}

static void put_share(FILE *file, const char *what, uint64_t count, const char *of)
{
    if (count) fprintf(file, "%s: the first %llu %s", what, (unsigned long long)count, of);
    else fprintf(file, "%s: all %s", what, of);
}

/* How much of each input was used. */
static void put_measured(FILE *file, const compare_outcome *outcome)
{
    const compare_config *config = outcome->config;
    put_share(file, "Held-out text", config->bytes, "bytes");
    fprintf(file, ", in windows of %zu tokens.", outcome->window);
    if (config->wikitext2 || config->c4)
        fprintf(file, " %s: windows of %zu tokens%s.",
                !config->c4          ? "WikiText-2"
                : !config->wikitext2 ? "C4"
                                     : "WikiText-2 and C4",
                outcome->protocol_window, outcome->protocol_window == EVAL_PROTOCOL_WINDOW ? "" : ", where published numbers have 2048");
    if (config->zeroshot) put_share(file, " Zero-shot tasks", config->zeroshot_items, "items of each.");
    if (config->calibration) put_share(file, " Calibration", config->calibration_bytes, "bytes.");
    fputc('\n', file);
}

static void put_inputs(FILE *file, const compare_outcome *outcome, bool html)
{
    const compare_config *config = outcome->config;
    const struct {
        const char *what, *path;
    } files[] = { { "model", config->model },
                  { "tokenizer", config->tokenizer },
                  { "held-out text", config->text },
                  { "WikiText-2", config->wikitext2 },
                  { "C4", config->c4 },
                  { "calibration", config->calibration },
                  { "training text", compare_keys_get(&config->train, "dataset") } };
    fputs(html ? "<table>\n<tr><th>input</th><th></th><th>XXH3 of its content</th></tr>\n"
               : "| input | | XXH3 of its content |\n|---|---|---|\n",
          file);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        put_input(file, files[i].what, files[i].path, compare_key_of_path(files[i].path), html);
    put_input(file, "zero-shot tasks", config->zeroshot, compare_key_of_tasks(config->zeroshot), html);
    fputs(html ? "</table>\n<p class=\"dim\">" : "\n", file);
    put_measured(file, outcome);
    if (html) fputs("</p>\n", file);
}

static void put_seed_table(FILE *file, const compare_outcome *outcome)
{
    const compare_config *config = outcome->config;
    static const struct {
        compare_metric metric;
        const char *title, *format;
    } shown[] = { { METRIC_BITS, "strict bits", "%.4f" },
                  { METRIC_MODEL_BITS, "bits a parameter", "%.3f" },
                  { METRIC_BYTES, "tensor bytes", "%.0f" },
                  { METRIC_FILE_BYTES, "file bytes", "%.0f" },
                  { METRIC_PPL, "held out", "%.4f" },
                  { METRIC_BITS_PER_BYTE, "bits a byte", "%.4f" },
                  { METRIC_KL, "KL", "%.4f" },
                  { METRIC_SAME, "same choice, %", "%.2f" },
                  { METRIC_AVERAGE, "zero-shot", "%.2f" },
                  { METRIC_LOSS, "training loss", "%.4f" },
                  { METRIC_SECONDS, "seconds", "%.1f" } };
    enum { SHOWN = sizeof shown / sizeof *shown };
    fputs("<div class=\"wide\"><table>\n<tr><th>row</th><th>seed</th>", file);
    for (int c = 0; c < SHOWN; c++) fprintf(file, "<th>%s</th>", shown[c].title);
    fputs("</tr>\n", file);
    for (size_t i = 0; i < config->row_count; i++)
        for (size_t s = 0; outcome->results[i] && s < config->rows[i].seed_count; s++) {
            const compare_result *result = &outcome->results[i][s];
            fputs("<tr><td>", file);
            app_put_escaped(file, config->rows[i].name);
            if (config->rows[i].kind == COMPARE_TRAIN) fprintf(file, "</td><td>%llu</td>", (unsigned long long)config->rows[i].seeds[s]);
            else fputs("</td><td>–</td>", file);
            if (result->failed) {
                fprintf(file, "<td class=\"failed\" colspan=\"%d\">failed: ", SHOWN);
                app_put_escaped(file, result->reason);
                fputs("</td>", file);
            }
            for (int c = 0; c < SHOWN && !result->failed; c++) {
                double value = result->metric[shown[c].metric];
                fputs("<td>", file);
                if (isfinite(value)) fprintf(file, shown[c].format, value);
                else fputs("–", file);
                fputs("</td>", file);
            }
            fputs("</tr>\n", file);
        }
    fputs("</table></div>\n", file);
}

/* ---- the HTML page ------------------------------------------------------------------------------------------------- */

static void put_figures(FILE *file, const compare_outcome *outcome)
{
    const char *name, *caption;
    bool drawn;
    for (size_t i = 0; compare_figure_draw(outcome, i, NULL, &name, &caption, &drawn); i++) {
        if (!drawn) continue;
        fputs("<figure>\n", file);
        (void)compare_figure_draw(outcome, i, file, &name, &caption, &drawn);
        fputs("<figcaption>", file);
        app_put_escaped(file, caption);
        fputs("</figcaption></figure>\n", file);
    }
}

static void put_page(FILE *file, const compare_outcome *outcome)
{
    const compare_config *config = outcome->config;
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
          "content=\"width=device-width\">\n<title>",
          file);
    app_put_escaped(file, title_of(config));
    fprintf(file, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>", style);
    app_put_escaped(file, title_of(config));
    fputs("</h1>\n<p class=\"dim\">", file);
    app_put_escaped(file, config->model);
    fputs(" on ", file);
    put_machine(file, &outcome->device);
    fputs("</p>\n", file);
    fputs("<h2>All rows</h2>\n", file);
    compare_table_html(file, outcome);
    fputs("<p class=\"dim\">bits: by name; strict: every scale and zero point counted. size: tensors by the method's own form. Wiki2, C4, "
          "held out: "
          "perplexity. Tasks: percent, acc_norm or acc as the paper reports. KL: nats a token to the model itself, on the held-out text; "
          "same choice: "
          "tokens at which both have the same likeliest one. Trained rows: mean ± standard deviation over their seeds.</p>\n",
          file);
    fputs("<h2>Figures</h2>\n", file);
    put_figures(file, outcome);
    compare_table_runs(file, outcome, true);
    fputs("<h2>Every run</h2>\n", file);
    put_seed_table(file, outcome);
    fputs("<h2>Settings</h2>\n<table>\n<tr><th>row</th><th class=\"text\">settings</th></tr>\n", file);
    for (size_t i = 0; i < config->row_count; i++) {
        fputs("<tr><td>", file);
        app_put_escaped(file, config->rows[i].name);
        fputs("</td><td class=\"text\">", file);
        put_settings(file, config, &config->rows[i]);
        fputs("</td></tr>\n", file);
    }
    fputs("</table>\n<h2>Inputs</h2>\n", file);
    put_inputs(file, outcome, true);
    fputs("<h2>The configuration</h2>\n<pre>", file);
    for (size_t i = 0; i < config->source_bytes; i++) {
        char c = config->source[i];
        if (c == '\n' || c == '\t') fputc(c, file);
        else app_put_escaped(file, (char[2]){ c, 0 });
    }
    fputs("</pre>\n</body>\n</html>\n", file);
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

static int end(app_whole_file *file, bool opened)
{
    if (opened && app_whole_file_commit(file)) return 0;
    return app_refuse(1, "cannot write %s: %s", file->path, strerror(errno));
}

static int write_with(const char *path, void (*put)(FILE *, const compare_outcome *), const compare_outcome *outcome)
{
    app_whole_file file;
    bool opened = app_whole_file_open(&file, path);
    if (opened) put(file.file, outcome);
    return end(&file, opened);
}

/* PREFIXNAME.svg of all; what cannot be drawn any more is taken away. */
static int write_figures(const compare_outcome *outcome, const char *prefix)
{
    const char *name, *caption;
    bool drawn;
    for (size_t i = 0; compare_figure_draw(outcome, i, NULL, &name, &caption, &drawn); i++) {
        char path[1200];
        snprintf(path, sizeof path, "%s%s.svg", prefix, name);
        if (!drawn) {
            unlink(path);
            continue;
        }
        app_whole_file file;
        bool opened = app_whole_file_open(&file, path);
        if (opened) (void)compare_figure_draw(outcome, i, file.file, &name, &caption, &drawn);
        int code = end(&file, opened);
        if (code != 0) return code;
    }
    return 0;
}

int compare_page_write(const compare_outcome *outcome)
{
    char path[1200];
    const char *directory = outcome->config->output_dir;
    snprintf(path, sizeof path, "%s/table.md", directory);
    int code = write_with(path, compare_table_markdown, outcome);
    snprintf(path, sizeof path, "%s/report.html", directory);
    if (code == 0) code = write_with(path, put_page, outcome);
    snprintf(path, sizeof path, "%s/", directory);
    if (code == 0) code = write_figures(outcome, path);
    if (code == 0 && outcome->config->document) code = compare_document_write(outcome, outcome->config->document);
    return code;
}

/* ---- the Markdown document -------------------------------------------------------------------------------------------- */

static void put_document(FILE *file, const compare_outcome *outcome, const char *stem)
{
    const compare_config *config = outcome->config;
    fprintf(file, "`onebit-eval-vk compare %s` on ", config->path);
    put_machine(file, &outcome->device);
    fputs("\n\n", file);
    compare_table_markdown(file, outcome);
    const char *name, *caption;
    bool drawn;
    for (size_t i = 0; compare_figure_draw(outcome, i, NULL, &name, &caption, &drawn); i++)
        if (drawn) fprintf(file, "\n![%s](%s-%s.svg)\n", caption, stem, name);
    fputc('\n', file);
    compare_table_runs(file, outcome, false);
    fputs("\n| row | settings |\n|---|---|\n", file);
    for (size_t i = 0; i < config->row_count; i++) {
        fputs("| ", file);
        put_cell(file, config->rows[i].name);
        fputs(" | ", file);
        put_settings(file, config, &config->rows[i]);
        if (config->rows[i].kind == COMPARE_TRAIN) {
            fputs(", seeds", file);
            for (size_t s = 0; s < config->rows[i].seed_count; s++) fprintf(file, " %llu", (unsigned long long)config->rows[i].seeds[s]);
        }
        fputs(" |\n", file);
    }
    fputc('\n', file);
    put_inputs(file, outcome, false);
}

int compare_document_write(const compare_outcome *outcome, const char *path)
{
    char *text = NULL, prefix[1100];
    const char *begin = NULL, *after = "\n";
    size_t bytes = 0;
    if (access(path, F_OK) == 0) {
        int code = app_read_text(path, UINT64_MAX, &text, &bytes);
        if (code != APP_GO_ON) return code;
        begin = strstr(text, COMPARE_BEGIN);
        after = begin ? strstr(begin, COMPARE_END) : NULL;
        if (!after) {
            free(text);
            return app_refuse(1, "%s has no lines %s and %s, between which the comparison would stand", path, COMPARE_BEGIN, COMPARE_END);
        }
        after += strlen(COMPARE_END);
    }
    size_t length = strlen(path);
    if (length > 3 && strcmp(path + length - 3, ".md") == 0) length -= 3;
    snprintf(prefix, sizeof prefix, "%.*s", (int)(length < 1000 ? length : 1000), path);
    const char *stem = strrchr(prefix, '/') ? strrchr(prefix, '/') + 1 : prefix;
    app_whole_file file;
    bool opened = app_whole_file_open(&file, path);
    if (opened) {
        if (begin) fwrite(text, 1, (size_t)(begin - text), file.file);
        else fprintf(file.file, "# %s\n\n", title_of(outcome->config));
        fputs(COMPARE_BEGIN "\n", file.file);
        put_document(file.file, outcome, stem);
        fprintf(file.file, "%s%s", COMPARE_END, after);
    }
    int code = end(&file, opened);
    free(text);
    if (code != 0) return code;
    strncat(prefix, "-", sizeof prefix - strlen(prefix) - 1);
    return write_figures(outcome, prefix);
}

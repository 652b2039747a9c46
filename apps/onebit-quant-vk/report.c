#include "report.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/term.h"

static double ratio(uint64_t before, uint64_t after) { return after ? (double)before / (double)after : 0; }

static bool by_svid(const ob_quantize_report *report) { return strcmp(report->method, "svid") == 0; }

static bool calibrated(const ob_quantize_report *report) { return report->layer_count > 0 && !isnan(report->layers[0].output_error); }

static int name_width(const ob_quantize_report *report)
{
    size_t width = strlen("all linear layers");
    for (uint32_t i = 0; i < report->layer_count; i++) {
        size_t length = strlen(report->layers[i].name);
        if (length > width) width = length;
    }
    return (int)width;
}

/* Of the methods that have one form of the weight only. */
static void print_errors(const ob_quantize_report *report)
{
    int column = name_width(report);
    bool outputs = calibrated(report);
    printf("Relative errors of each linear layer\n\n");
    printf("%-*s  %15s  %8s%s  %11s\n", column, "layer", "rows x columns", "weight", outputs ? "    output" : "", "bits/weight");
    for (uint32_t i = 0; i < report->layer_count; i++) {
        const ob_quantize_row *row = &report->layers[i];
        char shape[32];
        snprintf(shape, sizeof shape, "%u x %u", row->rows, row->columns);
        double weights = (double)row->rows * (double)row->columns;
        printf("%-*s  %15s  %8.4f", column, row->name, shape, row->error);
        if (outputs) printf("  %8.4f", row->output_error);
        printf("  %11.4f\n", weights > 0 ? row->bits / weights : 0.0);
    }
    printf("%-*s  %15s  %8.4f%s  %11.4f\n\n", column, "all linear layers", "", report->error, outputs ? "          " : "",
           report->linear_bits);
    printf("weight  ||W - W'||^2 / ||W||^2\n");
    if (outputs) printf("output  ||X (W - W')^T||^2 / ||X W^T||^2 for the inputs X that the calibration text gives\n");
    printf("\n");
}

static void print_layers(const ob_quantize_report *report)
{
    int column = name_width(report);
    printf("Relative errors ||W - W'||^2 / ||W||^2 of each linear layer\n\n");
    printf("%-*s  %15s  %8s  %8s  %8s  %11s\n", column, "layer", "rows x columns", "SVID", "rank-1", "XNOR", "bits/weight");
    for (uint32_t i = 0; i < report->layer_count; i++) {
        const ob_quantize_row *row = &report->layers[i];
        char shape[32];
        snprintf(shape, sizeof shape, "%u x %u", row->rows, row->columns);
        double weights = (double)row->rows * (double)row->columns;
        printf("%-*s  %15s  %8.4f  %8.4f  %8.4f  %11.4f\n", column, row->name, shape, row->error_svid, row->error_rank1, row->error_xnor,
               weights > 0 ? row->bits / weights : 0.0);
    }
    printf("%-*s  %15s  %8.4f  %8.4f  %8.4f  %11.4f\n\n", column, "all linear layers", "", report->error_svid, report->error_rank1,
           report->error_xnor, report->linear_bits);
    printf("SVID    sign(W) with a value for each row and column, as written\n"
           "rank-1  the best single row and column vector without the signs\n"
           "XNOR    sign(W) with the row means of |W|\n\n");
}

void report_print(const ob_quantize_report *report, const report_names *names)
{
    if (by_svid(report)) print_layers(report);
    else if (report->layer_count > 0) print_errors(report);
    printf("model          %s (%s) -> %s (%s)\n", names->input, report->format, names->output, names->form);
    if (report->layer_count > 0 && !by_svid(report)) {
        printf("method         %s, %u bit%s", report->method, report->bits, report->bits == 1 ? "" : "s");
        if (report->group > 0) printf(", groups of %u columns, written as F16 numbers", report->group);
        printf("\n");
    }
    printf("parameters     %s\n", app_count(report->parameters).text);
    if (report->layer_count > 0) printf("linear layers  %.4f bits per weight, scales included\n", report->linear_bits);
    printf("whole model    %.4f bits per weight, embedding, head and norms included\n", report->model_bits);
    printf("as it came     %s\n", app_bytes(report->source_bytes).text);
    printf("as FP16        %s\n", app_bytes(report->fp16_bytes).text);
    printf("as written     %s (the file has %s, tokenizer included)\n", app_bytes(report->tensor_bytes).text,
           app_bytes(report->file_bytes).text);
    double times = ratio(report->fp16_bytes, report->tensor_bytes);
    printf("compression    %.2f times against FP16", times);
    if (times > 0) printf(": %.1f %% %s", 100 * (times >= 1 ? 1 - 1 / times : 1 / times - 1), times >= 1 ? "smaller" : "larger");
    printf("\ntime           %s\n", app_duration(report->seconds).text);
}

void report_print_json(const ob_quantize_report *report, const report_names *names)
{
    app_json json = { .file = stdout };
    app_json_open(&json, NULL, '{');
    app_json_text(&json, "program", "onebit-quant-vk");
    app_json_text(&json, "version", ob_version());
    app_json_text(&json, "input", names->input);
    app_json_text(&json, "input_format", report->format);
    app_json_text(&json, "output", names->output);
    app_json_text(&json, "form", names->form);
    if (report->layer_count > 0) {
        app_json_text(&json, "method", report->method);
        app_json_count(&json, "bits", report->bits);
        app_json_count(&json, "group", report->group);
    }
    app_json_open(&json, "layers", '[');
    for (uint32_t i = 0; i < report->layer_count; i++) {
        const ob_quantize_row *row = &report->layers[i];
        double weights = (double)row->rows * (double)row->columns;
        app_json_open(&json, NULL, '{');
        app_json_text(&json, "name", row->name);
        app_json_count(&json, "rows", row->rows);
        app_json_count(&json, "columns", row->columns);
        app_json_number(&json, "error", row->error);
        if (!isnan(row->output_error)) app_json_number(&json, "output_error", row->output_error);
        if (by_svid(report)) {
            app_json_number(&json, "error_svid", row->error_svid);
            app_json_number(&json, "error_rank1", row->error_rank1);
            app_json_number(&json, "error_xnor", row->error_xnor);
        }
        app_json_number(&json, "norm2", row->norm2);
        app_json_number(&json, "bits_per_weight", weights > 0 ? row->bits / weights : 0);
        app_json_close(&json);
    }
    app_json_close(&json);
    if (report->layer_count > 0) app_json_number(&json, "error", report->error);
    if (by_svid(report)) {
        app_json_number(&json, "error_svid", report->error_svid);
        app_json_number(&json, "error_rank1", report->error_rank1);
        app_json_number(&json, "error_xnor", report->error_xnor);
    }
    app_json_number(&json, "linear_bits_per_weight", report->linear_bits);
    app_json_number(&json, "model_bits_per_weight", report->model_bits);
    app_json_count(&json, "parameters", report->parameters);
    app_json_count(&json, "source_bytes", report->source_bytes);
    app_json_count(&json, "fp16_bytes", report->fp16_bytes);
    app_json_count(&json, "tensor_bytes", report->tensor_bytes);
    app_json_count(&json, "file_bytes", report->file_bytes);
    app_json_number(&json, "compression_against_fp16", ratio(report->fp16_bytes, report->tensor_bytes));
    app_json_number(&json, "seconds", report->seconds);
    app_json_close(&json);
}

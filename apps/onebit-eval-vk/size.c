#include "size.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/args.h"
#include "common/json.h"
#include "common/model.h"
#include "common/term.h"

#define SHAPES_MAX 32

static const char examples[] =
    "  onebit-eval-vk size -m story.gguf\n"
    "      of a file: what its linear layers take for a weight, and the rest\n"
    "  onebit-eval-vk size --shape llama-7b,llama-13b,llama-30b,llama-65b\n"
    "      by the formula, OneBit: the paper's 1.339, 2.250, 4.882 and 9.171 GB\n"
    "  onebit-eval-vk size --shape 4096x4096\n"
    "      one matrix: 1.0078 bits for a weight, 1.0073 as the paper averages\n"
    "  onebit-eval-vk size --shape llama-7b --bits 2 --group 64\n"
    "      a uniform form: 2 bits, and a scale and a zero point for every 64 weights\n\n"
    "bits/linear is strict: every scale counts, 16 bits each. paper's is the average of the OneBit paper, over weights and values "
    "together.\n"
    "bits/param counts all tensors, embedding and head in 16 bits. smaller is 1 - bytes / FP16 bytes. GB are 10^9 bytes.\n\n"
    "Shapes: ";

typedef struct size_options {
    app_common common;
    const char *model, *shapes;
    eval_form form;
    bool json;
} size_options;

static int parse(size_options *o, int argc, char **argv)
{
    static char text[sizeof examples + 1024];
    *o = (size_options){ 0 };
    size_t used = (size_t)snprintf(text, sizeof text, "%s", examples), line = 8;
    for (int i = 0; eval_shape_name(i); i++) {
        bool breaks = line + strlen(eval_shape_name(i)) > 110;
        int more = snprintf(text + used, sizeof text - used, "%s%s%s", i ? "," : "", i ? breaks ? "\n" : " " : "", eval_shape_name(i));
        line = breaks ? strlen(eval_shape_name(i)) : line + (size_t)more;
        used += (size_t)more;
    }
    snprintf(text + used, sizeof text - used, "\nor ROWSxCOLUMNS.\n");
    const app_option options[] = {
        APP_ROW_HEADING("What"),
        APP_ROW_TEXT('m', "model", "FILE", "a GGUF file; only what stands before its weights is read", &o->model),
        APP_ROW_TEXT(0, "shape", "LIST",
                     "published shapes, with commas between, by the formula; all: every\none that is known. With -m: one, which the file "
                     "is compared with",
                     &o->shapes),
        APP_ROW_HEADING("The form of a shape's linear layers (default: OneBit)"),
        APP_ROW_INTEGER(0, "bits", "N", "uniform codes of N bits, with a scale of 16 and a zero point of N\nbits for each row",
                        &o->form.bits, 1, 16),
        APP_ROW_INTEGER(0, "group", "N", "for every N weights of a row instead", &o->form.group, 1, 1 << 20),
        APP_ROW_HEADING("Output"),
        APP_ROW_FLAG(0, "json", "print the result as JSON", &o->json),
        APP_OTHER_ROWS(o->common),
    };
    const app_program program = {
        .name = "onebit-eval-vk size",
        .purpose = "counts bits and bytes of a model, strictly; it needs no device.",
        .usage = "-m MODEL.gguf | --shape LIST [options]",
        .options = options,
        .common = &o->common,
        .examples = text,
    };
    int outcome = app_parse(&program, argc, argv, NULL);
    if (outcome != APP_GO_ON) return outcome;
    if (!o->model && !o->shapes) return app_usage_error("say of what: -m names a GGUF file, --shape a published shape like llama-7b");
    if (o->form.group && !o->form.bits) return app_usage_error("--group is of a uniform form; give --bits, too");
    if (o->form.bits && !o->shapes) return app_usage_error("--bits is the form of a --shape; a file has its own");
    return APP_GO_ON;
}

/* ---- the formula ----------------------------------------------------------------------------------------------------- */

void eval_size_of_shape(const eval_shape *shape, const eval_form *form, ob_model_size *size)
{
    memset(size, 0, sizeof *size);
    snprintf(size->architecture, sizeof size->architecture, "%.31s", shape->name);
    for (int i = 0; i < EVAL_MATRICES; i++) {
        const eval_matrix *x = &shape->matrix[i];
        uint64_t copies = x->count * shape->layers, weights = x->rows * x->columns;
        size->linear_weights += copies * weights;
        if (form->bits == 0) {
            size->linear_values += copies * (x->rows + x->columns);
            size->stored_bits += (double)copies * (double)(weights + 16 * (x->rows + x->columns));
        } else {
            uint64_t group = form->group ? (uint64_t)form->group : x->columns,
                     groups = x->columns ? x->rows * ((x->columns + group - 1) / group) : 0;
            size->linear_values += copies * 2 * groups;
            size->stored_bits += (double)copies * ((double)form->bits * (double)weights + (double)(16 + form->bits) * (double)groups);
        }
    }
    snprintf(size->method, sizeof size->method, form->bits ? form->group ? "uniform %d bit, groups of %d" : "uniform %d bit" : "onebit",
             (int)form->bits, (int)form->group);
    size->planes = form->bits ? 0 : 1;
    size->linear_bits = size->stored_bits / (double)size->linear_weights;
    size->paper_bits = size->stored_bits / (double)(size->linear_weights + size->linear_values);
    size->parameters = size->linear_weights + shape->tables + shape->others;
    size->table_bytes = 2 * shape->tables;
    size->tensor_bytes = (uint64_t)(size->stored_bits / 8 + 0.5) + 2 * (shape->tables + shape->others);
    size->fp16_bytes = 2 * size->parameters;
}

double eval_size_saved(const ob_model_size *size) { return 100 * (1 - (double)size->tensor_bytes / (double)size->fp16_bytes); }

static double bits_per_parameter(const ob_model_size *size) { return 8.0 * (double)size->tensor_bytes / (double)size->parameters; }

/* ---- output ------------------------------------------------------------------------------------------------------------ */

/* Of the tensors, were the linear layers stored as their method counts them. */
static uint64_t own_bytes(const ob_model_size *s)
{
    double linear = s->linear_bits * (double)s->linear_weights;
    return (uint64_t)((double)s->tensor_bytes + (linear - s->stored_bits) / 8 + 0.5);
}

static bool is_stored_otherwise(const ob_model_size *s) { return fabs(s->stored_bits / (double)s->linear_weights - s->linear_bits) > 5e-5; }

static void print_file(const char *path, const ob_model_size *s)
{
    printf("file               %s: %s%s%s\n", path, s->architecture, *s->method ? ", " : "", s->method);
    printf("linear layers      %" PRIu64 " weights, %" PRIu64 " scales and other values%s\n", s->linear_weights, s->linear_values,
           s->planes ? "" : "; they are no signs");
    if (s->planes > 1) printf("sign planes        %u\n", s->planes);
    printf("bits/linear        %.4f strict, %.4f as the paper averages", s->linear_bits, s->paper_bits);
    if (is_stored_otherwise(s)) printf("; %.4f as stored here", s->stored_bits / (double)s->linear_weights);
    printf("\nbits/param         %.4f, embedding, head and norms included\n", bits_per_parameter(s));
    printf("bytes              %" PRIu64 " of tensors (embedding and head %.1f %%), the file %" PRIu64 "\n", s->tensor_bytes,
           100 * (double)s->table_bytes / (double)s->tensor_bytes, s->file_bytes);
    if (is_stored_otherwise(s))
        printf("in its own form    %" PRIu64 " bytes of tensors: %.1f %% smaller than FP16\n", own_bytes(s),
               100 * (1 - (double)own_bytes(s) / (double)s->fp16_bytes));
    printf("FP16               %" PRIu64 " bytes: %.1f %% smaller, %.2f times\n", s->fp16_bytes, eval_size_saved(s),
           (double)s->fp16_bytes / (double)s->tensor_bytes);
}

static void print_shapes(const ob_model_size *sizes, int count)
{
    printf("| shape | parameters | FP16, GB | %s, GB | bits/linear | paper's | bits/param | smaller | times | embedding + head |\n"
           "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
           sizes[0].method);
    for (int i = 0; i < count; i++) {
        const ob_model_size *s = &sizes[i];
        printf("| %s | %s | %.3f | %.3f | %.4f | %.4f | %.3f | %.1f %% | %.2f | %.0f %% |\n", s->architecture,
               app_count(s->parameters).text, 1e-9 * (double)s->fp16_bytes, 1e-9 * (double)s->tensor_bytes, s->linear_bits, s->paper_bits,
               bits_per_parameter(s), eval_size_saved(s), (double)s->fp16_bytes / (double)s->tensor_bytes,
               100 * (double)s->table_bytes / (double)s->tensor_bytes);
    }
}

static void put_size(app_json *json, const char *key, const char *name, const ob_model_size *s)
{
    app_json_open(json, key, '{');
    app_json_text(json, s->file_bytes ? "model" : "shape", name);
    if (s->file_bytes) app_json_text(json, "architecture", s->architecture);
    app_json_text(json, "method", s->method);
    app_json_count(json, "sign_planes", s->planes);
    app_json_count(json, "linear_weights", s->linear_weights);
    app_json_count(json, "linear_values", s->linear_values);
    app_json_number(json, "bits_per_linear_weight", s->linear_bits);
    app_json_number(json, "bits_per_linear_weight_stored", s->stored_bits / (double)s->linear_weights);
    app_json_number(json, "bits_as_in_the_paper", s->paper_bits);
    app_json_number(json, "bits_per_parameter", bits_per_parameter(s));
    app_json_count(json, "parameters", s->parameters);
    app_json_count(json, "embedding_and_head_bytes", s->table_bytes);
    app_json_count(json, "tensor_bytes", s->tensor_bytes);
    app_json_count(json, "tensor_bytes_in_own_form", own_bytes(s));
    if (s->file_bytes) app_json_count(json, "file_bytes", s->file_bytes);
    app_json_count(json, "fp16_bytes", s->fp16_bytes);
    app_json_number(json, "smaller_percent", eval_size_saved(s));
    app_json_number(json, "times_smaller", (double)s->fp16_bytes / (double)s->tensor_bytes);
    app_json_close(json);
}

/* ---- the command --------------------------------------------------------------------------------------------------------- */

/* Returns how many, or -1 after a usage error. */
static int read_shapes(const char *list, const eval_form *form, ob_model_size *sizes)
{
    int count = 0;
    eval_shape shape;
    if (strcmp(list, "all") == 0) {
        for (; count < SHAPES_MAX && eval_shape_name(count); count++) {
            const char *name = eval_shape_name(count);
            eval_shape_find(name, strlen(name), &shape);
            eval_size_of_shape(&shape, form, &sizes[count]);
        }
        return count;
    }
    for (const char *at = list;; at++) {
        size_t length = strcspn(at, ",");
        if (count == SHAPES_MAX || !eval_shape_find(at, length, &shape)) {
            app_usage_error("there is no shape '%.*s'; --help lists those that are known", (int)(length < 64 ? length : 64), at);
            return -1;
        }
        eval_size_of_shape(&shape, form, &sizes[count++]);
        at += length;
        if (!*at) return count;
    }
}

static double percent_off(const ob_model_size *file, const ob_model_size *shape)
{
    return 100 * ((double)file->file_bytes / (double)shape->tensor_bytes - 1);
}

int eval_size_main(int argc, char **argv)
{
    size_options o;
    ob_model_size file, sizes[SHAPES_MAX];
    int code = parse(&o, argc, argv), count = 0;
    if (code != APP_GO_ON) return code;
    if (o.shapes) count = read_shapes(o.shapes, &o.form, sizes);
    if (count < 0) return 2;
    if (o.model && count > 1) return app_usage_error("a file is compared with one --shape, not with %d", count);
    if (o.model) {
        code = app_check_model_path(o.model);
        if (code != APP_GO_ON) return code;
        ob_status status = ob_model_size_get(o.model, &file);
        if (status != OB_OK) return app_fail(status);
    }
    if (!o.json) {
        if (o.model) print_file(o.model, &file);
        if (o.model && count) printf("\n");
        if (count) print_shapes(sizes, count);
        if (o.model && count)
            printf("\nthe file has %" PRIu64 " bytes, the formula %" PRIu64 ": %+.4f %%\n", file.file_bytes, sizes[0].tensor_bytes,
                   percent_off(&file, &sizes[0]));
        return 0;
    }
    app_json json = { .file = stdout };
    app_json_open(&json, NULL, '{');
    if (o.model) put_size(&json, "file", o.model, &file);
    app_json_open(&json, "shapes", '[');
    for (int i = 0; i < count; i++) put_size(&json, NULL, sizes[i].architecture, &sizes[i]);
    app_json_close(&json);
    if (o.model && count) app_json_number(&json, "file_above_formula_percent", percent_off(&file, &sizes[0]));
    app_json_close(&json);
    return 0;
}

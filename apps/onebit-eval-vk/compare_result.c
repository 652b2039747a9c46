#include "compare_result.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/term.h"
#include "common/whole_file.h"

#define FORMAT 1 /* of the file: one of another format is made anew */
#define LOG_LINE_MAX 4096

const char *const compare_metric_names[METRICS] = {
    "linear_bits",   "model_bits", "tensor_bytes",   "file_bytes", "ppl",           "wikitext2_ppl", "c4_ppl",
    "winogrande",    "hellaswag",  "piqa",           "boolq",      "arc_easy",      "arc_challenge", "zeroshot_average",
    "bits_per_byte", "kl",         "top1_agreement", "ppl_ratio",  "training_loss", "learning_rate", "seconds"
};

void compare_result_clear(compare_result *result)
{
    memset(result, 0, sizeof *result);
    for (int i = 0; i < METRICS; i++) result->metric[i] = NAN;
}

int compare_result_write(const compare_result *result, const char *path, const char *row, uint64_t seed)
{
    json_t *curve = json_array(), *metrics = json_object();
    for (size_t i = 0; i < result->curve_count; i++)
        (void)json_array_append_new(curve, json_pack("[f, f]", result->curve[i][0], result->curve[i][1]));
    for (int i = 0; i < METRICS; i++)
        if (isfinite(result->metric[i])) (void)json_object_set_new(metrics, compare_metric_names[i], json_real(result->metric[i]));
    json_t *object = json_pack("{s:i, s:s, s:I, s:b, s:b, s:s, s:I, s:o, s:o}", "format", FORMAT, "row", row, "seed", (json_int_t)seed,
                               "failed", result->failed, "lasting", result->lasting, "reason", result->reason, "roll_backs",
                               (json_int_t)result->roll_backs, "metrics", metrics, "curve", curve);
    if (!object) return app_refuse(4, "there is not enough memory for %s", path);
    app_whole_file file;
    bool written = app_whole_file_open(&file, path);
    if (written) {
        written = json_dumpf(object, file.file, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12)) == 0 &&
                  fputc('\n', file.file) != EOF;
        if (written) written = app_whole_file_commit(&file);
        else app_whole_file_abandon(&file);
    }
    json_decref(object);
    return written ? 0 : app_refuse(1, "cannot write %s: %s", path, strerror(errno));
}

static void read_curve(compare_result *result, const json_t *curve)
{
    size_t i;
    json_t *point;
    json_array_foreach(curve, i, point)
    {
        const json_t *step = json_array_get(point, 0), *loss = json_array_get(point, 1);
        if (result->curve_count == COMPARE_CURVE_MAX || !json_is_number(step) || !json_is_number(loss)) return;
        result->curve[result->curve_count][0] = json_number_value(step);
        result->curve[result->curve_count++][1] = json_number_value(loss);
    }
}

bool compare_result_read(compare_result *result, const char *path)
{
    compare_result_clear(result);
    json_t *object = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    bool ours = json_integer_value(json_object_get(object, "format")) == FORMAT && json_is_object(json_object_get(object, "metrics"));
    if (ours) {
        const char *reason = json_string_value(json_object_get(object, "reason"));
        result->failed = json_is_true(json_object_get(object, "failed"));
        result->lasting = json_is_true(json_object_get(object, "lasting"));
        snprintf(result->reason, sizeof result->reason, "%s", reason ? reason : "");
        json_int_t roll_backs = json_integer_value(json_object_get(object, "roll_backs"));
        result->roll_backs = roll_backs > 0 ? (uint64_t)roll_backs : 0;
        for (int i = 0; i < METRICS; i++) {
            const json_t *value = json_object_get(json_object_get(object, "metrics"), compare_metric_names[i]);
            if (json_is_number(value)) result->metric[i] = json_number_value(value);
        }
        read_curve(result, json_object_get(object, "curve"));
    }
    json_decref(object);
    return ours;
}

/* Every second point goes when there is no room, so that what is left is spread over the whole. */
static void thin(compare_result *result)
{
    size_t kept = 0;
    for (size_t i = 1; i < result->curve_count; i += 2, kept++) memcpy(result->curve[kept], result->curve[i], sizeof result->curve[0]);
    result->curve_count = kept;
}

void compare_result_read_log(compare_result *result, const char *path)
{
    char line[LOG_LINE_MAX];
    FILE *file = fopen(path, "rb");
    size_t stretch = 1, seen = 0;
    result->curve_count = 0;
    result->roll_backs = 0;
    while (file && fgets(line, sizeof line, file)) {
        json_t *object = json_loads(line, 0, NULL);
        const json_t *step = json_object_get(object, "step"), *loss = json_object_get(object, "loss");
        result->roll_backs += json_is_integer(json_object_get(object, "back_to_step"));
        if (json_is_number(step) && json_is_number(loss) && ++seen % stretch == 0) {
            if (result->curve_count == COMPARE_CURVE_MAX) {
                thin(result);
                stretch *= 2;
            }
            if (seen % stretch == 0) {
                result->curve[result->curve_count][0] = json_number_value(step);
                result->curve[result->curve_count++][1] = json_number_value(loss);
            }
        }
        json_decref(object);
    }
    if (file) fclose(file);
    size_t last = (result->curve_count + 9) / 10;
    double sum = 0;
    for (size_t i = result->curve_count - last; i < result->curve_count; i++) sum += result->curve[i][1];
    if (last > 0) result->metric[METRIC_LOSS] = sum / (double)last;
}

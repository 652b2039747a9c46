/* onebit-info-vk: what the devices can do, whether the kernels compute right on one of them, and what is in a model. */
#include <stdlib.h>

#include "common/args.h"
#include "common/devices.h"
#include "common/model.h"
#include "common/stop.h"
#include "common/term.h"
#include "onebit/onebit.h"
#include "print.h"

typedef struct info_options {
    app_common common;
    const char *model;
    bool selftest, json;
} info_options;

static const char examples[] =
    "  onebit-info-vk\n"
    "      every device with its limits and the tier of kernels it runs\n"
    "  onebit-info-vk --selftest --device 0 > report.txt\n"
    "      checks every kernel against the CPU; paste the report into a bug report\n"
    "  onebit-info-vk story.gguf\n"
    "      what is in a model, and which kernels its matrices get here\n";

static int parse(info_options *o, int argc, char **argv)
{
    *o = (info_options){ 0 };
    const app_option options[] = {
        APP_ROW_HEADING("What to show"),
        APP_ROW_FLAG(0, "selftest", "run every kernel on the device against the CPU reference; the\nexit code is 1 when one is wrong",
                     &o->selftest),
        APP_ROW_FLAG(0, "json", "print JSON", &o->json),
        APP_DEVICE_ROWS(o->common),
        APP_OTHER_ROWS(o->common),
    };
    const app_program program = {
        .name = "onebit-info-vk",
        .purpose = "shows Vulkan devices, checks their arithmetic, and shows what is in a model.",
        .usage = "[MODEL.gguf] [options]",
        .options = options,
        .common = &o->common,
        .examples = examples,
        .operands = 1,
    };
    int outcome = app_parse(&program, argc, argv, &o->model);
    if (outcome != APP_GO_ON) return outcome;
    if (o->model && o->selftest) return app_usage_error("--selftest needs no model; leave out %s", o->model);
    return APP_GO_ON;
}

static int show_devices(bool as_json)
{
    ob_device_info *infos;
    uint32_t count;
    ob_status status = app_find_devices(&infos, &count);
    if (status != OB_OK) return app_fail(status);
    if (as_json) {
        app_json json = { .file = stdout };
        app_json_open(&json, NULL, '{');
        print_system_json(&json);
        app_json_open(&json, "devices", '[');
        for (uint32_t i = 0; i < count; i++) print_device_json(&json, NULL, &infos[i]);
        app_json_close(&json);
        app_json_close(&json);
    } else {
        print_system();
        for (uint32_t i = 0; i < count; i++) {
            printf("\n%-12s%u\n", "index", i);
            print_device(&infos[i]);
        }
    }
    free(infos);
    return 0;
}

static int show_device(const ob_context *context, const ob_device_info *info, bool as_json)
{
    if (as_json) {
        app_json json = { .file = stdout };
        app_json_open(&json, NULL, '{');
        print_system_json(&json);
        app_json_open(&json, "devices", '[');
        print_device_json(&json, NULL, info);
        app_json_close(&json);
        print_kernels_json(&json, context);
        app_json_close(&json);
    } else {
        print_system();
        print_device(info);
        print_kernels(context);
    }
    return 0;
}

typedef struct selftest_count {
    app_json *json; /* NULL: text */
    uint32_t rows, failures;
} selftest_count;

static void on_row(const ob_selftest_row *row, void *user)
{
    selftest_count *count = user;
    count->rows++;
    if (!row->passed) count->failures++;
    if (count->json) {
        print_selftest_row_json(count->json, row);
    } else {
        print_selftest_row(row);
        fflush(stdout);
    }
}

static int show_selftest(ob_context *context, const ob_device_info *info, bool as_json)
{
    app_json json = { .file = stdout };
    selftest_count count = { .json = as_json ? &json : NULL };
    if (as_json) {
        app_json_open(&json, NULL, '{');
        print_system_json(&json);
        print_device_json(&json, "device", info);
        print_kernels_json(&json, context);
        app_json_open(&json, "selftest", '[');
    } else {
        print_system();
        print_device(info);
        print_kernels(context);
        print_selftest_heading();
    }
    double start = app_seconds();
    ob_status status = ob_selftest(context, on_row, &count);
    bool passed = status == OB_OK && count.failures == 0;
    if (as_json) {
        app_json_close(&json);
        app_json_count(&json, "failures", count.failures);
        app_json_bool(&json, "passed", passed);
        app_json_close(&json);
    } else {
        printf("\n%u kernel variants in %s: ", count.rows, app_duration(app_seconds() - start).text);
        if (count.failures) printf("%u FAILED\n", count.failures);
        else puts(status == OB_OK ? "all passed" : "the test did not finish");
    }
    /* Wrong numbers are the answer, not a missing device. */
    if (status != OB_OK && count.failures == 0) return app_fail(status);
    if (status != OB_OK) app_fail(status);
    return passed ? 0 : 1;
}

static int show_model(ob_context *context, const char *path, bool as_json)
{
    ob_model *model;
    ob_model_info info;
    ob_status status = app_load_model(&model, context, path, true);
    if (status == OB_OK) status = ob_model_info_get(model, &info);
    ob_model_destroy(model);
    if (status != OB_OK) return app_fail(status);
    if (as_json) {
        app_json json = { .file = stdout };
        app_json_open(&json, NULL, '{');
        print_system_json(&json);
        print_model_json(&json, "model", path, &info);
        if (info.onebit) print_kernels_json(&json, context);
        app_json_close(&json);
    } else {
        print_model(path, &info);
        if (info.onebit) print_kernels(context);
    }
    return 0;
}

int main(int argc, char **argv)
{
    info_options o;
    int code = parse(&o, argc, argv);
    if (code != APP_GO_ON) return code;
    if (o.model && (code = app_check_model_path(o.model)) != APP_GO_ON) return code;
    app_catch_signals();
    if (!o.model && !o.selftest && !o.common.device) return app_end_stdout(show_devices(o.json));

    ob_context *context = NULL;
    ob_device_info info;
    ob_status status = ob_context_create(&context, &(ob_context_desc){ .device = o.common.device, .skip_selftest = true });
    if (status == OB_OK) status = ob_context_info(context, &info);
    if (status != OB_OK) code = app_fail(status);
    else if (o.model) code = show_model(context, o.model, o.json);
    else if (o.selftest) code = show_selftest(context, &info, o.json);
    else code = show_device(context, &info, o.json);
    code = app_end_context(context, code);
    return app_end_stdout(code);
}

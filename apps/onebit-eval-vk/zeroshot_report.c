#include "zeroshot_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "common/term.h"

static void print_table(const eval_zeroshot *result)
{
    printf("\n%-12s %7s %17s %17s  %-8s %9s\n", "", "items", "acc, %", "acc_norm, %", "reported", "near ties");
    for (int i = 0; i < result->count; i++) {
        const eval_zeroshot_task *t = &result->task[i];
        char normalised[32] = "-"; /* the harness has none of these tasks */
        if (t->normalised)
            snprintf(normalised, sizeof normalised, "%7.2f +/- %5.2f", 100 * eval_zeroshot_share(t, true),
                     100 * eval_zeroshot_error(t, true));
        printf("%-12s %7zu %7.2f +/- %5.2f %17s  %-8s %9zu\n", t->title, t->items, 100 * eval_zeroshot_share(t, false),
               100 * eval_zeroshot_error(t, false), normalised, t->normalised ? "acc_norm" : "acc", t->near_ties);
    }
    double error, average = eval_zeroshot_average(result, &error);
    printf("\naverage of what the paper reports: %.2f +/- %.2f %%%s\n", 100 * average, 100 * error,
           result->count < EVAL_TASKS ? " (the paper has six tasks)" : "");
}

void report_zeroshot(const eval_models *models, const char *path, const eval_zeroshot *result, bool json)
{
    if (!json) {
        report_model_line("model", path, &models->info[0], &models->device);
        printf("time           %s; %" PRIu64 " tokens went through the model, %" PRIu64 " with every choice by itself\n",
               app_duration(result->seconds).text, result->fed, result->tokens);
        print_table(result);
        return;
    }
    app_json object = { .file = stdout };
    app_json_open(&object, NULL, '{');
    report_model_keys(&object, path, models);
    app_json_open(&object, "tasks", '[');
    for (int i = 0; i < result->count; i++) {
        const eval_zeroshot_task *t = &result->task[i];
        app_json_open(&object, NULL, '{');
        app_json_text(&object, "task", t->name);
        app_json_count(&object, "items", t->items);
        app_json_count(&object, "items_from_log", t->known);
        app_json_number(&object, "acc", eval_zeroshot_share(t, false));
        app_json_number(&object, "acc_standard_error", eval_zeroshot_error(t, false));
        app_json_number(&object, "acc_norm", t->normalised ? eval_zeroshot_share(t, true) : NAN);
        app_json_number(&object, "acc_norm_standard_error", t->normalised ? eval_zeroshot_error(t, true) : NAN);
        app_json_text(&object, "reported", t->normalised ? "acc_norm" : "acc");
        app_json_count(&object, "near_ties", t->near_ties);
        app_json_number(&object, "seconds", t->seconds);
        app_json_close(&object);
    }
    app_json_close(&object);
    double error, average = eval_zeroshot_average(result, &error);
    app_json_number(&object, "average", average);
    app_json_number(&object, "average_standard_error", error);
    app_json_count(&object, "tokens_fed", result->fed);
    app_json_count(&object, "tokens_of_all_choices", result->tokens);
    app_json_number(&object, "seconds", result->seconds);
    app_json_close(&object);
}

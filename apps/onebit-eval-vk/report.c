#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "common/json.h"
#include "common/model.h"
#include "common/term.h"

static double rate(const eval_score *r) { return r->seconds > 0 ? (double)r->predictions / r->seconds : 0; }
static double share(const eval_score *r, size_t part) { return r->predictions ? (double)part / (double)r->predictions : 0; }
static double share_error(const eval_score *r, size_t part) /* standard error of a share, as if tokens were drawn independently */
{
    double p = share(r, part);
    return r->predictions > 1 ? sqrt(p * (1 - p) / (double)(r->predictions - 1)) : 0;
}

void report_model_line(const char *what, const char *path, const ob_model_info *model, const ob_device_info *device)
{
    printf("%-14s %s: %s, %s parameters, %s on %s, tier %c\n", what, model->name[0] ? model->name : path,
           app_model_kind(model), app_count(model->parameters).text, app_bytes(model->device_bytes).text, device->name,
           device->tier);
}

static void print_text(const eval_cut *text, const eval_score *r)
{
    printf("text           %s: %zu bytes, %zu tokens\n", text->name, text->bytes, text->tokens);
    if (text->protocol != EVAL_PROTOCOL_TEXT) printf("protocol       %s\n", eval_protocol_names[text->protocol]);
    if (text->documents) printf("documents      %zu, of them %zu cut to %zu tokens\n", text->windows, text->cut, text->window);
    else printf("windows        %zu of %zu tokens, %zu tokens left over\n", text->windows, text->window, text->left_over);
    printf("predicted      %zu tokens, %" PRIu64 " bytes\n", r->predictions, r->bytes);
}

static void print_score(const eval_score *r)
{
    printf("mean NLL       %.6f +/- %.6f nats per token\n", r->nll, r->nll_error);
    if (r->bytes > 0) printf("bits per byte  %.6f\n", r->bits_per_byte);
    printf("time           %s, %.1f tokens/s\n", app_duration(r->seconds).text, rate(r));
    printf("Final estimate: PPL = %.4f +/- %.4f\n", r->perplexity, r->ppl_error);
}

static void print_agreement(const eval_score *r, const eval_agreement *a)
{
    const eval_score *t = &a->teacher;
    printf("time           %s, %.1f tokens/s\n", app_duration(r->seconds).text, rate(r));
    printf("\n%-14s %12s %12s %12s\n", "", "student", "teacher", "difference");
    printf("%-14s %12.6f %12.6f %+12.6f\n", "mean NLL", r->nll, t->nll, r->nll - t->nll);
    printf("%-14s %12.4f %12.4f     x %7.4f\n", "perplexity", r->perplexity, t->perplexity, r->perplexity / t->perplexity);
    if (r->bytes > 0)
        printf("%-14s %12.6f %12.6f %+12.6f\n", "bits per byte", r->bits_per_byte, t->bits_per_byte, r->bits_per_byte - t->bits_per_byte);
    printf("\nKL to teacher  %.6f +/- %.6f nats per token\n", a->kl, a->kl_error);
    printf("same choice    %.2f +/- %.2f %% of the tokens\n", 100 * share(r, a->same), 100 * share_error(r, a->same));
}

static void put_model(app_json *json, const char *key, const char *path, const ob_model_info *model)
{
    char name[64];
    snprintf(name, sizeof name, "%s_name", key);
    app_json_text(json, key, path);
    app_json_text(json, name, model->name);
}

static void put_first_keys(app_json *json, const char *path, const char *teacher, const eval_models *models)
{
    app_json_text(json, "program", "onebit-eval-vk");
    app_json_text(json, "version", ob_version());
    put_model(json, "model", path, &models->info[0]);
    if (teacher) put_model(json, "teacher", teacher, &models->info[1]);
    app_json_text(json, "architecture", models->info[0].architecture);
    app_json_count(json, "parameters", models->info[0].parameters);
    app_json_text(json, "device", models->device.name);
    app_json_text(json, "driver", models->device.driver);
    app_json_text(json, "tier", (char[2]){ models->device.tier, 0 });
}

void report_model_keys(app_json *json, const char *path, const eval_models *models) { put_first_keys(json, path, NULL, models); }

static void put_text(app_json *json, const eval_cut *text, const eval_score *r)
{
    app_json_text(json, "text", text->name);
    app_json_text(json, "protocol", eval_protocol_names[text->protocol]);
    app_json_count(json, "text_bytes", text->bytes);
    app_json_count(json, "text_tokens", text->tokens);
    app_json_count(json, "window", text->window);
    app_json_count(json, text->documents ? "documents" : "windows", text->windows);
    app_json_count(json, "tokens_left_over", text->left_over);
    app_json_count(json, "predicted_tokens", r->predictions);
    app_json_count(json, "predicted_bytes", r->bytes);
}

static void put_score(app_json *json, const eval_score *r)
{
    app_json_number(json, "nll", r->nll);
    app_json_number(json, "nll_standard_error", r->nll_error);
    app_json_number(json, "ppl", r->perplexity);
    app_json_number(json, "ppl_standard_error", r->ppl_error);
    app_json_number(json, "bits_per_byte", r->bytes ? r->bits_per_byte : NAN);
}

static void put_agreement(app_json *json, const eval_score *r, const eval_agreement *a)
{
    const eval_score *t = &a->teacher;
    app_json_number(json, "teacher_nll", t->nll);
    app_json_number(json, "teacher_nll_standard_error", t->nll_error);
    app_json_number(json, "teacher_ppl", t->perplexity);
    app_json_number(json, "teacher_ppl_standard_error", t->ppl_error);
    app_json_number(json, "teacher_bits_per_byte", t->bytes ? t->bits_per_byte : NAN);
    app_json_number(json, "ppl_ratio", r->perplexity / t->perplexity);
    app_json_number(json, "bits_per_byte_above_teacher", r->bytes ? r->bits_per_byte - t->bits_per_byte : NAN);
    app_json_number(json, "kl", a->kl);
    app_json_number(json, "kl_standard_error", a->kl_error);
    app_json_number(json, "top1_agreement", share(r, a->same));
    app_json_number(json, "top1_agreement_standard_error", share_error(r, a->same));
}

static void put_rate(app_json *json, const eval_score *r)
{
    app_json_number(json, "seconds", r->seconds);
    app_json_number(json, "tokens_per_second", r->seconds > 0 ? rate(r) : NAN);
}

void report_ppl(const eval_models *models, const char *path, const eval_ppl *result, bool json)
{
    const eval_score *score = &result->score;
    if (!json) {
        report_model_line("model", path, &models->info[0], &models->device);
        print_text(&result->text, score);
        print_score(score);
        return;
    }
    app_json object = { .file = stdout };
    app_json_open(&object, NULL, '{');
    put_first_keys(&object, path, NULL, models);
    put_text(&object, &result->text, score);
    put_score(&object, score);
    put_rate(&object, score);
    app_json_close(&object);
}

void report_agree(const eval_models *models, const char *const paths[2], const eval_agree *result, bool json)
{
    const eval_score *score = &result->score;
    if (!json) {
        report_model_line("model", paths[0], &models->info[0], &models->device);
        report_model_line("teacher", paths[1], &models->info[1], &models->device);
        print_text(&result->text, score);
        print_agreement(score, &result->agreement);
        return;
    }
    app_json object = { .file = stdout };
    app_json_open(&object, NULL, '{');
    put_first_keys(&object, paths[0], paths[1], models);
    put_text(&object, &result->text, score);
    put_score(&object, score);
    put_agreement(&object, score, &result->agreement);
    put_rate(&object, score);
    app_json_close(&object);
}

int eval_refuse_not_finite(void)
{
    return app_refuse(1, "the model gave numbers that are not finite; check the device with onebit-info-vk --selftest");
}

#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "common/json.h"
#include "common/term.h"

static double rate(const eval_score *r) { return r->seconds > 0 ? (double)r->predictions / r->seconds : 0; }
static double share(const eval_score *r, size_t part) { return r->predictions ? (double)part / (double)r->predictions : 0; }

static void print_model(const char *what, const char *path, const ob_model_info *model, const ob_device_info *device)
{
    printf("%-14s %s: %s, %s parameters, %s on %s, tier %c\n", what, model->name[0] ? model->name : path,
           model->onebit ? "1-bit LLaMA" : "LLaMA", app_count(model->parameters).text, app_bytes(model->device_bytes).text, device->name,
           device->tier);
}

static void print_subject(const eval_subject *s, const eval_score *r)
{
    print_model("model", s->model_path, &s->model, &s->device);
    if (s->teacher_path) print_model("teacher", s->teacher_path, &s->teacher, &s->device);
    printf("text           %s: %zu bytes, %zu tokens\n", s->text_path, s->text_bytes, s->corpus->id_count);
    if (s->documents) printf("documents      %zu, of them %zu cut to %zu tokens\n", s->corpus->window_count, s->corpus->cut, s->window);
    else
        printf("windows        %zu of %zu tokens, %zu tokens left over\n", s->corpus->window_count, s->corpus->windows[0].count,
               s->corpus->left_over);
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
    printf("same choice    %.2f %% of the tokens\n", 100 * share(r, a->same));
}

static void put_subject(app_json *json, const eval_subject *s, const eval_score *r)
{
    app_json_text(json, "program", "onebit-eval-vk");
    app_json_text(json, "version", ob_version());
    app_json_text(json, "model", s->model_path);
    app_json_text(json, "model_name", s->model.name);
    if (s->teacher_path) {
        app_json_text(json, "teacher", s->teacher_path);
        app_json_text(json, "teacher_name", s->teacher.name);
    }
    app_json_text(json, "architecture", s->model.architecture);
    app_json_count(json, "parameters", s->model.parameters);
    app_json_text(json, "device", s->device.name);
    app_json_text(json, "driver", s->device.driver);
    app_json_text(json, "tier", (char[2]){ s->device.tier, 0 });
    app_json_text(json, "text", s->text_path);
    app_json_count(json, "text_bytes", s->text_bytes);
    app_json_count(json, "text_tokens", s->corpus->id_count);
    app_json_count(json, "window", s->documents ? s->window : s->corpus->windows[0].count);
    app_json_count(json, s->documents ? "documents" : "windows", s->corpus->window_count);
    app_json_count(json, "tokens_left_over", s->corpus->left_over);
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
}

void report_print(const eval_subject *subject, const eval_score *score, const eval_agreement *agreement, bool json)
{
    if (!json) {
        print_subject(subject, score);
        if (agreement) print_agreement(score, agreement);
        else print_score(score);
        return;
    }
    app_json object = { .file = stdout };
    app_json_open(&object, NULL, '{');
    put_subject(&object, subject, score);
    put_score(&object, score);
    if (agreement) put_agreement(&object, score, agreement);
    app_json_number(&object, "seconds", score->seconds);
    app_json_number(&object, "tokens_per_second", score->seconds > 0 ? rate(score) : NAN);
    app_json_close(&object);
}

/* onebit-eval-vk: measures a model. "ppl" is its perplexity on a text. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/json.h"
#include "common/model.h"
#include "common/stop.h"
#include "common/term.h"
#include "common/text_file.h"
#include "onebit/onebit.h"
#include "score.h"

#define LARGEST_DEFAULT_WINDOW 2048

typedef struct eval_options {
    app_common common;
    const char *what, *model, *text, *mark;
    int64_t window, bytes, documents; /* 0: default */
    bool json;
} eval_options;

static const char examples[] =
    "  onebit-eval-vk ppl -m story.gguf -f wiki.test.raw\n"
    "      perplexity over windows as long as the model's context\n"
    "  onebit-eval-vk ppl -m story.gguf -f stories.txt --split \"<|endoftext|>\" --docs 20\n"
    "      each of the first 20 stories by itself\n"
    "  onebit-eval-vk ppl -m story.gguf -f stories.txt -c 256 --bytes 16384 --json\n"
    "      the first 16384 bytes in windows of 256 tokens, for a script\n";

static int parse(eval_options *o, int argc, char **argv)
{
    *o = (eval_options){ 0 };
    const app_option options[] = {
        APP_ROW_HEADING("Model and text"),
        APP_ROW_TEXT('m', "model", "FILE", "the model, a GGUF file (required)", &o->model),
        APP_ROW_TEXT('f', "file", "FILE", "the text, - for stdin (required)", &o->text),
        APP_ROW_INTEGER(0, "bytes", "N", "only the first N bytes of the text (default: all)", &o->bytes, 1, 9e18),
        APP_ROW_HEADING("Windows, each scored with a fresh context"),
        APP_ROW_INTEGER('c', "ctx-size", "N", "tokens in a window (default: the model's context, at most 2048);\n"
                        "the first of them is only given, the rest predicted", &o->window, 2, INT32_MAX),
        APP_ROW_TEXT(0, "split", "MARK", "the text is documents separated by MARK, a window each: stripped\n"
                     "of white space, start and end token added, cut to the window\n"
                     "(default: one text, cut into windows, the rest dropped)", &o->mark),
        APP_ROW_INTEGER(0, "docs", "N", "only the first N documents (default: all)", &o->documents, 1, INT32_MAX),
        APP_ROW_HEADING("Output"),
        APP_ROW_FLAG(0, "json", "print the result as JSON", &o->json),
        APP_DEVICE_ROWS(o->common),
        APP_OTHER_ROWS(o->common),
    };
    const app_program program = {
        .name = "onebit-eval-vk",
        .purpose = "measures how well a model predicts a text: ppl gives perplexity and bits per byte.",
        .usage = "ppl -m MODEL.gguf -f TEXT [options]",
        .options = options,
        .common = &o->common,
        .examples = examples,
        .operands = 1,
    };
    int outcome = app_parse(&program, argc, argv, &o->what);
    if (outcome != APP_GO_ON) return outcome;
    if (!o->what) return app_usage_error("say what to measure: ppl");
    if (strcmp(o->what, "ppl") != 0) return app_usage_error("'%s' cannot be measured, only ppl", o->what);
    if (!o->model) return app_usage_error("no model was given; -m names a GGUF file");
    if (!o->text) return app_usage_error("no text was given; -f names a text file");
    if (o->mark && !*o->mark) return app_usage_error("--split needs a mark that is not empty");
    if (o->documents && !o->mark) return app_usage_error("--docs counts what --split separates; give both");
    return APP_GO_ON;
}

/* What the result is about. */
typedef struct eval_subject {
    const eval_options *options;
    ob_model_info model;
    ob_device_info device;
    size_t text_bytes, window;
    const eval_corpus *corpus;
} eval_subject;

static void print_score(const eval_subject *s, const eval_score *r)
{
    printf("model          %s: %s, %s parameters, %s on %s, tier %c\n", s->model.name[0] ? s->model.name : s->options->model,
           s->model.onebit ? "1-bit LLaMA" : "LLaMA", app_count(s->model.parameters).text, app_bytes(s->model.device_bytes).text,
           s->device.name, s->device.tier);
    printf("text           %s: %zu bytes, %zu tokens\n", s->options->text, s->text_bytes, s->corpus->id_count);
    if (s->options->mark)
        printf("documents      %zu, of them %zu cut to %zu tokens\n", s->corpus->window_count, s->corpus->cut, s->window);
    else
        printf("windows        %zu of %zu tokens, %zu tokens left over\n", s->corpus->window_count, s->corpus->windows[0].count,
               s->corpus->left_over);
    printf("predicted      %zu tokens, %" PRIu64 " bytes\n", r->predictions, r->bytes);
    printf("mean NLL       %.6f +/- %.6f nats per token\n", r->nll, r->nll_error);
    if (r->bytes > 0) printf("bits per byte  %.6f\n", r->bits_per_byte);
    printf("time           %s, %.1f tokens/s\n", app_duration(r->seconds).text, r->seconds > 0 ? (double)r->predictions / r->seconds : 0.0);
    printf("Final estimate: PPL = %.4f +/- %.4f\n", r->perplexity, r->ppl_error);
}

static void print_score_json(const eval_subject *s, const eval_score *r)
{
    app_json json = { .file = stdout };
    app_json_open(&json, NULL, '{');
    app_json_text(&json, "program", "onebit-eval-vk");
    app_json_text(&json, "version", ob_version());
    app_json_text(&json, "model", s->options->model);
    app_json_text(&json, "model_name", s->model.name);
    app_json_text(&json, "architecture", s->model.architecture);
    app_json_count(&json, "parameters", s->model.parameters);
    app_json_text(&json, "device", s->device.name);
    app_json_text(&json, "driver", s->device.driver);
    app_json_text(&json, "tier", (char[2]){ s->device.tier, 0 });
    app_json_text(&json, "text", s->options->text);
    app_json_count(&json, "text_bytes", s->text_bytes);
    app_json_count(&json, "text_tokens", s->corpus->id_count);
    app_json_count(&json, "window", s->options->mark ? s->window : s->corpus->windows[0].count);
    app_json_count(&json, s->options->mark ? "documents" : "windows", s->corpus->window_count);
    app_json_count(&json, "tokens_left_over", s->corpus->left_over);
    app_json_count(&json, "predicted_tokens", r->predictions);
    app_json_count(&json, "predicted_bytes", r->bytes);
    app_json_number(&json, "nll", r->nll);
    app_json_number(&json, "nll_standard_error", r->nll_error);
    app_json_number(&json, "ppl", r->perplexity);
    app_json_number(&json, "ppl_standard_error", r->ppl_error);
    app_json_number(&json, "bits_per_byte", r->bytes ? r->bits_per_byte : NAN);
    app_json_number(&json, "seconds", r->seconds);
    app_json_number(&json, "tokens_per_second", r->seconds > 0 ? (double)r->predictions / r->seconds : NAN);
    app_json_close(&json);
}

/* Everything after the model is loaded. Returns the exit code. */
static int measure(const eval_options *o, ob_context *context, ob_model *model, const char *text, size_t bytes)
{
    eval_corpus corpus = { 0 };
    eval_subject subject = { .options = o, .text_bytes = bytes, .corpus = &corpus };
    ob_session *session = NULL;
    ob_status status = ob_model_info_get(model, &subject.model);
    if (status == OB_OK) status = ob_context_info(context, &subject.device);
    if (status != OB_OK) return app_fail(status);
    size_t standard = subject.model.context < LARGEST_DEFAULT_WINDOW ? subject.model.context : LARGEST_DEFAULT_WINDOW;
    size_t window = subject.window = o->window ? (size_t)o->window : standard;

    int code = 0;
    /* First, because a window that the model cannot hold is refused here. */
    status = ob_session_create(&session, model, &(ob_session_desc){ .context = (uint32_t)window });
    if (status == OB_OK)
        status = o->mark ? corpus_from_documents(&corpus, model, text, bytes, o->mark, (size_t)o->documents, window)
                         : corpus_from_text(&corpus, model, text, bytes, window);
    if (status != OB_OK) {
        code = status == OB_ERROR_MEMORY && !*ob_last_error() ? app_refuse(4, "there is not enough memory for the text") : app_fail(status);
        goto done;
    }
    if (corpus.window_count == 0) {
        code = app_refuse(5, "%s holds fewer than two tokens; there is nothing to predict", o->text);
        goto done;
    }
    if (!o->mark && corpus.windows[0].count < window)
        app_note("the text has only %zu tokens: scoring one window of %zu instead of %zu", corpus.id_count, corpus.id_count, window);
    eval_score score;
    status = score_corpus(&score, session, model, &corpus);
    if (status != OB_OK) {
        code = app_fail(status);
        goto done;
    }
    if (o->json) print_score_json(&subject, &score);
    else print_score(&subject, &score);
    if (!isfinite(score.nll))
        code = app_refuse(1, "the model gave numbers that are not finite; check the device with onebit-info-vk --selftest");
done:
    ob_session_destroy(session);
    corpus_free(&corpus);
    return code;
}

int main(int argc, char **argv)
{
    eval_options o;
    int code = parse(&o, argc, argv);
    if (code != APP_GO_ON) return code;
    code = app_check_model_path(o.model);
    if (code != APP_GO_ON) return code;
    char *text = NULL;
    size_t bytes = 0;
    code = app_read_text(o.text, o.bytes ? (uint64_t)o.bytes : UINT64_MAX, &text, &bytes);
    if (code != APP_GO_ON) return code;
    app_catch_signals();

    ob_context *context = NULL;
    ob_model *model = NULL;
    ob_status status = ob_context_create(&context, &(ob_context_desc){ .device = o.common.device });
    if (status == OB_OK) status = app_load_model(&model, context, o.model);
    code = status == OB_OK ? measure(&o, context, model, text, bytes) : app_fail(status);
    ob_model_destroy(model);
    code = app_end_context(context, code);
    free(text);
    return app_end_stdout(code);
}

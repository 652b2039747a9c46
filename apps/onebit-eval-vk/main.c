/* onebit-eval-vk: measures a model. "ppl" is its perplexity on a text, "agree" how close it is to its teacher there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/model.h"
#include "common/stop.h"
#include "common/term.h"
#include "common/threads.h"
#include "common/text_file.h"
#include "onebit/onebit.h"
#include "report.h"

#define LARGEST_DEFAULT_WINDOW 2048

typedef struct eval_options {
    app_common common;
    const char *what, *model, *teacher, *text, *mark; /* teacher: only agree has one */
    int64_t window, bytes, documents, batch;          /* 0: default */
    bool json;
    int cache_type;
} eval_options;

static const char examples[] =
    "  onebit-eval-vk ppl -m story.gguf -f wiki.test.raw\n"
    "      perplexity over windows as long as the model's context\n"
    "  onebit-eval-vk ppl -m story.gguf -f stories.txt --split \"<|endoftext|>\" --docs 20\n"
    "      each of the first 20 stories by itself\n"
    "  onebit-eval-vk ppl -m story.gguf -f stories.txt -c 256 --bytes 16384 --json\n"
    "      the first 16384 bytes in windows of 256 tokens, for a script\n"
    "  onebit-eval-vk agree -m student.gguf --teacher teacher.gguf -f stories.txt -c 256\n"
    "      how far a student's predictions are from its teacher's\n";

static int parse(eval_options *o, int argc, char **argv)
{
    *o = (eval_options){ 0 };
    const app_option options[] = {
        APP_ROW_HEADING("Model and text"),
        APP_ROW_TEXT('m', "model", "FILE", "the model, a GGUF file (required)", &o->model),
        APP_ROW_TEXT(0, "teacher", "FILE", "agree: the model that it is compared with (required)", &o->teacher),
        APP_ROW_TEXT('f', "file", "FILE", "the text, - for stdin (required)", &o->text),
        APP_ROW_INTEGER(0, "bytes", "N", "only the first N bytes of the text (default: all)", &o->bytes, 1, 9e18),
        APP_ROW_HEADING("Windows, each scored with a fresh context"),
        APP_ROW_INTEGER('c', "ctx-size", "N", "tokens in a window (default: the model's context, at most 2048);\n"
                        "the first of them is only given, the rest predicted", &o->window, 2, INT32_MAX),
        APP_ROW_TEXT(0, "split", "MARK", "the text is documents separated by MARK, a window each: stripped\n"
                     "of white space, start and end token added, cut to the window\n"
                     "(default: one text, cut into windows, the rest dropped)", &o->mark),
        APP_ROW_INTEGER(0, "docs", "N", "only the first N documents (default: all)", &o->documents, 1, INT32_MAX),
        APP_ROW_INTEGER('b', "batch-size", "N", "tokens of a window processed at once (default 128); with fewer\n"
                        "than 8 by the kernels that generate text", &o->batch, 1, 65536),
        APP_ROW_CHOICE(0, "cache-type", "f32|f16|int8", "how keys and values are kept (default: f32; with --exact\n"
                       "scores are the model's own, without rounding to bytes or halves)",
                       &o->cache_type),
        APP_ROW_HEADING("Output"),
        APP_ROW_FLAG(0, "json", "print the result as JSON", &o->json),
        APP_DEVICE_ROWS(o->common),
        APP_MMAP_ROW(o->common),
        APP_EXACT_ROW(o->common),
        APP_THREADS_ROW(o->common),
        APP_OTHER_ROWS(o->common),
    };
    const app_program program = {
        .name = "onebit-eval-vk",
        .purpose = "measures how well a model predicts a text: ppl gives perplexity and bits per byte, agree compares it with another.",
        .usage = "ppl|agree -m MODEL.gguf [--teacher MODEL.gguf] -f TEXT [options]",
        .options = options,
        .common = &o->common,
        .examples = examples,
        .operands = 1,
    };
    int outcome = app_parse(&program, argc, argv, &o->what);
    if (outcome != APP_GO_ON) return outcome;
    if (!o->what) return app_usage_error("say what to measure: ppl or agree");
    bool agree = strcmp(o->what, "agree") == 0;
    if (!agree && strcmp(o->what, "ppl") != 0) return app_usage_error("'%s' cannot be measured, only ppl and agree", o->what);
    if (!o->model) return app_usage_error("no model was given; -m names a GGUF file");
    if (agree && !o->teacher) return app_usage_error("agree needs a second model; --teacher names a GGUF file");
    if (!agree && o->teacher) return app_usage_error("only agree compares with a --teacher");
    if (!o->text) return app_usage_error("no text was given; -f names a text file");
    if (o->mark && !*o->mark) return app_usage_error("--split needs a mark that is not empty");
    if (o->documents && !o->mark) return app_usage_error("--docs counts what --split separates; give both");
    return APP_GO_ON;
}

/* The models, the second one only of agree. */
typedef struct eval_models {
    ob_context *context;
    ob_model *model, *teacher;
    ob_session *session, *teacher_session;
} eval_models;

/* Token by token: two models that call things by other numbers cannot be compared. */
static int check_vocabularies(const eval_options *o, const eval_models *models, const eval_subject *s)
{
    if (s->model.vocabulary != s->teacher.vocabulary)
        return app_refuse(2, "%s and %s have different vocabularies, of %u and %u tokens; agree needs models with the same one", o->model,
                          o->teacher, s->model.vocabulary, s->teacher.vocabulary);
    if (!s->model.has_tokenizer || !s->teacher.has_tokenizer) return APP_GO_ON; /* that there are as many is all we know */
    for (uint32_t id = 0; id < s->model.vocabulary; id++) {
        char piece[256], other[256];
        size_t bytes = ob_model_piece(models->model, id, id, piece, sizeof piece);
        if (bytes == ob_model_piece(models->teacher, id, id, other, sizeof other) &&
            memcmp(piece, other, bytes < sizeof piece ? bytes : sizeof piece) == 0)
            continue;
        return app_refuse(2, "%s and %s have different vocabularies, which differ in token %u; agree needs models with the same one",
                          o->model, o->teacher, id);
    }
    return APP_GO_ON;
}

/* As long as a model's context, at most LARGEST_DEFAULT_WINDOW. */
static size_t default_window(const eval_options *o, const eval_subject *s)
{
    size_t window = s->model.context < LARGEST_DEFAULT_WINDOW ? s->model.context : LARGEST_DEFAULT_WINDOW;
    return o->teacher && s->teacher.context < window ? s->teacher.context : window;
}

/* First, because a window that a model cannot hold is refused here. */
static ob_status open_sessions(const eval_options *o, eval_models *models, size_t window)
{
    const ob_session_desc desc = { .context = (uint32_t)window, .batch = (uint32_t)o->batch,
                                   .cache_type = (ob_cache_type)(OB_CACHE_F32 + o->cache_type) };
    ob_status status = ob_session_create(&models->session, models->model, &desc);
    return status == OB_OK && o->teacher ? ob_session_create(&models->teacher_session, models->teacher, &desc) : status;
}

/* Everything after the models are loaded. Returns the exit code. */
static int measure(const eval_options *o, eval_models *models, const char *text, size_t bytes)
{
    eval_corpus corpus = { 0 };
    eval_subject subject = { .model_path = o->model, .teacher_path = o->teacher, .text_path = o->text, .documents = o->mark != NULL,
                             .text_bytes = bytes, .corpus = &corpus };
    ob_model *model = models->model;
    ob_status status = ob_model_info_get(model, &subject.model);
    if (status == OB_OK && o->teacher) status = ob_model_info_get(models->teacher, &subject.teacher);
    if (status == OB_OK) status = ob_context_info(models->context, &subject.device);
    if (status != OB_OK) return app_fail(status);
    int code = o->teacher ? check_vocabularies(o, models, &subject) : APP_GO_ON;
    if (code != APP_GO_ON) return code;
    size_t window = subject.window = o->window ? (size_t)o->window : default_window(o, &subject);

    code = 0;
    status = open_sessions(o, models, window);
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
    eval_agreement agreement;
    status = score_corpus(&score, o->teacher ? &agreement : NULL, models->session, models->teacher_session, model, &corpus);
    if (status != OB_OK) {
        code = app_fail(status);
        goto done;
    }
    report_print(&subject, &score, o->teacher ? &agreement : NULL, o->json);
    if (!isfinite(score.nll) || (o->teacher && !(isfinite(agreement.teacher.nll) && isfinite(agreement.kl))))
        code = app_refuse(1, "the model gave numbers that are not finite; check the device with onebit-info-vk --selftest");
done:
    corpus_free(&corpus);
    return code;
}

int main(int argc, char **argv)
{
    eval_options o;
    int code = parse(&o, argc, argv);
    if (code != APP_GO_ON) return code;
    code = app_check_model_path(o.model);
    if (code == APP_GO_ON && o.teacher) code = app_check_model_path(o.teacher);
    if (code != APP_GO_ON) return code;
    char *text = NULL;
    size_t bytes = 0;
    code = app_read_text(o.text, o.bytes ? (uint64_t)o.bytes : UINT64_MAX, &text, &bytes);
    if (code != APP_GO_ON) return code;
    app_catch_signals();

    app_use_threads(&o.common, app_file_bytes(o.model) + app_file_bytes(o.teacher));
    eval_models models = { 0 };
    ob_status status = ob_context_create(&models.context, &(ob_context_desc){ .device = o.common.device, .exact = o.common.exact });
    if (status == OB_OK) status = app_load_model(&models.model, models.context, o.model, !o.common.no_mmap);
    if (status == OB_OK && o.teacher) status = app_load_model(&models.teacher, models.context, o.teacher, !o.common.no_mmap);
    code = status == OB_OK ? measure(&o, &models, text, bytes) : app_fail(status);
    ob_session_destroy(models.session);
    ob_session_destroy(models.teacher_session);
    ob_model_destroy(models.model);
    ob_model_destroy(models.teacher);
    code = app_end_context(models.context, code);
    free(text);
    return app_end_stdout(code);
}

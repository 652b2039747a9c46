#include "ppl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/model.h"
#include "common/stop.h"
#include "common/term.h"
#include "report.h"

static const char examples[] = "  onebit-eval-vk ppl -m story.gguf -f wiki.test.raw\n"
                               "      perplexity over windows as long as the model's context\n"
                               "  onebit-eval-vk ppl -m story.gguf -f stories.txt --split \"<|endoftext|>\" --docs 20\n"
                               "      each of the first 20 stories by itself\n"
                               "  onebit-eval-vk ppl -m story.gguf -f stories.txt -c 256 --bytes 16384 --json\n"
                               "      the first 16384 bytes in windows of 256 tokens, for a script\n"
                               "  onebit-eval-vk ppl -m llama.gguf --protocol wikitext2 -f wiki.test.raw --log wiki.jsonl\n"
                               "      as in published tables: windows of 2048 tokens; run again, it goes on where it was stopped\n"
                               "  onebit-eval-vk ppl -m llama.gguf --protocol c4 -f c4-validation.00000-of-00008.json\n"
                               "      256 slices of 2048 tokens, drawn as GPTQ's code draws them\n";

typedef struct ppl_options {
    eval_options eval;
    eval_text_options text;
} ppl_options;

static int parse(ppl_options *o, int argc, char **argv)
{
    *o = (ppl_options){ 0 };
    const app_option options[] = {
        APP_ROW_HEADING("Model and text"), EVAL_MODEL_ROW(o->eval), EVAL_TEXT_ROWS(o->text),
        EVAL_WINDOW_ROWS(o->text),         EVAL_BATCH_ROW(o->eval), EVAL_CACHE_ROW(o->eval),
        APP_ROW_HEADING("Output"),         EVAL_LOG_ROW(o->text),   EVAL_JSON_ROW(o->eval),
        EVAL_DEVICE_ROWS(o->eval),
    };
    const app_program program = {
        .name = "onebit-eval-vk ppl",
        .purpose = "measures how well a model predicts a text: perplexity and bits per byte.",
        .usage = "-m MODEL.gguf -f TEXT [options]",
        .options = options,
        .common = &o->eval.common,
        .examples = examples,
    };
    int outcome = app_parse(&program, argc, argv, NULL);
    if (outcome != APP_GO_ON) return outcome;
    if (!o->eval.model) return app_usage_error("no model was given; -m names a GGUF file");
    return eval_text_check(&o->text);
}

int eval_ppl_measure(eval_ppl *result, ob_model *model, const eval_session *session, const eval_text *text)
{
    memset(result, 0, sizeof *result);
    ob_model_info info;
    ob_status status = ob_model_info_get(model, &info);
    if (status != OB_OK) return app_fail(status);
    size_t window = eval_text_window(text, &info, 1);
    eval_corpus corpus = { 0 };
    ob_session *scorer = NULL;
    status = eval_session_open(&scorer, model, session, window); /* first: a window that the model cannot hold is refused here */
    int code = status == OB_OK ? eval_text_cut(text, model, window, &corpus, &result->text) : app_fail(status);
    eval_score_log log = { text->log, text->log ? eval_settings("onebit-eval-vk ppl 2", &text->model_path, 1, session) : NULL };
    if (code == APP_GO_ON) code = score_corpus(&result->score, NULL, scorer, NULL, model, &corpus, &log);
    json_decref(log.settings);
    if (code == 0 && !isfinite(result->score.nll)) code = eval_refuse_not_finite();
    ob_session_destroy(scorer);
    corpus_free(&corpus);
    return code;
}

int eval_ppl_main(int argc, char **argv)
{
    ppl_options o;
    int code = parse(&o, argc, argv);
    if (code == APP_GO_ON) code = app_check_model_path(o.eval.model);
    if (code != APP_GO_ON) return code;
    eval_text text;
    code = eval_text_read(&o.text, &text);
    if (code != APP_GO_ON) return code;
    app_catch_signals();

    eval_models models;
    code = eval_models_open(&models, &o.eval, &o.eval.model, 1);
    if (code == APP_GO_ON) {
        eval_ppl result;
        eval_session session = eval_session_of(&o.eval);
        session.device = &models.device;
        text.model_path = o.eval.model;
        code = eval_ppl_measure(&result, models.model[0], &session, &text);
        if (result.score.predictions > 0 && (code == 0 || !isfinite(result.score.nll)))
            report_ppl(&models, o.eval.model, &result, o.eval.json);
    }
    code = eval_models_close(&models, code);
    free((void *)(uintptr_t)text.bytes);
    return code;
}

#include "agree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/model.h"
#include "common/stop.h"
#include "common/term.h"
#include "report.h"

static const char examples[] = "  onebit-eval-vk agree -m student.gguf --teacher teacher.gguf -f stories.txt -c 256\n"
                               "      how far a student's predictions are from its teacher's\n"
                               "  onebit-eval-vk agree -m student.gguf --teacher teacher.gguf -f stories.txt --bytes 16384 --json\n"
                               "      on the first 16384 bytes, for a script\n";

typedef struct agree_options {
    eval_options eval;
    eval_text_options text;
    const char *teacher;
} agree_options;

static int parse(agree_options *o, int argc, char **argv)
{
    *o = (agree_options){ 0 };
    const app_option options[] = {
        APP_ROW_HEADING("Models and text"),
        EVAL_MODEL_ROW(o->eval),
        APP_ROW_TEXT(0, "teacher", "FILE", "the model that it is compared with (required)", &o->teacher),
        EVAL_TEXT_ROWS(o->text),
        EVAL_WINDOW_ROWS(o->text),
        EVAL_BATCH_ROW(o->eval),
        EVAL_CACHE_ROW(o->eval),
        APP_ROW_HEADING("Output"),
        EVAL_LOG_ROW(o->text),
        EVAL_JSON_ROW(o->eval),
        EVAL_DEVICE_ROWS(o->eval),
    };
    const app_program program = {
        .name = "onebit-eval-vk agree",
        .purpose = "measures how close a student is to its teacher on a text: KL, the same choices.",
        .usage = "-m STUDENT.gguf --teacher TEACHER.gguf -f TEXT [options]",
        .options = options,
        .common = &o->eval.common,
        .examples = examples,
    };
    int outcome = app_parse(&program, argc, argv, NULL);
    if (outcome != APP_GO_ON) return outcome;
    if (!o->eval.model) return app_usage_error("no model was given; -m names a GGUF file");
    if (!o->teacher) return app_usage_error("agree needs a second model; --teacher names a GGUF file");
    return eval_text_check(&o->text);
}

/* Token by token: two models that call things by other numbers cannot be compared. */
static int check_vocabularies(const ob_model *const model[2], const ob_model_info info[2], const char *const name[2])
{
    if (info[0].vocabulary != info[1].vocabulary)
        return app_refuse(2, "%s and %s have different vocabularies, of %u and %u tokens; agree needs models with the same one", name[0],
                          name[1], info[0].vocabulary, info[1].vocabulary);
    if (!info[0].has_tokenizer || !info[1].has_tokenizer) return APP_GO_ON; /* that there are as many is all we know */
    for (uint32_t id = 0; id < info[0].vocabulary; id++) {
        char piece[256], other[256];
        size_t bytes = ob_model_piece(model[0], id, id, piece, sizeof piece);
        if (bytes == ob_model_piece(model[1], id, id, other, sizeof other) &&
            memcmp(piece, other, bytes < sizeof piece ? bytes : sizeof piece) == 0)
            continue;
        return app_refuse(2, "%s and %s have different vocabularies, which differ in token %u; agree needs models with the same one",
                          name[0], name[1], id);
    }
    return APP_GO_ON;
}

static bool is_finite(const eval_agree *result)
{
    return isfinite(result->score.nll) && isfinite(result->agreement.teacher.nll) && isfinite(result->agreement.kl);
}

int eval_agree_measure(eval_agree *result, ob_model *student, const char *student_name, ob_model *teacher, const char *teacher_name,
                       const eval_session *session, const eval_text *text)
{
    memset(result, 0, sizeof *result);
    ob_model_info info[2];
    ob_status status = ob_model_info_get(student, &info[0]);
    if (status == OB_OK) status = ob_model_info_get(teacher, &info[1]);
    if (status != OB_OK) return app_fail(status);
    int code = check_vocabularies((const ob_model *const[]){ student, teacher }, info, (const char *const[]){ student_name, teacher_name });
    if (code != APP_GO_ON) return code;
    size_t window = eval_text_window(text, info, 2);
    eval_corpus corpus = { 0 };
    ob_session *scorer = NULL, *teacher_scorer = NULL;
    status = eval_session_open(&scorer, student, session, window); /* first: a window that a model cannot hold is refused here */
    if (status == OB_OK) status = eval_session_open(&teacher_scorer, teacher, session, window);
    code = status == OB_OK ? eval_text_cut(text, student, window, &corpus, &result->text) : app_fail(status);
    const char *const paths[] = { student_name, teacher_name };
    eval_score_log log = { text->log, text->log ? eval_settings("onebit-eval-vk agree 2", paths, 2, session) : NULL };
    if (code == APP_GO_ON) code = score_corpus(&result->score, &result->agreement, scorer, teacher_scorer, student, &corpus, &log);
    json_decref(log.settings);
    if (code == 0 && !is_finite(result)) code = eval_refuse_not_finite();
    ob_session_destroy(scorer);
    ob_session_destroy(teacher_scorer);
    corpus_free(&corpus);
    return code;
}

int eval_agree_main(int argc, char **argv)
{
    agree_options o;
    int code = parse(&o, argc, argv);
    if (code == APP_GO_ON) code = app_check_model_path(o.eval.model);
    if (code == APP_GO_ON) code = app_check_model_path(o.teacher);
    if (code != APP_GO_ON) return code;
    eval_text text;
    code = eval_text_read(&o.text, &text);
    if (code != APP_GO_ON) return code;
    app_catch_signals();

    eval_models models;
    const char *const paths[] = { o.eval.model, o.teacher };
    code = eval_models_open(&models, &o.eval, paths, 2);
    if (code == APP_GO_ON) {
        eval_agree result;
        eval_session session = eval_session_of(&o.eval);
        session.device = &models.device;
        code = eval_agree_measure(&result, models.model[0], paths[0], models.model[1], paths[1], &session, &text);
        if (result.score.predictions > 0 && (code == 0 || !is_finite(&result))) report_agree(&models, paths, &result, o.eval.json);
    }
    code = eval_models_close(&models, code);
    free((void *)(uintptr_t)text.bytes);
    return code;
}

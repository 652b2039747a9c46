#include "zeroshot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "choices.h"
#include "common/model.h"
#include "common/stop.h"
#include "common/term.h"
#include "item_log.h"
#include "zeroshot_report.h"

/* What is known of an item. */
typedef struct answer {
    bool known;
    uint32_t choice, choice_normalised;
    bool near_tie; /* of what the paper reports */
} answer;

typedef struct work {
    const eval_zeroshot_desc *desc;
    eval_task tasks[EVAL_TASKS];
    answer *outcomes[EVAL_TASKS];
    int count;
    ob_model *model;
    ob_model_info info;
    size_t most; /* tokens that the model sees */
    item_log log;
} work;

double eval_zeroshot_share(const eval_zeroshot_task *task, bool normalised)
{
    return task->items ? (double)(normalised ? task->right_normalised : task->right) / (double)task->items : 0;
}

double eval_zeroshot_error(const eval_zeroshot_task *task, bool normalised)
{
    double p = eval_zeroshot_share(task, normalised);
    return task->items > 1 ? sqrt(p * (1 - p) / (double)(task->items - 1)) : 0;
}

double eval_zeroshot_average(const eval_zeroshot *result, double *error)
{
    double sum = 0, squares = 0, n = result->count ? result->count : 1;
    for (int i = 0; i < result->count; i++) {
        const eval_zeroshot_task *task = &result->task[i];
        double e = eval_zeroshot_error(task, task->normalised);
        sum += eval_zeroshot_share(task, task->normalised);
        squares += e * e;
    }
    *error = sqrt(squares) / n;
    return sum / n;
}

/* ---- choosing ------------------------------------------------------------------------------------------------------- */

/* The first of the largest, as numpy.argmax; *margin is how far it is ahead of the next best. */
static uint32_t best_of(const double *values, uint32_t count, double *margin)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
        if (values[i] > values[best]) best = i;
    *margin = INFINITY;
    for (uint32_t i = 0; i < count; i++)
        if (i != best && values[best] - values[i] < *margin) *margin = values[best] - values[i];
    return best;
}

/* Of all that the model is asked: what was measured of other texts is no answer to them, whatever the items are called. */
static const char *hash_of_texts(const eval_item *item)
{
    char hashes[2 * EVAL_CHOICES_MAX][17]; /* of each text, so that no text can be taken for two others */
    for (uint32_t i = 0; i < 2 * item->choice_count; i++) {
        const eval_choice *choice = &item->choice[i / 2];
        const char *text = i % 2 == 0 ? choice->context : choice->continuation;
        memcpy(hashes[i], item_log_hash_of(text, strlen(text)), sizeof hashes[i]);
    }
    return item_log_hash_of(hashes, 2 * item->choice_count * sizeof hashes[0]);
}

/* Decides by the likelihoods, and notes it in the log. */
static int settle(work *w, int t, size_t index, const double *likelihood)
{
    const eval_task *task = &w->tasks[t];
    const eval_item *item = &task->items[index];
    answer *o = &w->outcomes[t][index];
    double normalised[EVAL_CHOICES_MAX], margin, margin_normalised;
    for (uint32_t i = 0; i < item->choice_count; i++) normalised[i] = likelihood[i] / (double)item->choice[i].characters;
    o->known = true;
    o->choice = best_of(likelihood, item->choice_count, &margin);
    o->choice_normalised = best_of(normalised, item->choice_count, &margin_normalised);
    margin_normalised *= (double)item->choice[o->choice_normalised].characters; /* in nats again */
    o->near_tie = (task->normalised ? margin_normalised : margin) < EVAL_NEAR_TIE;
    if (!w->log.file) return 0;
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < item->choice_count; i++) json_array_append_new(list, json_real(likelihood[i]));
    json_t *row = json_pack("{s:s, s:I, s:s, s:s, s:o, s:i, s:i, s:i, s:f, s:f}", "task", task->name, "line", (json_int_t)item->line, "id",
                            item->id, "text", hash_of_texts(item), "log_likelihood", list, "choice", (int)o->choice, "choice_norm",
                            (int)o->choice_normalised, "gold", (int)item->gold, "margin", margin, "margin_norm", margin_normalised);
    if (!row) return app_refuse(4, "there is not enough memory for a line of %s", w->log.path);
    int code = item_log_add(&w->log, row);
    json_decref(row);
    return code;
}

/* ---- the log of an earlier run ---------------------------------------------------------------------------------------- */

/* The likelihoods are all that counts: what was chosen by them is found again. */
static int take_row(const json_t *row, size_t line, void *user)
{
    work *w = user;
    const char *name = json_string_value(json_object_get(row, "task")), *id = json_string_value(json_object_get(row, "id"));
    const char *text = json_string_value(json_object_get(row, "text"));
    const json_t *number = json_object_get(row, "line"), *list = json_object_get(row, "log_likelihood");
    if (!name || !id || !text || !json_is_integer(number) || !json_is_array(list))
        return app_refuse(5, "%s, line %zu: this is no item of zeroshot", w->desc->log, line);
    for (int t = 0; t < w->count; t++) {
        if (strcmp(w->tasks[t].name, name) != 0) continue;
        json_int_t at = json_integer_value(number);
        if (at < 1 || (uint64_t)at > w->tasks[t].count) return APP_GO_ON; /* more items were measured then */
        const eval_item *item = &w->tasks[t].items[at - 1];
        double likelihood[EVAL_CHOICES_MAX];
        if (strcmp(item->id, id) != 0 || json_array_size(list) != item->choice_count || strcmp(hash_of_texts(item), text) != 0)
            return app_refuse(5, "%s, line %zu: \"%s\" is not what line %lld of %s holds; the log is of another file", w->desc->log, line,
                              id, (long long)at, w->tasks[t].path);
        for (uint32_t i = 0; i < item->choice_count; i++) {
            const json_t *value = json_array_get(list, i);
            if (!json_is_number(value)) return app_refuse(5, "%s, line %zu: a log-likelihood is no number", w->desc->log, line);
            likelihood[i] = json_number_value(value);
        }
        return settle(w, t, (size_t)at - 1, likelihood) == 0 ? APP_GO_ON : 4; /* nothing is written: the log is not open yet */
    }
    return APP_GO_ON;
}

static int open_log(work *w, const eval_session *session)
{
    const eval_zeroshot_desc *desc = w->desc;
    if (!desc->log) return APP_GO_ON;
    json_t *settings = eval_settings("onebit-eval-vk zeroshot 3", &desc->model_path, 1, session);
    if (!settings || json_object_set_new(settings, "context", json_integer((json_int_t)w->most)) != 0 ||
        json_object_set_new(settings, "bos", json_boolean(desc->bos)) != 0) {
        json_decref(settings);
        return app_refuse(4, "there is not enough memory for a line of %s", desc->log);
    }
    int code = item_log_open(&w->log, desc->log, settings, take_row, w);
    json_decref(settings);
    return code;
}

/* ---- measuring -------------------------------------------------------------------------------------------------------- */

static bool is_wanted(const char *tasks, int index)
{
    if (!tasks) return true;
    for (const char *at = tasks; *at;) {
        size_t length = strcspn(at, ",");
        if (eval_task_find(at, length) == index) return true;
        at += length + (at[length] == ',');
    }
    return false;
}

/* Every name of the list is that of a task. */
static int check_tasks(const char *tasks)
{
    for (const char *at = tasks; at && *at;) {
        size_t length = strcspn(at, ",");
        if (eval_task_find(at, length) < 0)
            return app_refuse(2, "there is no task '%.*s'; there are winogrande, hellaswag, piqa, boolq, arc_easy and arc_challenge",
                              (int)(length < 64 ? length : 64), at);
        at += length + (at[length] == ',');
    }
    return tasks && !*tasks ? app_refuse(2, "the list of tasks is empty; leave --tasks out for all six") : APP_GO_ON;
}

static int load_tasks(work *w)
{
    int known = check_tasks(w->desc->tasks);
    if (known != APP_GO_ON) return known;
    for (int t = 0; t < EVAL_TASKS; t++) {
        if (!is_wanted(w->desc->tasks, t)) continue;
        int code = eval_task_load(&w->tasks[w->count++], t, w->desc->folder, w->desc->items);
        if (code != APP_GO_ON) return code;
        const eval_task *task = &w->tasks[w->count - 1];
        w->outcomes[w->count - 1] = calloc(task->count, sizeof(answer));
        if (!w->outcomes[w->count - 1]) return app_refuse(4, "there is not enough memory for the task's items");
    }
    return APP_GO_ON;
}

/* What an item needs besides the session. */
typedef struct rows {
    float *logits;
    double *nll;
} rows;

static int measure_item(work *w, ob_session *session, const rows *r, int t, size_t index, eval_zeroshot *result)
{
    const eval_task *task = &w->tasks[t];
    const eval_item *item = &task->items[index];
    eval_sequence sequences[EVAL_CHOICES_MAX] = { 0 };
    int code = APP_GO_ON;
    uint32_t made = 0;
    while (made < item->choice_count && code == APP_GO_ON) {
        code = eval_sequence_make(&sequences[made], w->model, &w->info, &item->choice[made], w->desc->bos, w->most, task->path, item->line);
        if (code == APP_GO_ON) result->tokens += sequences[made].count - 1;
        made++;
    }
    if (code == APP_GO_ON) {
        double likelihood[EVAL_CHOICES_MAX];
        ob_status status = eval_choices_score(session, &w->info, sequences, made, r->logits, r->nll, likelihood, &result->fed);
        if (status != OB_OK) code = app_fail(status);
        for (uint32_t i = 0; i < made && code == APP_GO_ON; i++)
            if (!isfinite(likelihood[i])) code = eval_refuse_not_finite();
        if (code == APP_GO_ON) code = settle(w, t, index, likelihood) == 0 ? APP_GO_ON : 1;
    }
    for (uint32_t i = 0; i < made; i++) free(sequences[i].ids);
    return code;
}

/* About what an item takes, for the time that is left: the bytes of its texts, the context once. */
static uint64_t work_of(const eval_item *item)
{
    uint64_t bytes = strlen(item->choice[0].context);
    for (uint32_t i = 0; i < item->choice_count; i++) bytes += strlen(item->choice[i].continuation);
    return bytes;
}

static int measure_tasks(work *w, ob_session *session, const rows *r, eval_zeroshot *result)
{
    size_t all = 0, known = 0;
    uint64_t left = 0, done = 0;
    for (int t = 0; t < w->count; t++) {
        all += w->tasks[t].count;
        for (size_t i = 0; i < w->tasks[t].count; i++) {
            if (w->outcomes[t][i].known) known++;
            else left += work_of(&w->tasks[t].items[i]);
        }
    }
    if (known) app_note("%s has %zu of the %zu items already", w->desc->log, known, all);
    app_progress progress;
    app_progress_start(&progress);
    int code = APP_GO_ON;
    for (int t = 0; t < w->count && code == APP_GO_ON; t++) {
        const eval_task *task = &w->tasks[t];
        double start = app_seconds();
        for (size_t i = 0; i < task->count && code == APP_GO_ON; i++) {
            if (w->outcomes[t][i].known) {
                result->task[t].known++;
                continue;
            }
            code = measure_item(w, session, r, t, i, result);
            done += work_of(&task->items[i]);
            if (code == APP_GO_ON && !app_progress_step((double)done / (double)left, task->title, &progress))
                code = app_fail(OB_ERROR_CANCELLED);
        }
        result->task[t].seconds = app_seconds() - start;
    }
    app_progress_end(&progress);
    return code == APP_GO_ON ? 0 : code;
}

static void count_right(const work *w, eval_zeroshot *result)
{
    result->count = w->count;
    for (int t = 0; t < w->count; t++) {
        const eval_task *task = &w->tasks[t];
        eval_zeroshot_task *to = &result->task[t];
        to->name = task->name;
        to->title = task->title;
        to->normalised = task->normalised;
        to->items = task->count;
        for (size_t i = 0; i < task->count; i++) {
            to->right += w->outcomes[t][i].choice == task->items[i].gold;
            to->right_normalised += w->outcomes[t][i].choice_normalised == task->items[i].gold;
            to->near_ties += w->outcomes[t][i].near_tie;
        }
    }
}

int eval_zeroshot_measure(eval_zeroshot *result, ob_model *model, const eval_session *session, const eval_zeroshot_desc *desc)
{
    memset(result, 0, sizeof *result);
    work w = { .desc = desc, .model = model };
    ob_session *scorer = NULL;
    rows r = { 0 };
    double start = app_seconds();
    ob_status status = ob_model_info_get(model, &w.info);
    if (status != OB_OK) return app_fail(status);
    w.most = desc->context ? desc->context : w.info.context;
    int code = load_tasks(&w);
    if (code == APP_GO_ON) code = open_log(&w, session);
    if (code == APP_GO_ON) {
        r = (rows){ calloc(w.info.vocabulary, sizeof *r.logits), calloc((w.most + 1) * (size_t)EVAL_CHOICES_MAX, sizeof *r.nll) };
        status = r.logits && r.nll ? eval_session_open(&scorer, model, session, w.most) : OB_ERROR_MEMORY;
        code = status == OB_OK ? measure_tasks(&w, scorer, &r, result) : app_fail(status);
    }
    if (code == 0) count_right(&w, result);
    result->seconds = app_seconds() - start;
    ob_session_destroy(scorer);
    item_log_close(&w.log);
    free(r.logits);
    free(r.nll);
    for (int t = 0; t < w.count; t++) {
        free(w.outcomes[t]);
        eval_task_free(&w.tasks[t]);
    }
    return code;
}

/* ---- the command -------------------------------------------------------------------------------------------------------- */

static const char examples[] =
    "  onebit-eval-vk zeroshot -m story.gguf --data zeroshot\n"
    "      the six tasks of the OneBit paper, from the files in the folder zeroshot\n"
    "  onebit-eval-vk zeroshot -m story.gguf --data zeroshot --tasks piqa,boolq --items 200 --log story.jsonl\n"
    "      two of them, the first 200 items of each; run again, it goes on where it was stopped\n\n"
    "An item is some choices, and the model chooses the one whose text it finds the likeliest behind the question: acc counts by the\n"
    "likelihood of the text, acc_norm by that divided by its characters. The paper reports acc of WinoGrande and BoolQ and acc_norm of\n"
    "HellaSwag, PIQA, ARC-e and ARC-c, and the mean of the six; a model that guesses has about 50, 25, 50, 50, 25 and 25 %. Prompts and\n"
    "tokens are those of lm-evaluation-harness 0.3 (docs/evaluation.md); newer versions give other numbers.\n\n"
    "Files that are looked for in DIR: winogrande_dev.jsonl, hellaswag_val.jsonl, piqa_valid.jsonl and piqa_valid-labels.lst, "
    "boolq_val.jsonl\n"
    "(SuperGLUE's), arc_easy_test.jsonl, arc_challenge_test.jsonl; or the names that they have in their archives, such as\n"
    "ARC-Easy/ARC-Easy-Test.jsonl and BoolQ/val.jsonl.\n";

typedef struct zeroshot_options {
    eval_options eval;
    const char *folder, *tasks, *log;
    int64_t items, context;
    bool bos;
} zeroshot_options;

static int parse(zeroshot_options *o, int argc, char **argv)
{
    *o = (zeroshot_options){ 0 };
    const app_option options[] = {
        APP_ROW_HEADING("Model and tasks"),
        EVAL_MODEL_ROW(o->eval),
        APP_ROW_TEXT(0, "data", "DIR", "the folder with the task files (required); see below", &o->folder),
        APP_ROW_TEXT(0, "tasks", "LIST",
                     "which, with commas between: winogrande, hellaswag, piqa, boolq,\narc_easy, arc_challenge (default: all six)",
                     &o->tasks),
        APP_ROW_INTEGER(0, "items", "N", "only the first N items of each (default: all)", &o->items, 1, INT32_MAX),
        APP_ROW_FLAG(0, "bos", "put the start token in front of every context; without it as in\nthe paper's tables", &o->bos),
        APP_ROW_INTEGER('c', "ctx-size", "N",
                        "most tokens that the model sees; what is longer loses its beginning\n(default: the model's context)", &o->context,
                        2, INT32_MAX),
        EVAL_BATCH_ROW(o->eval),
        EVAL_CACHE_ROW(o->eval),
        APP_ROW_HEADING("Output"),
        APP_ROW_TEXT(0, "log", "FILE",
                     "a JSON line for every item: the log-likelihoods of its choices, what\nwas chosen; a file that is there is continued",
                     &o->log),
        EVAL_JSON_ROW(o->eval),
        EVAL_DEVICE_ROWS(o->eval),
    };
    const app_program program = {
        .name = "onebit-eval-vk zeroshot",
        .purpose = "lets a model answer the multiple-choice tasks of the OneBit paper.",
        .usage = "-m MODEL.gguf --data DIR [--tasks LIST] [--log FILE] [options]",
        .options = options,
        .common = &o->eval.common,
        .examples = examples,
    };
    int parsed = app_parse(&program, argc, argv, NULL);
    if (parsed != APP_GO_ON) return parsed;
    if (!o->eval.model) return app_usage_error("no model was given; -m names a GGUF file");
    if (!o->folder) return app_usage_error("no tasks were given; --data names the folder with their files");
    return check_tasks(o->tasks);
}

/* Files that are wrong are found before a large model is loaded. */
static int check_files(const zeroshot_options *o)
{
    int code = APP_GO_ON;
    for (int t = 0; t < EVAL_TASKS && code == APP_GO_ON; t++) {
        eval_task task = { 0 };
        if (is_wanted(o->tasks, t)) code = eval_task_load(&task, t, o->folder, (size_t)o->items);
        eval_task_free(&task);
    }
    return code;
}

int eval_zeroshot_main(int argc, char **argv)
{
    zeroshot_options o;
    int code = parse(&o, argc, argv);
    if (code == APP_GO_ON) code = app_check_model_path(o.eval.model);
    if (code == APP_GO_ON) code = check_files(&o);
    if (code != APP_GO_ON) return code;
    app_catch_signals();
    eval_models models;
    code = eval_models_open(&models, &o.eval, &o.eval.model, 1);
    if (code == APP_GO_ON) {
        eval_zeroshot result;
        eval_session session = eval_session_of(&o.eval);
        session.device = &models.device;
        code = eval_zeroshot_measure(&result, models.model[0], &session,
                                     &(eval_zeroshot_desc){ .folder = o.folder,
                                                            .tasks = o.tasks,
                                                            .items = (size_t)o.items,
                                                            .bos = o.bos,
                                                            .context = (size_t)o.context,
                                                            .log = o.log,
                                                            .model_path = o.eval.model });
        if (code == 0) report_zeroshot(&models, o.eval.model, &result, o.eval.json);
    }
    return eval_models_close(&models, code);
}

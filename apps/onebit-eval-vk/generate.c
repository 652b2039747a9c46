#include "generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "answer_log.h"
#include "common/model.h"
#include "common/stop.h"
#include "common/term.h"
#include "common/text_file.h"
#include "prompt.h"
#include "report.h"

#define LARGEST_CONTEXT 2048

/* ---- instructions ------------------------------------------------------------------------------------------------------- */

static const char *const own[][2] = {
    { "Tell a short story about a dog and a red ball.", "" },
    { "What is the opposite of this word?", "cold" },
    { "Name three animals that live on a farm.", "" },
    { "Write this sentence again so that it asks a question.", "The boy is playing in the park." },
    { "Explain in one sentence why people sleep.", "" },
    { "How many words does this sentence have?", "The little girl ran home." },
};

static int no_memory(void) { return app_refuse(4, "there is not enough memory for the instructions"); }

static int add(eval_instructions *to, const char *instruction, const char *input)
{
    if (to->count == to->room) {
        size_t room = to->room ? 2 * to->room : 16;
        eval_instruction *moved = realloc(to->list, room * sizeof *moved);
        if (!moved) return no_memory();
        to->list = moved;
        to->room = room;
    }
    eval_instruction *made = &to->list[to->count++];
    *made = (eval_instruction){ prompt_join(instruction, NULL), prompt_join(input, NULL) };
    return made->instruction && made->input ? APP_GO_ON : no_memory();
}

static int add_line(eval_instructions *to, const char *path, size_t number, const char *line, size_t bytes)
{
    json_error_t error;
    json_t *object = json_loadb(line, bytes, 0, &error);
    if (!object) return app_refuse(5, "%s, line %zu: %s", path, number, error.text);
    const json_t *instruction = json_object_get(object, "instruction"), *input = json_object_get(object, "input");
    int code;
    if (!json_is_string(instruction) || json_string_length(instruction) == 0)
        code = app_refuse(5, "%s, line %zu: there is no \"instruction\"; a line is {\"instruction\": ..., \"input\": ...}", path, number);
    else if (input && !json_is_string(input)) code = app_refuse(5, "%s, line %zu: \"input\" is no text", path, number);
    else code = add(to, json_string_value(instruction), input ? json_string_value(input) : "");
    json_decref(object);
    return code;
}

int eval_instructions_read(eval_instructions *instructions, const char *path)
{
    memset(instructions, 0, sizeof *instructions);
    int code = APP_GO_ON;
    if (!path) {
        for (size_t i = 0; i < sizeof own / sizeof *own && code == APP_GO_ON; i++) code = add(instructions, own[i][0], own[i][1]);
        return code;
    }
    char *text;
    size_t bytes, number = 0;
    code = app_read_text(path, UINT64_MAX, &text, &bytes);
    for (const char *at = text; code == APP_GO_ON && at < text + bytes;) {
        const char *stop = memchr(at, '\n', (size_t)(text + bytes - at));
        size_t count = (size_t)((stop ? stop : text + bytes) - at);
        code = add_line(instructions, path, ++number, at, count);
        at += count + 1;
    }
    if (code == APP_GO_ON && number == 0) code = app_refuse(5, "%s has no instructions", path);
    free(text);
    return code;
}

void eval_instructions_free(eval_instructions *instructions)
{
    for (size_t i = 0; i < instructions->count; i++) {
        free(instructions->list[i].instruction);
        free(instructions->list[i].input);
    }
    free(instructions->list);
    memset(instructions, 0, sizeof *instructions);
}

char *eval_prompt_of(eval_template template, const eval_instruction *of)
{
    const char *between = *of->input ? "\n" : "";
    if (template == EVAL_TEMPLATE_PLAIN) return prompt_join(of->instruction, between, of->input, "\n", NULL);
    return prompt_join("Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
                       "### Instruction:\n",
                       of->instruction, between, of->input, "\n\n### Response:\n", NULL);
}

/* ---- answers -------------------------------------------------------------------------------------------------------------- */

typedef struct collector {
    char *text;
    size_t bytes, room;
    bool no_memory;
} collector;

static bool collect(const char *text, size_t bytes, uint32_t id, void *user)
{
    (void)id;
    collector *to = user;
    if (to->bytes + bytes + 1 > to->room) {
        size_t room = 2 * (to->bytes + bytes + 1);
        char *moved = realloc(to->text, room);
        to->no_memory = moved == NULL;
        if (!moved) return false;
        to->text = moved;
        to->room = room;
    }
    memcpy(to->text + to->bytes, text, bytes);
    to->bytes += bytes;
    to->text[to->bytes] = 0;
    return app_stop_signal() == 0;
}

ob_status eval_answer_make(eval_answer *answer, ob_session *session, const char *prompt, uint32_t most)
{
    *answer = (eval_answer){ 0 };
    collector to = { 0 };
    ob_generate_result result = { 0 };
    ob_status status = ob_session_rewind(session, 0);
    if (status == OB_OK)
        status = ob_session_generate(
            session,
            &(ob_generate_desc){ .prompt = prompt, .prompt_bytes = strlen(prompt), .max_tokens = most, .on_text = collect, .user = &to },
            &result);
    if (status == OB_OK && to.no_memory) status = OB_ERROR_MEMORY;
    if (status == OB_OK && app_stop_signal()) status = OB_ERROR_CANCELLED;
    if (status == OB_OK && !to.text) to.text = calloc(1, 1);
    *answer = (eval_answer){ to.text, to.bytes, result.tokens, result.stop == OB_STOP_END, result.seconds };
    return status;
}

/* ---- output ---------------------------------------------------------------------------------------------------------------- */

/* As a quotation: every line begins with "> ". */
static void print_quoted(const char *text)
{
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, "\n");
        printf(length ? "> %.*s\n" : ">\n", (int)length, at);
        at += length;
        if (!*at) return;
    }
}

static void print_answer(const char *name, const eval_answer *answer)
{
    char *text = prompt_strip(answer->text);
    printf("\n**%s** (%u tokens%s)\n\n", name, answer->tokens, answer->ended ? "" : ", cut off");
    print_quoted(text && *text ? text : "(nothing)");
    free(text);
}

static void put_answer(app_json *json, const char *name, const eval_answer *answer)
{
    app_json_open(json, NULL, '{');
    app_json_text(json, "model", name);
    app_json_text(json, "text", answer->text);
    app_json_count(json, "tokens", answer->tokens);
    app_json_bool(json, "ended", answer->ended);
    app_json_number(json, "seconds", answer->seconds);
    app_json_close(json);
}

/* ---- the command ------------------------------------------------------------------------------------------------------------- */

static const char examples[] = "  onebit-eval-vk generate -m student.gguf -m tuned.gguf\n"
                               "      what each answers to a handful of instructions, side by side: with and without tuning\n"
                               "  onebit-eval-vk generate -m tuned.gguf --prompts alpaca.jsonl -n 200 --json\n"
                               "      to the instructions of a file, for a script\n"
                               "  onebit-eval-vk generate -m tuned.gguf --prompts alpaca.jsonl --temp 0.7 --log tuned.jsonl\n"
                               "      drawn at random; run again, it goes on where it was stopped, with the same answers\n\n"
                               "A line of FILE is {\"instruction\": \"...\", \"input\": \"...\"}; input may be absent or empty. The text "
                               "around an instruction is the one that\n"
                               "onebit-train-vk tunes with (its key template): a model tuned with another will answer badly.\n";

typedef struct generate_options {
    eval_options eval;
    app_list models;
    const char *prompts, *log;
    int template;
    int64_t most, context, top_k, seed;
    double temperature, top_p;
} generate_options;

static int parse(generate_options *o, int argc, char **argv)
{
    *o = (generate_options){ .most = 128, .seed = 1, .top_p = 1 };
    const app_option options[] = {
        APP_ROW_HEADING("Models and instructions"),
        APP_ROW_LIST('m', "model", "FILE", "a model, a GGUF file (required); give it again for more of them", &o->models),
        APP_ROW_TEXT(0, "prompts", "FILE", "JSON lines with instruction and input (default: a handful of our own)", &o->prompts),
        APP_ROW_CHOICE(0, "template", "alpaca|plain", "the text around an instruction (default: alpaca)", &o->template),
        APP_ROW_HEADING("Answers"),
        APP_ROW_INTEGER('n', "predict", "N", "most tokens of an answer (default: 128)", &o->most, 1, 65536),
        APP_ROW_INTEGER('c', "ctx-size", "N", "context (default: the model's, at most 2048)", &o->context, 2, INT32_MAX),
        APP_ROW_REAL(0, "temp", "T", "temperature; 0: always the likeliest token (default: 0)", &o->temperature, 0, 100),
        APP_ROW_INTEGER(0, "top-k", "K", "choose among the K likeliest, 0: all (default: 0)", &o->top_k, 0, INT32_MAX),
        APP_ROW_REAL(0, "top-p", "P", "and among the likeliest that together have P (default: 1)", &o->top_p, 0.001, 1),
        APP_ROW_INTEGER('s', "seed", "N", "of every answer's draws (default: 1)", &o->seed, 0, INT32_MAX),
        EVAL_CACHE_ROW(o->eval),
        APP_ROW_HEADING("Output"),
        APP_ROW_TEXT(0, "log", "FILE", "a JSON line for every answer; a file that is there is continued", &o->log),
        APP_ROW_FLAG(0, "json", "print JSON instead of Markdown", &o->eval.json),
        EVAL_DEVICE_ROWS(o->eval),
    };
    const app_program program = {
        .name = "onebit-eval-vk generate",
        .purpose = "lets models answer instructions, side by side.",
        .usage = "-m MODEL.gguf [-m MODEL.gguf]... [--prompts FILE] [options]",
        .options = options,
        .common = &o->eval.common,
        .examples = examples,
    };
    int outcome = app_parse(&program, argc, argv, NULL);
    if (outcome != APP_GO_ON) return outcome;
    if (o->models.count == 0) return app_usage_error("no model was given; -m names a GGUF file");
    for (uint32_t i = 0; i < o->models.count && outcome == APP_GO_ON; i++) outcome = app_check_model_path(o->models.text[i]);
    return outcome;
}

/* A session for each answer, so that every one is drawn with the seed from the start. */
static ob_status make_answer(const generate_options *o, ob_model *model, const ob_model_info *info, const char *prompt, eval_answer *made)
{
    uint32_t context = info->context < LARGEST_CONTEXT ? info->context : LARGEST_CONTEXT;
    const ob_session_desc desc = { .context = o->context ? (uint32_t)o->context : context,
                                   .cache_type = (ob_cache_type)(OB_CACHE_F32 + o->eval.cache_type),
                                   .sampling = { .temperature = (float)o->temperature,
                                                 .top_k = (uint32_t)o->top_k,
                                                 .top_p = (float)o->top_p,
                                                 .seed = (uint64_t)o->seed } };
    ob_session *session;
    ob_status status = ob_session_create(&session, model, &desc);
    if (status == OB_OK) status = eval_answer_make(made, session, prompt, (uint32_t)o->most);
    ob_session_destroy(session);
    return status;
}

static const char *const templates[] = { "alpaca", "plain" };

static void begin(const generate_options *o, const eval_models *models, const eval_instructions *list, app_json *json)
{
    if (!o->eval.json) {
        printf("# Answers\n\n%zu instructions, template %s, at most %lld tokens, temperature %g\n\n", list->count, templates[o->template],
               (long long)o->most, o->temperature);
        for (uint32_t m = 0; m < models->count; m++)
            printf("- %s: %s, %s parameters%s\n", o->models.text[m], models->info[m].architecture,
                   app_count(models->info[m].parameters).text, models->info[m].onebit ? ", 1-bit" : "");
        return;
    }
    app_json_open(json, NULL, '{');
    app_json_text(json, "program", "onebit-eval-vk");
    app_json_text(json, "version", ob_version());
    app_json_text(json, "device", models->device.name);
    app_json_text(json, "template", templates[o->template]);
    app_json_count(json, "most_tokens", (uint64_t)o->most);
    app_json_number(json, "temperature", o->temperature);
    app_json_count(json, "seed", (uint64_t)o->seed);
    app_json_open(json, "instructions", '[');
}

/* All that an answer depends on but its prompt, for the log. */
static json_t *settings_of(const generate_options *o, const eval_models *models)
{
    eval_session session = eval_session_of(&o->eval);
    session.device = &models->device;
    json_t *settings = eval_settings("onebit-eval-vk generate 2", NULL, 0, &session), *hashes = json_array();
    for (uint32_t m = 0; hashes && m < models->count; m++) {
        const char *hash = item_log_hash(o->models.text[m]);
        json_array_append_new(hashes, json_string(hash ? hash : "unknown"));
    }
    json_t *of_answers = json_pack("{s:o, s:s, s:I, s:I, s:f, s:I, s:f, s:I}", "models", hashes, "template", templates[o->template],
                                   "most_tokens", (json_int_t)o->most, "context", (json_int_t)o->context, "temperature", o->temperature,
                                   "top_k", (json_int_t)o->top_k, "top_p", o->top_p, "seed", (json_int_t)o->seed);
    if (settings && (!of_answers || json_object_update(settings, of_answers) != 0)) {
        json_decref(settings);
        settings = NULL;
    }
    json_decref(of_answers);
    return settings;
}

/* ---- answering ----------------------------------------------------------------------------------------------------------------- */

typedef struct work {
    const generate_options *options;
    const eval_models *models;
    const eval_instructions *list;
    char **prompts; /* of each instruction */
    answer_log log;
    app_json json;
    app_progress progress;
    size_t done; /* answers that were made now */
} work;

static int open_log(work *w)
{
    const generate_options *o = w->options;
    w->log = (answer_log){
        .prompts = (const char *const *)w->prompts, .count = w->list->count, .models = w->models->count, .most = (uint32_t)o->most
    };
    json_t *settings = o->log ? settings_of(o, w->models) : NULL;
    if (o->log && !settings) return app_refuse(4, "there is not enough memory for a line of %s", o->log);
    int code = answer_log_open(&w->log, o->log, settings);
    json_decref(settings);
    return code;
}

/* Makes the answer and notes it, or takes it from the log, and prints it. */
static int answer_one(work *w, size_t i, uint32_t m)
{
    const generate_options *o = w->options;
    const char *name = o->models.text[m];
    const eval_answer *answer = answer_log_known(&w->log, i, m);
    eval_answer made = { 0 };
    int code = APP_GO_ON;
    if (!answer) {
        ob_status status = make_answer(o, w->models->model[m], &w->models->info[m], w->prompts[i], &made);
        int logged = status == OB_OK ? answer_log_add(&w->log, i, m, name, &made) : app_fail(status);
        if (logged != 0) code = logged;
        answer = &made;
    }
    if (code == APP_GO_ON && o->eval.json) put_answer(&w->json, name, answer);
    else if (code == APP_GO_ON) print_answer(name, answer);
    if (code == APP_GO_ON) fflush(stdout);
    if (code == APP_GO_ON && answer == &made) {
        size_t all = w->list->count * w->models->count - w->log.known_count;
        if (!app_progress_step((double)++w->done / (double)all, "answering", &w->progress)) code = app_fail(OB_ERROR_CANCELLED);
    }
    free(made.text);
    return code;
}

static int answer_all(work *w)
{
    const generate_options *o = w->options;
    app_json *json = &w->json;
    *json = (app_json){ .file = stdout };
    int code = APP_GO_ON;
    begin(o, w->models, w->list, json);
    app_progress_start(&w->progress);
    for (size_t i = 0; i < w->list->count && code == APP_GO_ON; i++) {
        const eval_instruction *of = &w->list->list[i];
        if (o->eval.json) {
            app_json_open(json, NULL, '{');
            app_json_text(json, "instruction", of->instruction);
            app_json_text(json, "input", of->input);
            app_json_open(json, "answers", '[');
        } else {
            printf("\n## %s\n", of->instruction);
            if (*of->input) printf("\nInput: %s\n", of->input);
        }
        for (uint32_t m = 0; m < w->models->count && code == APP_GO_ON; m++) code = answer_one(w, i, m);
        if (o->eval.json) {
            app_json_close(json);
            app_json_close(json);
        }
    }
    app_progress_end(&w->progress);
    if (o->eval.json) {
        app_json_close(json);
        app_json_close(json);
    }
    return code == APP_GO_ON ? 0 : code;
}

static int answer_with_log(const generate_options *o, const eval_models *models, const eval_instructions *list)
{
    work w = { .options = o, .models = models, .list = list, .prompts = calloc(list->count, sizeof *w.prompts) };
    int code = w.prompts ? APP_GO_ON : no_memory();
    for (size_t i = 0; i < list->count && code == APP_GO_ON; i++) {
        w.prompts[i] = eval_prompt_of((eval_template)o->template, &list->list[i]);
        if (!w.prompts[i]) code = no_memory();
    }
    if (code == APP_GO_ON) code = open_log(&w);
    if (code == APP_GO_ON) code = answer_all(&w);
    answer_log_close(&w.log);
    for (size_t i = 0; w.prompts && i < list->count; i++) free(w.prompts[i]);
    free(w.prompts);
    return code;
}

int eval_generate_main(int argc, char **argv)
{
    generate_options o;
    eval_instructions list;
    int code = parse(&o, argc, argv);
    if (code != APP_GO_ON) return code;
    code = eval_instructions_read(&list, o.prompts);
    if (code == APP_GO_ON) {
        app_catch_signals();
        eval_models models;
        code = eval_models_open(&models, &o.eval, o.models.text, o.models.count);
        if (code == APP_GO_ON) code = answer_with_log(&o, &models, &list);
        code = eval_models_close(&models, code);
    }
    eval_instructions_free(&list);
    return code;
}

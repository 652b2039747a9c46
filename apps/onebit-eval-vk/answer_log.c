#include "answer_log.h"

#include <stdlib.h>
#include <string.h>

#include "common/term.h"
#include "prompt.h"

static const char *hash_of(const answer_log *log, size_t prompt)
{
    return item_log_hash_of(log->prompts[prompt], strlen(log->prompts[prompt]));
}

/* The line has whole numbers `instruction` and `model`, from 1 on, and what was answered. */
static int take_row(const json_t *row, size_t line, void *user)
{
    answer_log *log = user;
    const json_t *prompt = json_object_get(row, "instruction"), *model = json_object_get(row, "model");
    const json_t *text = json_object_get(row, "text"), *tokens = json_object_get(row, "tokens");
    const json_t *ended = json_object_get(row, "ended"), *seconds = json_object_get(row, "seconds");
    const char *hash = json_string_value(json_object_get(row, "prompt"));
    json_int_t p = json_integer_value(prompt), m = json_integer_value(model), made = json_integer_value(tokens);
    if (!json_is_integer(prompt) || !json_is_integer(model) || m < 1 || m > log->models || !hash || !json_is_string(text) ||
        !json_is_integer(tokens) || made < 0 || made > log->most || !json_is_boolean(ended) ||
        !(json_number_value(seconds) >= 0) || !json_is_number(seconds))
        return app_refuse(5, "%s, line %zu: this is no answer of generate", log->items.path, line);
    if (p < 1 || (uint64_t)p > log->count || strcmp(hash_of(log, (size_t)p - 1), hash) != 0)
        return app_refuse(5, "%s, line %zu: this is no answer to instruction %lld; the log is of other prompts", log->items.path, line,
                          (long long)p);
    char *copy = prompt_join(json_string_value(text), NULL);
    if (!copy) return app_refuse(4, "there is not enough memory for the answers of %s", log->items.path);
    eval_answer *to = &log->known[(size_t)(p - 1) * log->models + (size_t)(m - 1)];
    log->known_count += !to->text;
    free(to->text); /* of two lines the last counts */
    *to = (eval_answer){ copy, strlen(copy), (uint32_t)made, json_is_true(ended), json_number_value(seconds) };
    return APP_GO_ON;
}

int answer_log_open(answer_log *log, const char *path, const json_t *settings)
{
    log->items = (item_log){ 0 };
    log->known = NULL;
    log->known_count = 0;
    if (!path) return APP_GO_ON;
    log->known = calloc(log->count, log->models * sizeof *log->known);
    if (!log->known) return app_refuse(4, "there is not enough memory for the answers of %s", path);
    int code = item_log_open(&log->items, path, settings, take_row, log);
    if (code == APP_GO_ON && log->known_count)
        app_note("%s has %zu of the %zu answers already", path, log->known_count, log->count * log->models);
    return code;
}

int answer_log_add(answer_log *log, size_t prompt, uint32_t model, const char *name, const eval_answer *answer)
{
    if (!log->items.file) return 0;
    /* A path may be any bytes: one that is no text is left out (o*). */
    json_t *row = json_pack("{s:I, s:I, s:o*, s:s, s:s, s:I, s:b, s:f}", "instruction", (json_int_t)prompt + 1, "model",
                            (json_int_t)model + 1, "name", json_string(name), "prompt", hash_of(log, prompt), "text", answer->text,
                            "tokens", (json_int_t)answer->tokens, "ended", answer->ended, "seconds", answer->seconds);
    if (!row) return app_refuse(4, "there is not enough memory for a line of %s", log->items.path);
    int code = item_log_add(&log->items, row);
    json_decref(row);
    return code;
}

const eval_answer *answer_log_known(const answer_log *log, size_t prompt, uint32_t model)
{
    const eval_answer *known = log->known ? &log->known[prompt * log->models + model] : NULL;
    return known && known->text ? known : NULL;
}

void answer_log_close(answer_log *log)
{
    for (size_t i = 0; log->known && i < log->count * log->models; i++) free(log->known[i].text);
    free(log->known);
    log->known = NULL;
    item_log_close(&log->items);
}

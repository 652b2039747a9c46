#include "protocol.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/args.h"
#include "common/term.h"
#include "mt19937.h"

#define DRAWS 256

const char *const eval_protocol_names[3] = { "text", "wikitext2", "c4" };

static int fail(ob_status status)
{
    if (status == OB_ERROR_MEMORY && !*ob_last_error()) return app_refuse(4, "there is not enough memory for the text");
    return app_fail(status);
}

/* ---- WikiText-2 -------------------------------------------------------------------------------------------------------- */

static bool is_blank(const char *line, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (line[i] != ' ' && (line[i] < '\t' || line[i] > '\r')) return false;
    return true;
}

int protocol_wikitext2(eval_corpus *corpus, const ob_model *model, const char *name, const char *text, size_t bytes, size_t window)
{
    size_t lines = 1, used = 0;
    for (size_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    char *joined = malloc(bytes + 2 * lines + 1);
    if (!joined) return app_refuse(4, "there is not enough memory for the text");
    for (const char *at = text, *end = text + bytes; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t count = (size_t)((stop ? stop + 1 : end) - at);
        if (at > text) {
            joined[used++] = '\n';
            joined[used++] = '\n';
        }
        if (!is_blank(at, count)) {
            memcpy(joined + used, at, count);
            used += count;
        }
        at += count;
    }
    ob_status status = corpus_from_text(corpus, model, joined, used, window);
    free(joined);
    if (status != OB_OK) return fail(status);
    if (corpus->window_count > 0 && corpus->windows[0].count == window) return APP_GO_ON;
    return app_refuse(5, "%s has %zu tokens, fewer than one window of %zu", name, corpus->id_count, window);
}

/* ---- C4 ------------------------------------------------------------------------------------------------------------------ */

typedef struct document {
    const char *line;
    size_t bytes;
    size_t tokens; /* 0: not known yet */
} document;

/* One line of the file; NULL, and has said why, when it is no document. */
static json_t *parse(const char *name, size_t number, const char *line, size_t bytes)
{
    json_error_t error;
    json_t *object = json_loadb(line, bytes, 0, &error);
    if (!object) app_refuse(5, "%s, line %zu: %s", name, number, error.text);
    else if (json_is_string(json_object_get(object, "text"))) return object;
    else
        app_refuse(5, "%s, line %zu: there is no \"text\"; a line of C4 is {\"text\": ..., \"timestamp\": ..., \"url\": ...}", name,
                   number);
    json_decref(object);
    return NULL;
}

/* Every line is looked at once, so that a damaged file is not used up to where the draws lead. */
static int list_documents(const char *name, const char *text, size_t bytes, document **documents, size_t *count)
{
    size_t room = 0;
    *documents = NULL;
    *count = 0;
    if (bytes >= 2 && memcmp(text, "\x1f\x8b", 2) == 0) return app_refuse(5, "%s is compressed; unpack it first (gunzip)", name);
    for (const char *at = text, *end = text + bytes; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at);
        if (*count == room) {
            room = room ? 2 * room : 1024;
            document *moved = realloc(*documents, room * sizeof *moved);
            if (!moved) return app_refuse(4, "there is not enough memory for the documents of %s", name);
            *documents = moved;
        }
        json_t *object = parse(name, *count + 1, at, length);
        if (!object) return 5;
        json_decref(object);
        (*documents)[(*count)++] = (document){ at, length, 0 };
        at += length + 1;
    }
    return *count && *count < INT32_MAX ? APP_GO_ON : app_refuse(5, "%s has no documents", name);
}

/* Appends a slice of the document, when it is long enough. */
static int try_document(eval_corpus *corpus, const ob_model *model, const char *name, document *d, size_t number, size_t window,
                        mt19937 *random)
{
    json_t *object = parse(name, number, d->line, d->bytes);
    if (!object) return 5;
    const json_t *text = json_object_get(object, "text");
    size_t first = corpus->id_count;
    ob_status status = corpus_encode(corpus, model, json_string_value(text), json_string_length(text), OB_TOKENIZE_BOS, &d->tokens);
    json_decref(object);
    if (status == OB_ERROR_DATA) return app_refuse(5, "%s, line %zu: %s", name, number, ob_last_error());
    if (status != OB_OK) return fail(status);
    corpus->id_count = first;
    if (d->tokens > window) {
        uint32_t at = mt19937_up_to(random, (uint32_t)(d->tokens - window - 1));
        memmove(corpus->ids + first, corpus->ids + first + at, window * sizeof *corpus->ids);
        corpus->id_count += window;
        status = corpus_add_window(corpus, first, window);
    }
    if (d->tokens == 0) d->tokens = 1; /* known, and too short */
    return status == OB_OK ? APP_GO_ON : fail(status);
}

int protocol_c4(eval_corpus *corpus, const ob_model *model, const char *name, const char *text, size_t bytes, size_t window)
{
    document *documents;
    size_t count, tried = 0;
    mt19937 random;
    memset(corpus, 0, sizeof *corpus);
    int code = list_documents(name, text, bytes, &documents, &count);
    if (code == APP_GO_ON) mt19937_seed(&random, 0);
    app_progress progress;
    app_progress_start(&progress);
    while (code == APP_GO_ON && corpus->window_count < DRAWS) {
        uint32_t drawn = mt19937_up_to(&random, (uint32_t)count - 1);
        document *d = &documents[drawn];
        if (d->tokens && d->tokens <= window) continue;
        tried += d->tokens == 0;
        code = try_document(corpus, model, name, d, drawn + 1, window, &random);
        if (code == APP_GO_ON && corpus->window_count == 0 && tried == count)
            code =
                app_refuse(5, "none of the %zu documents of %s has more than %zu tokens; use a shorter window (-c)", count, name, window);
        if (code == APP_GO_ON && !app_progress_step((double)corpus->window_count / DRAWS, "drawing documents", &progress))
            code = app_fail(OB_ERROR_CANCELLED);
    }
    app_progress_end(&progress);
    free(documents);
    return code;
}

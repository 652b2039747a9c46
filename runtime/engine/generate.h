/* generate: a prompt, and token after token what follows it, as text. What a call has given out and not fed yet, and text that it held
 * back, stay in the session for the next call. */
#ifndef OBI_ENGINE_GENERATE_H
#define OBI_ENGINE_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/text.h"
#include "model/tokenizer.h"

struct obi_session;

/* Of a session: valid while `at` is its position. */
typedef struct obi_generation {
    uint32_t at;
    bool owes;     /* `owed` was given out and comes first in what is fed next */
    uint32_t owed;
    bool ended;    /* the model ended its text: nothing follows without a prompt */
    obi_text text; /* held back */
} obi_generation;

typedef enum obi_stop { OBI_STOP_END, OBI_STOP_LENGTH, OBI_STOP_FULL, OBI_STOP_STRING, OBI_STOP_CALLBACK } obi_stop;

#define OBI_NO_TOKEN UINT32_MAX

typedef struct obi_generate_desc {
    const uint32_t *prompt; /* prompt_count ids; none: go on */
    size_t prompt_count;
    uint32_t max_tokens;    /* 0: no limit */
    bool ignore_end;
    obi_stops stops;
    const obi_tokenizer *tokenizer; /* NULL: the text of every token is empty, and nothing ends it */
    bool (*on_text)(const char *text, size_t bytes, uint32_t id, void *user);    /* NULL: none */
    bool (*progress)(double fraction, const char *what, void *user); /* of a prompt; NULL: none */
    void *user;
} obi_generate_desc;

typedef struct obi_generate_result {
    obi_stop stop;
    uint32_t tokens, prompt_tokens;
    uint32_t held_bytes; /* of an unfinished character */
    double prompt_seconds, seconds;
} obi_generate_result;

/* *result holds after a failure, too. */
obi_status obi_generate(struct obi_session *session, const obi_generate_desc *desc, obi_generate_result *result);

void obi_generation_forget(obi_generation *generation);

#endif

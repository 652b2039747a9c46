/* special_tokens: finds control and user tokens written out in a text. The texts are kept sorted, and a walk through
 * the text narrows the range of those that still agree, so that the cost at a position does not grow with the number
 * of tokens. Immutable once created. */
#ifndef OBI_MODEL_SPECIAL_TOKENS_H
#define OBI_MODEL_SPECIAL_TOKENS_H

#include "model/tokenizer.h"

typedef struct obi_special { obi_gguf_string text; uint32_t id; bool control; } obi_special;

typedef struct obi_special_tokens {
    obi_special *entries;  /* sorted by text, each text once */
    uint32_t count;
    char *storage;         /* the texts, with plain spaces */
    bool starts[2][256];   /* [0]: bytes that a user token starts with; [1]: that any does */
} obi_special_tokens;

/* Collects the vocab's control and user tokens. Of one text twice the user token is kept, then the lowest id. */
obi_status obi_special_tokens_create(obi_special_tokens *specials, const obi_vocab *vocab);
void obi_special_tokens_free(obi_special_tokens *specials); /* also fine on a zeroed struct */

/* The leftmost, then longest, at or after `position`: its entry and *start, or NULL. Control tokens only if asked. */
const obi_special *obi_special_tokens_next(const obi_special_tokens *specials, const char *text, size_t length, size_t position,
                                           bool control, size_t *start);

#endif

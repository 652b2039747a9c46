/* pretokenize: cuts text into the words within which byte BPE merges, by the pattern of a model family. Immutable and
 * shared by threads; each cut of a text has its own obi_words. */
#ifndef OBI_MODEL_PRETOKENIZE_H
#define OBI_MODEL_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

typedef struct obi_pretokenizer obi_pretokenizer;

/* The name that we use for a family: "llama3" and "llama-v3" are "llama-bpe". NULL for a family we do not know. */
const char *obi_pretokenizer_canonical(const char *name);

/* By any known name; another is OBI_ERROR_DATA that lists those we know. */
obi_status obi_pretokenizer_create(obi_pretokenizer **out, const char *name);
void obi_pretokenizer_free(obi_pretokenizer *pretokenizer); /* NULL is allowed */

bool obi_pretokenizer_takes_whole_words(const obi_pretokenizer *pretokenizer); /* a word that is a token is not merged up */
bool obi_pretokenizer_wants_nfc(const obi_pretokenizer *pretokenizer);         /* text is composed first */
bool obi_pretokenizer_adds_bos(const char *name);                              /* where a file does not say */

typedef struct obi_words {
    const obi_pretokenizer *pretokenizer;
    void *match; /* scratch of the pattern engine */
} obi_words;

obi_status obi_words_open(obi_words *words, const obi_pretokenizer *pretokenizer);
void obi_words_close(obi_words *words); /* also fine on a zeroed struct */

/* The end of the word that starts at `start` < length, always beyond it. `text` is valid UTF-8 and `start` lies between
 * two characters. */
obi_status obi_words_next(obi_words *words, const char *text, size_t length, size_t start, size_t *end);

#endif

/* vocab_build: collects tokens and merges while a tokenizer file is read, then becomes an obi_vocab. Private to quant/. */
#ifndef OBI_QUANT_VOCAB_BUILD_H
#define OBI_QUANT_VOCAB_BUILD_H

#include "model/tokenizer.h"

typedef struct obi_vocab_text { size_t offset, length; } obi_vocab_text; /* in the builder's bytes */

typedef struct obi_vocab_entry {
    obi_vocab_text text;
    float score;
    int32_t type; /* 0: no token has this id yet */
} obi_vocab_entry;

typedef struct obi_vocab_builder {
    const char *path;  /* for messages */
    uint32_t limit;    /* ids below this fit the model */
    obi_vocab vocab;   /* kind, pre, special ids and flags; the arrays are made by finish */
    char *bytes;
    size_t used, room;
    obi_vocab_entry *entries;
    uint32_t count, entry_room; /* count = highest id + 1 */
    obi_vocab_text *merges;
    uint32_t merge_count, merge_room;
} obi_vocab_builder;

/* Special ids start as -1. `path` is borrowed. */
void obi_vocab_build_begin(obi_vocab_builder *builder, const char *path, uint32_t limit);
void obi_vocab_build_free(obi_vocab_builder *builder); /* fine after finish, too */

/* Sets token `id`. A token that is there with the same text only changes its type; with another text it is
 * OBI_ERROR_DATA, and so is an id that the model has no row for. */
obi_status obi_vocab_build_token(obi_vocab_builder *builder, uint64_t id, const char *text, size_t length, float score, int32_t type);

/* Appends a merge. OBI_ERROR_DATA when "left right" could be split at another space. */
obi_status obi_vocab_build_merge(obi_vocab_builder *builder, const char *left, size_t left_length, const char *right, size_t right_length);

/* The id of a text, or -1. A linear search: for the few special tokens of a file. */
int32_t obi_vocab_build_find(const obi_vocab_builder *builder, const char *text);

/* Ids without a token become unused ones. Moves everything into *out, which the caller frees with obi_vocab_free. */
obi_status obi_vocab_build_finish(obi_vocab_builder *builder, obi_vocab *out);

/* The value of "<0xNN>" with two hexadecimal digits, or -1. */
int obi_vocab_byte_piece(const char *text, size_t length);

#endif

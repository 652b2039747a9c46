/* tokenizer_internal: what tokenizer.c shares with the kinds of encoding. */
#ifndef OBI_MODEL_TOKENIZER_INTERNAL_H
#define OBI_MODEL_TOKENIZER_INTERNAL_H

#include "model/merge_map.h"
#include "model/merger.h"
#include "model/piece_map.h"
#include "model/pretokenize.h"
#include "model/special_tokens.h"
#include "model/tokenizer.h"

#define OBI_SPACE_MARK "\xe2\x96\x81" /* U+2581, a space inside a token's text */
#define OBI_SPACE_MARK_LENGTH 3u
#define OBI_ALPHABET_SIZE 324u         /* code points below this may belong to GPT-2's byte alphabet */

struct obi_tokenizer {
    obi_vocab vocab;
    obi_piece_map pieces;            /* every text; where two tokens share one, ordinary tokens come before control tokens */
    obi_merge_map merges;            /* BPE */
    obi_special_tokens specials;
    obi_pretokenizer *pretokenizer;  /* BPE_BYTE */
    uint32_t byte_ids[256];          /* the token that stands for one byte, or OBI_PIECE_NONE */
    uint16_t alphabet[256];          /* BPE_BYTE: the code point that a byte is written as */
    int16_t alphabet_bytes[OBI_ALPHABET_SIZE]; /* the inverse; -1 = none */
};

/* One call of obi_tokenizer_encode: the result so far, and scratch memory that its pieces of text use in turn. */
typedef struct obi_encoding {
    const obi_tokenizer *tokenizer;
    uint32_t *ids;
    size_t count, capacity;
    obi_merger merger;
    char *buffer;                    /* text in the vocabulary's spelling */
    size_t buffer_capacity;
    bool after_unknown;              /* the last id stands for an unknown character of the same piece of text */
} obi_encoding;

obi_status obi_encoding_add(obi_encoding *encoding, uint32_t id);
/* For text that no token covers, up to a character: the byte tokens of its bytes; else unk, once for a run of such
 * characters; else OBI_ERROR_DATA. */
obi_status obi_encoding_add_unknown(obi_encoding *encoding, const char *text, size_t length);
obi_status obi_encoding_reserve_buffer(obi_encoding *encoding, size_t bytes);
/* Adds a symbol for each character of the text to the merger, which has room for `length` more. Bytes that are no
 * UTF-8 become a symbol each. `offset` is where text lies in the buffer that the symbols count in. */
void obi_encoding_add_characters(obi_encoding *encoding, const char *text, size_t length, size_t offset);

/* An obi_merger_rule over the encoding: the vocabulary's merges. */
bool obi_encoding_join_by_rank(const void *context, const obi_symbol *left, const obi_symbol *right, uint32_t *order, uint32_t *id);

/* A piece of text without special tokens, at least one byte unless there is a prefix; `prefix`: with a space in front. */
obi_status obi_encode_spm(obi_encoding *encoding, const char *text, size_t length, bool prefix);
obi_status obi_encode_bpe_char(obi_encoding *encoding, const char *text, size_t length, bool prefix);
obi_status obi_encode_bpe_byte(obi_encoding *encoding, const char *text, size_t length);

/* The ordinary token (normal, user or unused) of exactly this text, or OBI_PIECE_NONE: plain text never becomes a
 * control, unknown or byte token by its spelling. */
uint32_t obi_tokenizer_ordinary(const obi_tokenizer *tokenizer, const char *text, size_t length);

/* Copies a token's text with U+2581 turned into spaces: at most `room` bytes are written, the full length returned. */
size_t obi_spaces_plain(const obi_gguf_string *text, char *out, size_t room);

/* A short printable form of a token's text for messages: cut at 40 bytes, control bytes as '?'. */
typedef struct obi_quoted { char text[44]; } obi_quoted;
obi_quoted obi_quote(const char *text, uint64_t length);

#endif

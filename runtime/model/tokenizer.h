/* tokenizer: text to ids and back, for the two families that LLaMA models use.
 *
 *  SPM     SentencePiece BPE: characters, then repeatedly the adjacent pair whose joined piece scores highest
 *          (ties: leftmost). Unknown characters become byte pieces <0xNN>, or unk.
 *  BPE     merge ranks: repeatedly the adjacent pair with the lowest rank (ties: leftmost), over characters
 *          (Hugging Face "byte_fallback" form, spaces as U+2581) or over GPT-2 bytes after a pre-tokenizer split.
 *
 * A vocab is plain data, filled by an importer or from GGUF keys; a tokenizer is built from it, is immutable and may
 * be shared by threads. */
#ifndef OBI_MODEL_TOKENIZER_H
#define OBI_MODEL_TOKENIZER_H

#include "model/gguf.h"

typedef enum obi_vocab_kind {
    OBI_VOCAB_SPM = 0,      /* scores */
    OBI_VOCAB_BPE_CHAR = 1, /* merges over characters, no split, byte pieces for unknown ones */
    OBI_VOCAB_BPE_BYTE = 2  /* merges over GPT-2's byte alphabet, split by a pattern first */
} obi_vocab_kind;

typedef enum obi_token_type { /* GGUF's numbers */
    OBI_TOKEN_NORMAL = 1, OBI_TOKEN_UNKNOWN = 2, OBI_TOKEN_CONTROL = 3, OBI_TOKEN_USER = 4, OBI_TOKEN_UNUSED = 5, OBI_TOKEN_BYTE = 6
} obi_token_type;

/* Everything is owned by the vocab; release with obi_vocab_free. Zeroed is valid and empty. */
typedef struct obi_vocab {
    obi_vocab_kind kind;
    uint32_t count;
    obi_gguf_string *tokens;  /* count; texts as in the model file: U+2581 for space (SPM, BPE_CHAR), GPT-2 alphabet (BPE_BYTE) */
    float *scores;            /* count, SPM only; else NULL */
    int32_t *types;           /* count, obi_token_type */
    obi_gguf_string *merges;  /* merge_count texts "left right" split at the first space that leaves both sides non-empty; rank = index */
    uint32_t merge_count;
    char pre[32];             /* BPE_BYTE: "gpt-2", "llama-bpe" (LLaMA 3), "qwen2"; "" otherwise */
    int32_t bos, eos, unk, pad; /* ids, -1 = none */
    bool add_bos, add_eos;    /* what the model expects around a prompt */
    bool add_space_prefix;    /* SPM, BPE_CHAR: text gets a leading space */
    char *storage;            /* bytes that tokens and merges point into, when the vocab owns them */
} obi_vocab;

void obi_vocab_free(obi_vocab *vocab);

/* From tokenizer.ggml.* keys; copies. model "llama" -> SPM (or BPE_CHAR when onebit.tokenizer.kind says "bpe-char"),
 * "gpt2" -> BPE_BYTE with tokenizer.ggml.pre. An unknown model or pre-tokenizer is OBI_ERROR_DATA: a wrong split
 * would silently give wrong ids. */
obi_status obi_vocab_from_gguf(obi_vocab *vocab, const obi_gguf *gguf);
/* The inverse. BPE_CHAR writes model "llama" with scores = -rank, so that other programs come close, plus its merges
 * and onebit.tokenizer.kind, so that ours is exact. */
void obi_vocab_to_gguf(const obi_vocab *vocab, obi_gguf_writer *writer);

typedef struct obi_tokenizer obi_tokenizer;

/* Takes over *vocab (which is left zeroed), also on failure. Checks it: ids in range, no NULL texts, byte pieces
 * parsed strictly, at most 2^22 tokens. OBI_ERROR_DATA says what is wrong. */
obi_status obi_tokenizer_create(obi_tokenizer **out, obi_vocab *vocab);
void obi_tokenizer_free(obi_tokenizer *tokenizer); /* NULL is allowed */
const obi_vocab *obi_tokenizer_vocab(const obi_tokenizer *tokenizer);

typedef enum obi_encode_flags {
    OBI_ENCODE_BOS = 1,     /* put bos in front, if the vocab has one */
    OBI_ENCODE_EOS = 2,     /* put eos behind */
    OBI_ENCODE_SPECIAL = 4  /* control tokens written out in the text ("<|end|>") become their ids; user tokens always do */
} obi_encode_flags;

/* Encodes `length` bytes (any bytes; invalid UTF-8 is treated byte by byte). *ids is allocated with obi_calloc and the
 * caller frees it with obi_free; *count may be 0. Time is O(n log n) in the length of a word. A character that has
 * neither a piece nor byte pieces nor unk is OBI_ERROR_DATA naming it. */
obi_status obi_tokenizer_encode(const obi_tokenizer *tokenizer, const char *text, size_t length, unsigned flags,
                                uint32_t **ids, size_t *count);

/* The bytes that `id` stands for when it follows `previous` (or -1 at the start of a text, where SPM drops the leading
 * space; pass bos there if it was fed). Control tokens give no bytes. Writes at most `room` bytes, no NUL, and returns
 * the full length. Bytes may be part of a UTF-8 character: concatenate. */
size_t obi_tokenizer_piece(const obi_tokenizer *tokenizer, int64_t previous, uint32_t id, char *out, size_t room);

/* The id whose text is exactly `text`, or -1. */
int64_t obi_tokenizer_find(const obi_tokenizer *tokenizer, const char *text, size_t length);

#endif

/* tokens: small vocabularies written out in a test, and encoding and reading back in one call each. */
#ifndef OB_TESTS_TOKENS_H
#define OB_TESTS_TOKENS_H

#include <string.h>

#include "data.h"
#include "core/alloc.h"
#include "model/tokenizer.h"

typedef struct token_row { const char *text; int32_t type; float score; } token_row;

/* A vocab with these tokens; ends at a NULL text. No special ids, no merges. */
static inline obi_vocab tokens_vocab(obi_vocab_kind kind, const token_row *rows)
{
    obi_vocab vocab = { .kind = kind, .bos = -1, .eos = -1, .unk = -1, .pad = -1 };
    while (rows[vocab.count].text) vocab.count++;
    vocab.tokens = obi_calloc(vocab.count, sizeof *vocab.tokens);
    vocab.types = obi_calloc(vocab.count, sizeof *vocab.types);
    if (kind == OBI_VOCAB_SPM) vocab.scores = obi_calloc(vocab.count, sizeof *vocab.scores);
    for (uint32_t id = 0; id < vocab.count; id++) {
        vocab.tokens[id] = (obi_gguf_string){ rows[id].text, strlen(rows[id].text) };
        vocab.types[id] = rows[id].type;
        if (vocab.scores) vocab.scores[id] = rows[id].score;
    }
    return vocab;
}

static inline void tokens_add_merges(obi_vocab *vocab, const char *const *merges)
{
    while (merges[vocab->merge_count]) vocab->merge_count++;
    vocab->merges = obi_calloc(vocab->merge_count, sizeof *vocab->merges);
    for (uint32_t i = 0; i < vocab->merge_count; i++) vocab->merges[i] = (obi_gguf_string){ merges[i], strlen(merges[i]) };
}

static inline obi_tokenizer *tokens_create(obi_vocab *vocab)
{
    obi_tokenizer *tokenizer;
    if (obi_tokenizer_create(&tokenizer, vocab) != OBI_OK) fail_msg("no tokenizer: %s", obi_last_error());
    return tokenizer;
}

static inline obi_tokenizer *tokens_open_gguf(const char *relative)
{
    obi_gguf gguf;
    obi_vocab vocab;
    if (obi_gguf_open(&gguf, test_data_path(relative)) != OBI_OK) fail_msg("%s", obi_last_error());
    if (obi_vocab_from_gguf(&vocab, &gguf) != OBI_OK) fail_msg("%s", obi_last_error());
    obi_gguf_close(&gguf);
    return tokens_create(&vocab);
}

/* Encodes `text` and compares with the ids written as text ("1 2 3"); says what came out where they differ. */
static inline void tokens_expect_bytes(const obi_tokenizer *tokenizer, const char *text, size_t length, unsigned flags,
                                       const char *expected)
{
    uint32_t *ids;
    size_t count;
    if (obi_tokenizer_encode(tokenizer, text, length, flags, &ids, &count) != OBI_OK) fail_msg("\"%s\": %s", text, obi_last_error());
    char *written = calloc(count + 1, 12), *end = written;
    for (size_t i = 0; i < count; i++) end += sprintf(end, i ? " %u" : "%u", ids[i]);
    bool same = strcmp(written, expected) == 0;
    if (!same) print_error("\"%.*s\" gave\n  %s, not\n  %s\n", (int)length, text, written, expected);
    free(written);
    obi_free(ids);
    assert_true(same);
}

static inline void tokens_expect(const obi_tokenizer *tokenizer, const char *text, unsigned flags, const char *expected)
{
    tokens_expect_bytes(tokenizer, text, strlen(text), flags, expected);
}

/* What `count` ids stand for, read in sequence; the caller frees it with obi_free. */
static inline char *tokens_read_back(const obi_tokenizer *tokenizer, const uint32_t *ids, size_t count, size_t *length)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += obi_tokenizer_piece(tokenizer, i ? (int64_t)ids[i - 1] : -1, ids[i], NULL, 0);
    char *text = obi_calloc(bytes + 1, 1);
    *length = 0;
    for (size_t i = 0; i < count; i++)
        *length += obi_tokenizer_piece(tokenizer, i ? (int64_t)ids[i - 1] : -1, ids[i], text + *length, bytes - *length);
    assert_int_equal(*length, bytes);
    return text;
}

/* decode(encode(text)) == text, byte for byte. */
static inline void tokens_expect_round_trip(const obi_tokenizer *tokenizer, const char *text, size_t length, unsigned flags)
{
    uint32_t *ids;
    size_t count, read_length;
    if (obi_tokenizer_encode(tokenizer, text, length, flags, &ids, &count) != OBI_OK) fail_msg("%s", obi_last_error());
    char *read = tokens_read_back(tokenizer, ids, count, &read_length);
    bool same = read_length == length && (length == 0 || memcmp(read, text, length) == 0);
    if (!same) print_error("\"%.*s\" was read back as\n\"%.*s\"\n", (int)length, text, (int)read_length, read);
    obi_free(read);
    obi_free(ids);
    assert_true(same);
}

#endif

#include "model/tokenizer.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "model/tokenizer_internal.h"
#include "model/utf8.h"

#define TOKENS_LIMIT (1u << 22)

/* ---- checks ------------------------------------------------------------------------------------------ */

static obi_status check_id(const obi_vocab *vocab, const char *what, int32_t id)
{
    if (id >= -1 && (id < 0 || (uint32_t)id < vocab->count)) return OBI_OK;
    return obi_fail(OBI_ERROR_DATA, "the vocabulary's %s id is %d, but it has %u tokens; the tokenizer is damaged", what, id, vocab->count);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The byte that a text of exactly the form <0xNN> stands for, or -1. */
static int byte_of_piece(const obi_gguf_string *text)
{
    if (text->length != 6 || memcmp(text->text, "<0x", 3) != 0 || text->text[5] != '>') return -1;
    int high = hex_digit(text->text[3]), low = hex_digit(text->text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static obi_status check_token(const obi_vocab *vocab, uint32_t id)
{
    const obi_gguf_string *text = &vocab->tokens[id];
    if (!text->text) return obi_fail(OBI_ERROR_DATA, "token %u of the vocabulary has no text; the tokenizer is damaged", id);
    int32_t type = vocab->types[id];
    if (type < OBI_TOKEN_NORMAL || type > OBI_TOKEN_BYTE)
        return obi_fail(OBI_ERROR_DATA, "token %u (\"%s\") of the vocabulary has the type %d; types are 1 to 6", id,
                        obi_quote(text->text, text->length).text, type);
    if (type == OBI_TOKEN_BYTE && byte_of_piece(text) < 0)
        return obi_fail(OBI_ERROR_DATA, "token %u of the vocabulary is marked as a byte, but its text \"%s\" is not of the form <0xNN>", id,
                        obi_quote(text->text, text->length).text);
    if (vocab->kind == OBI_VOCAB_SPM && isnan(vocab->scores[id]))
        return obi_fail(OBI_ERROR_DATA, "the score of token %u (\"%s\") of the vocabulary is not a number", id,
                        obi_quote(text->text, text->length).text);
    return OBI_OK;
}

static obi_status check_vocab(const obi_vocab *vocab)
{
    if (vocab->kind != OBI_VOCAB_SPM && vocab->kind != OBI_VOCAB_BPE_CHAR && vocab->kind != OBI_VOCAB_BPE_BYTE)
        return obi_fail(OBI_ERROR_DATA, "the vocabulary is of an unknown kind (%d)", (int)vocab->kind);
    if (vocab->count == 0 || !vocab->tokens) return obi_fail(OBI_ERROR_DATA, "the vocabulary is empty; the model came without a tokenizer");
    if (vocab->count > TOKENS_LIMIT)
        return obi_fail(OBI_ERROR_DATA, "the vocabulary has %u tokens; at most %u are supported", vocab->count, TOKENS_LIMIT);
    if (!vocab->types) return obi_fail(OBI_ERROR_DATA, "the vocabulary has no token types");
    if (vocab->kind == OBI_VOCAB_SPM && !vocab->scores)
        return obi_fail(OBI_ERROR_DATA, "the vocabulary has no scores, which a SentencePiece tokenizer needs");
    if (vocab->merge_count && !vocab->merges) return obi_fail(OBI_ERROR_DATA, "the vocabulary's merges are missing");
    if (!memchr(vocab->pre, 0, sizeof vocab->pre)) return obi_fail(OBI_ERROR_DATA, "the pre-tokenizer's name is too long");
    OBI_TRY(check_id(vocab, "beginning-of-text", vocab->bos));
    OBI_TRY(check_id(vocab, "end-of-text", vocab->eos));
    OBI_TRY(check_id(vocab, "unknown-token", vocab->unk));
    OBI_TRY(check_id(vocab, "padding", vocab->pad));
    for (uint32_t id = 0; id < vocab->count; id++) OBI_TRY(check_token(vocab, id));
    return OBI_OK;
}

/* ---- building ---------------------------------------------------------------------------------------- */

static obi_status load_pieces(obi_tokenizer *tokenizer)
{
    const obi_vocab *vocab = &tokenizer->vocab;
    OBI_TRY(obi_piece_map_create(&tokenizer->pieces, vocab->tokens, vocab->count));
    /* Ordinary tokens first: of one text twice, the one that plain text may use is found. */
    for (uint32_t id = 0; id < vocab->count; id++)
        if (vocab->types[id] == OBI_TOKEN_NORMAL || vocab->types[id] == OBI_TOKEN_USER) obi_piece_map_add(&tokenizer->pieces, id);
    for (uint32_t id = 0; id < vocab->count; id++)
        if (vocab->types[id] != OBI_TOKEN_NORMAL && vocab->types[id] != OBI_TOKEN_USER) obi_piece_map_add(&tokenizer->pieces, id);
    return OBI_OK;
}

/* GPT-2's alphabet: a byte that is a visible Latin-1 character is that character, the others are numbered from U+0100. */
static void load_alphabet(obi_tokenizer *tokenizer)
{
    uint16_t next = 256;
    memset(tokenizer->alphabet_bytes, 0xff, sizeof tokenizer->alphabet_bytes);
    for (unsigned byte = 0; byte < 256; byte++) {
        bool visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
        uint16_t codepoint = visible ? (uint16_t)byte : next++;
        tokenizer->alphabet[byte] = codepoint;
        tokenizer->alphabet_bytes[codepoint] = (int16_t)byte;
    }
}

static void load_bytes(obi_tokenizer *tokenizer)
{
    const obi_vocab *vocab = &tokenizer->vocab;
    for (unsigned byte = 0; byte < 256; byte++) tokenizer->byte_ids[byte] = OBI_PIECE_NONE;
    if (vocab->kind == OBI_VOCAB_BPE_BYTE) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[2];
            size_t length = obi_utf8_encode_short(tokenizer->alphabet[byte], text);
            tokenizer->byte_ids[byte] = obi_tokenizer_ordinary(tokenizer, text, length);
        }
    }
    for (uint32_t id = 0; id < vocab->count; id++) {
        if (vocab->types[id] != OBI_TOKEN_BYTE) continue;
        uint32_t *slot = &tokenizer->byte_ids[byte_of_piece(&vocab->tokens[id])]; /* check_token has seen the form */
        if (*slot == OBI_PIECE_NONE) *slot = id;
    }
}

static obi_status load_merges(obi_tokenizer *tokenizer)
{
    const obi_vocab *vocab = &tokenizer->vocab;
    obi_status status = OBI_OK;
    char *joined = obi_calloc((size_t)tokenizer->pieces.longest + 1, 1);
    if (!joined) return OBI_ERROR_MEMORY;
    OBI_TRY_GOTO(obi_merge_map_create(&tokenizer->merges, vocab->merge_count));
    for (uint32_t rank = 0; rank < vocab->merge_count; rank++) {
        const obi_gguf_string *merge = &vocab->merges[rank];
        uint64_t at = merge->text ? obi_merge_split(merge) : 0;
        if (at == 0) {
            status = obi_fail(OBI_ERROR_DATA, "merge %u of the vocabulary (\"%s\") is not two pieces with a space between", rank,
                              merge->text ? obi_quote(merge->text, merge->length).text : "");
            goto done;
        }
        uint32_t left = obi_piece_map_find(&tokenizer->pieces, merge->text, at);
        uint32_t right = obi_piece_map_find(&tokenizer->pieces, merge->text + at + 1, merge->length - at - 1);
        uint32_t id = OBI_PIECE_NONE;
        if (merge->length - 1 <= tokenizer->pieces.longest) {
            obi_merge_join(merge, at, joined);
            id = obi_piece_map_find(&tokenizer->pieces, joined, merge->length - 1);
        }
        if (left == OBI_PIECE_NONE || right == OBI_PIECE_NONE || id == OBI_PIECE_NONE) {
            status = obi_fail(OBI_ERROR_DATA, "merge %u of the vocabulary (\"%s\") names a piece that is not among its tokens", rank,
                              obi_quote(merge->text, merge->length).text);
            goto done;
        }
        /* Plain text never becomes a control token. */
        if (vocab->types[id] != OBI_TOKEN_CONTROL) obi_merge_map_add(&tokenizer->merges, left, right, rank, id);
    }
done:
    obi_free(joined);
    return status;
}

obi_status obi_tokenizer_create(obi_tokenizer **out, obi_vocab *vocab)
{
    *out = NULL;
    obi_status status = OBI_OK;
    obi_tokenizer *tokenizer = obi_calloc(1, sizeof *tokenizer);
    if (!tokenizer) {
        obi_vocab_free(vocab);
        return OBI_ERROR_MEMORY;
    }
    tokenizer->vocab = *vocab;
    memset(vocab, 0, sizeof *vocab);
    OBI_TRY_GOTO(check_vocab(&tokenizer->vocab));
    OBI_TRY_GOTO(load_pieces(tokenizer));
    load_alphabet(tokenizer);
    load_bytes(tokenizer);
    if (tokenizer->vocab.kind != OBI_VOCAB_SPM) OBI_TRY_GOTO(load_merges(tokenizer));
    if (tokenizer->vocab.kind == OBI_VOCAB_BPE_BYTE) OBI_TRY_GOTO(obi_pretokenizer_create(&tokenizer->pretokenizer, tokenizer->vocab.pre));
    OBI_TRY_GOTO(obi_special_tokens_create(&tokenizer->specials, &tokenizer->vocab));
    *out = tokenizer;
    return OBI_OK;
done:
    obi_tokenizer_free(tokenizer);
    return status;
}

void obi_tokenizer_free(obi_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    obi_pretokenizer_free(tokenizer->pretokenizer);
    obi_special_tokens_free(&tokenizer->specials);
    obi_merge_map_free(&tokenizer->merges);
    obi_piece_map_free(&tokenizer->pieces);
    obi_vocab_free(&tokenizer->vocab);
    obi_free(tokenizer);
}

const obi_vocab *obi_tokenizer_vocab(const obi_tokenizer *tokenizer) { return &tokenizer->vocab; }

int64_t obi_tokenizer_find(const obi_tokenizer *tokenizer, const char *text, size_t length)
{
    uint32_t id = obi_piece_map_find(&tokenizer->pieces, text, length);
    return id == OBI_PIECE_NONE ? -1 : (int64_t)id;
}

/* ---- encoding ---------------------------------------------------------------------------------------- */

static obi_status encode_plain(obi_encoding *encoding, const char *text, size_t length, bool prefix)
{
    encoding->after_unknown = false;
    switch (encoding->tokenizer->vocab.kind) {
    case OBI_VOCAB_SPM: return obi_encode_spm(encoding, text, length, prefix);
    case OBI_VOCAB_BPE_CHAR: return obi_encode_bpe_char(encoding, text, length, prefix);
    case OBI_VOCAB_BPE_BYTE: break;
    }
    return obi_encode_bpe_byte(encoding, text, length);
}

/* The space that SPM puts in front comes once at the start of the text and again after each control token, which
 * separates one text from another (a turn of a chat); a user token is part of its text and brings none. Reading back
 * (obi_tokenizer_piece) drops a space in the same two places. */
static obi_status encode_text(obi_encoding *encoding, const char *text, size_t length, bool control)
{
    const obi_tokenizer *tokenizer = encoding->tokenizer;
    bool spaced = tokenizer->vocab.add_space_prefix && tokenizer->vocab.kind != OBI_VOCAB_BPE_BYTE;
    bool fresh = true;
    for (size_t position = 0; position < length;) {
        size_t start = length;
        const obi_special *special = obi_special_tokens_next(&tokenizer->specials, text, length, position, control, &start);
        bool prefix = spaced && fresh && (start > position || (special && !special->control));
        if (start > position || prefix) {
            OBI_TRY(encode_plain(encoding, text + position, start - position, prefix));
            fresh = false;
        }
        position = start;
        if (!special) continue;
        OBI_TRY(obi_encoding_add(encoding, special->id));
        fresh = special->control;
        position += (size_t)special->text.length;
    }
    return OBI_OK;
}

obi_status obi_tokenizer_encode(const obi_tokenizer *tokenizer, const char *text, size_t length, unsigned flags,
                                uint32_t **ids, size_t *count)
{
    *ids = NULL;
    *count = 0;
    const size_t limit = UINT32_MAX / OBI_SPACE_MARK_LENGTH - 8; /* positions are 32-bit, and every byte may be a space */
    if (length > limit)
        return obi_fail(OBI_ERROR_ARGUMENT, "the text has %zu bytes; at most %zu can be encoded at once, so split it", length, limit);
    const obi_vocab *vocab = &tokenizer->vocab;
    obi_encoding encoding = { .tokenizer = tokenizer };
    obi_status status = OBI_OK;
    if ((flags & OBI_ENCODE_BOS) && vocab->bos >= 0) OBI_TRY_GOTO(obi_encoding_add(&encoding, (uint32_t)vocab->bos));
    OBI_TRY_GOTO(encode_text(&encoding, text, length, (flags & OBI_ENCODE_SPECIAL) != 0));
    if ((flags & OBI_ENCODE_EOS) && vocab->eos >= 0) OBI_TRY_GOTO(obi_encoding_add(&encoding, (uint32_t)vocab->eos));
    if (!encoding.ids) { /* an empty result is still something to free */
        encoding.ids = obi_calloc(1, sizeof *encoding.ids);
        if (!encoding.ids) status = OBI_ERROR_MEMORY;
    }
done:
    obi_merger_free(&encoding.merger);
    obi_free(encoding.buffer);
    if (status != OBI_OK) {
        obi_free(encoding.ids);
        return status;
    }
    *ids = encoding.ids;
    *count = encoding.count;
    return OBI_OK;
}

/* ---- reading back ------------------------------------------------------------------------------------ */

static size_t write_bytes(const char *bytes, size_t length, char *out, size_t room)
{
    size_t copied = length < room ? length : room;
    if (copied) memcpy(out, bytes, copied);
    return length;
}

/* From GPT-2's alphabet; what is not of it stands for itself. */
static size_t write_alphabet(const obi_tokenizer *tokenizer, const obi_gguf_string *text, char *out, size_t room)
{
    size_t written = 0;
    for (uint64_t i = 0; i < text->length;) {
        uint32_t codepoint;
        size_t bytes = obi_utf8_decode(text->text + i, (size_t)(text->length - i), &codepoint);
        int byte = bytes && codepoint < OBI_ALPHABET_SIZE ? tokenizer->alphabet_bytes[codepoint] : -1;
        size_t left = room > written ? room - written : 0;
        if (bytes == 0) bytes = 1;
        if (byte >= 0) {
            char plain = (char)byte;
            written += write_bytes(&plain, 1, out + (left ? written : 0), left);
        } else {
            written += write_bytes(text->text + i, bytes, out + (left ? written : 0), left);
        }
        i += bytes;
    }
    return written;
}

size_t obi_tokenizer_piece(const obi_tokenizer *tokenizer, int64_t previous, uint32_t id, char *out, size_t room)
{
    const obi_vocab *vocab = &tokenizer->vocab;
    if (id >= vocab->count || vocab->types[id] == OBI_TOKEN_CONTROL) return 0;
    obi_gguf_string text = vocab->tokens[id];
    bool fresh = previous < 0 || previous == vocab->bos ||
                 ((uint64_t)previous < vocab->count && vocab->types[previous] == OBI_TOKEN_CONTROL);
    bool drop = fresh && vocab->add_space_prefix && vocab->kind != OBI_VOCAB_BPE_BYTE;
    if (vocab->types[id] == OBI_TOKEN_BYTE) {
        char byte = (char)byte_of_piece(&text);
        return drop && byte == ' ' ? 0 : write_bytes(&byte, 1, out, room);
    }
    if (vocab->kind == OBI_VOCAB_BPE_BYTE)
        return vocab->types[id] == OBI_TOKEN_NORMAL ? write_alphabet(tokenizer, &text, out, room)
                                                    : write_bytes(text.text, (size_t)text.length, out, room);
    if (drop) {
        if (text.length >= OBI_SPACE_MARK_LENGTH && memcmp(text.text, OBI_SPACE_MARK, OBI_SPACE_MARK_LENGTH) == 0) {
            text.text += OBI_SPACE_MARK_LENGTH;
            text.length -= OBI_SPACE_MARK_LENGTH;
        } else if (text.length && text.text[0] == ' ') {
            text.text++;
            text.length--;
        }
    }
    return obi_spaces_plain(&text, out, room);
}

/* tokenizer_text: how texts and tokens are spelled: space marks, characters, unknown ones. */
#include <string.h>

#include "core/alloc.h"
#include "model/tokenizer_internal.h"
#include "model/utf8.h"

size_t obi_spaces_plain(const obi_gguf_string *text, char *out, size_t room)
{
    size_t written = 0;
    for (uint64_t i = 0; i < text->length; written++) {
        bool mark = text->length - i >= OBI_SPACE_MARK_LENGTH && memcmp(text->text + i, OBI_SPACE_MARK, OBI_SPACE_MARK_LENGTH) == 0;
        if (written < room) out[written] = mark ? ' ' : text->text[i];
        i += mark ? OBI_SPACE_MARK_LENGTH : 1;
    }
    return written;
}

obi_quoted obi_quote(const char *text, uint64_t length)
{
    obi_quoted quoted;
    size_t kept = length < 40 ? (size_t)length : 40;
    for (size_t i = 0; i < kept; i++) quoted.text[i] = (uint8_t)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    memcpy(quoted.text + kept, kept < length ? "..." : "", kept < length ? 4 : 1);
    return quoted;
}

uint32_t obi_tokenizer_ordinary(const obi_tokenizer *tokenizer, const char *text, size_t length)
{
    uint32_t id = obi_piece_map_find(&tokenizer->pieces, text, length);
    if (id == OBI_PIECE_NONE) return id;
    int32_t type = tokenizer->vocab.types[id];
    return type == OBI_TOKEN_NORMAL || type == OBI_TOKEN_USER || type == OBI_TOKEN_UNUSED ? id : OBI_PIECE_NONE;
}

obi_status obi_encoding_add(obi_encoding *encoding, uint32_t id)
{
    if (encoding->count == encoding->capacity) {
        size_t capacity = encoding->capacity ? 2 * encoding->capacity : 64;
        uint32_t *ids = obi_realloc(encoding->ids, capacity, sizeof *ids);
        if (!ids) return OBI_ERROR_MEMORY;
        encoding->ids = ids;
        encoding->capacity = capacity;
    }
    encoding->ids[encoding->count++] = id;
    encoding->after_unknown = false;
    return OBI_OK;
}

obi_status obi_encoding_add_unknown(obi_encoding *encoding, const char *text, size_t length)
{
    const obi_tokenizer *tokenizer = encoding->tokenizer;
    static const char space = ' ';
    bool mark = length == OBI_SPACE_MARK_LENGTH && memcmp(text, OBI_SPACE_MARK, length) == 0;
    if (mark && tokenizer->byte_ids[(uint8_t)space] != OBI_PIECE_NONE) {
        /* A vocabulary without a space of its own: the byte for a space, so that it reads back as one. */
        text = &space;
        length = 1;
    }
    bool bytes = true;
    for (size_t i = 0; i < length; i++) bytes = bytes && tokenizer->byte_ids[(uint8_t)text[i]] != OBI_PIECE_NONE;
    if (bytes) {
        for (size_t i = 0; i < length; i++) OBI_TRY(obi_encoding_add(encoding, tokenizer->byte_ids[(uint8_t)text[i]]));
        return OBI_OK;
    }
    if (tokenizer->vocab.unk >= 0) {
        if (encoding->after_unknown) return OBI_OK;
        OBI_TRY(obi_encoding_add(encoding, (uint32_t)tokenizer->vocab.unk));
        encoding->after_unknown = true;
        return OBI_OK;
    }
    uint32_t codepoint;
    size_t character = obi_utf8_decode(text, length, &codepoint);
    if (character == length)
        return obi_fail(OBI_ERROR_DATA, "the model's vocabulary has no token for the character U+%04X \"%s\", and neither byte tokens "
                        "nor an unknown token to put in its place; leave it out of the text", (unsigned)codepoint,
                        obi_quote(text, length).text);
    return obi_fail(OBI_ERROR_DATA, "the model's vocabulary has no token for the byte 0x%02X and no unknown token to put in its place; "
                    "leave it out of the text", (unsigned)(uint8_t)text[0]);
}

obi_status obi_encoding_reserve_buffer(obi_encoding *encoding, size_t bytes)
{
    if (bytes <= encoding->buffer_capacity) return OBI_OK;
    char *buffer = obi_realloc(encoding->buffer, bytes, 1);
    if (!buffer) return OBI_ERROR_MEMORY;
    encoding->buffer = buffer;
    encoding->buffer_capacity = bytes;
    return OBI_OK;
}

void obi_encoding_add_characters(obi_encoding *encoding, const char *text, size_t length, size_t offset)
{
    for (size_t i = 0; i < length;) {
        uint32_t codepoint;
        size_t bytes = obi_utf8_decode(text + i, length - i, &codepoint);
        if (bytes == 0) bytes = 1;
        uint32_t id = obi_tokenizer_ordinary(encoding->tokenizer, text + i, bytes);
        obi_merger_add(&encoding->merger, (uint32_t)(offset + i), (uint32_t)bytes, id);
        i += bytes;
    }
}

bool obi_encoding_join_by_rank(const void *context, const obi_symbol *left, const obi_symbol *right, uint32_t *order, uint32_t *id)
{
    const obi_encoding *encoding = context;
    const obi_merge *merge = obi_merge_map_find(&encoding->tokenizer->merges, left->id, right->id);
    if (!merge) return false;
    *order = merge->rank;
    *id = merge->id;
    return true;
}

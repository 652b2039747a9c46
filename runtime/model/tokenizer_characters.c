/* The two kinds whose tokens are made of characters. SPM: any two neighbours may join whose texts together are a piece,
 * and the piece's score decides which do first. BPE_CHAR: the list of merges decides both. */
#include <string.h>

#include "model/tokenizer_internal.h"

/* Writes the text with spaces as U+2581 into the encoding's buffer. */
static obi_status mark_spaces(obi_encoding *encoding, const char *text, size_t length, bool prefix, size_t *written)
{
    size_t spaces = prefix;
    for (size_t i = 0; i < length; i++) spaces += text[i] == ' ';
    *written = length - (spaces - prefix) + spaces * OBI_SPACE_MARK_LENGTH;
    OBI_TRY(obi_encoding_reserve_buffer(encoding, *written));
    char *out = encoding->buffer;
    if (prefix) {
        memcpy(out, OBI_SPACE_MARK, OBI_SPACE_MARK_LENGTH);
        out += OBI_SPACE_MARK_LENGTH;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] == ' ') {
            memcpy(out, OBI_SPACE_MARK, OBI_SPACE_MARK_LENGTH);
            out += OBI_SPACE_MARK_LENGTH;
        } else {
            *out++ = text[i];
        }
    }
    return OBI_OK;
}

/* Higher scores give lower numbers. A float's bits, read as an integer, sort like the float once negative ones are
 * turned around. */
static uint32_t order_of_score(float score)
{
    float positive_zero = score + 0.0f;
    uint32_t bits;
    memcpy(&bits, &positive_zero, sizeof bits);
    return bits & 0x80000000u ? bits : ~(bits | 0x80000000u);
}

static bool join_by_score(const void *context, const obi_symbol *left, const obi_symbol *right, uint32_t *order, uint32_t *id)
{
    const obi_encoding *encoding = context;
    *id = obi_tokenizer_ordinary(encoding->tokenizer, encoding->buffer + left->offset, left->length + right->length);
    if (*id == OBI_PIECE_NONE) return false;
    *order = order_of_score(encoding->tokenizer->vocab.scores[*id]);
    return true;
}

static obi_status encode_characters(obi_encoding *encoding, const char *text, size_t length, bool prefix, obi_merger_rule rule)
{
    size_t marked;
    OBI_TRY(mark_spaces(encoding, text, length, prefix, &marked));
    OBI_TRY(obi_merger_reserve(&encoding->merger, (uint32_t)(length + prefix)));
    obi_encoding_add_characters(encoding, encoding->buffer, marked, 0);
    OBI_TRY(obi_merger_run(&encoding->merger, rule, encoding));
    encoding->after_unknown = false;
    for (uint32_t i = encoding->merger.count ? 0 : OBI_SYMBOL_NONE; i != OBI_SYMBOL_NONE; i = encoding->merger.symbols[i].next) {
        const obi_symbol *symbol = &encoding->merger.symbols[i];
        if (symbol->id != OBI_PIECE_NONE) OBI_TRY(obi_encoding_add(encoding, symbol->id));
        else OBI_TRY(obi_encoding_add_unknown(encoding, encoding->buffer + symbol->offset, symbol->length));
    }
    return OBI_OK;
}

obi_status obi_encode_spm(obi_encoding *encoding, const char *text, size_t length, bool prefix)
{
    return encode_characters(encoding, text, length, prefix, join_by_score);
}

obi_status obi_encode_bpe_char(obi_encoding *encoding, const char *text, size_t length, bool prefix)
{
    return encode_characters(encoding, text, length, prefix, obi_encoding_join_by_rank);
}

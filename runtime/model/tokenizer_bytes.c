/* Byte BPE: text is cut into words, a word into bytes, and ranked merges join them. Tokens are spelled in GPT-2's
 * alphabet, which gives every byte a visible character. */
#include <string.h>

#include "core/alloc.h"
#include "model/nfc.h"
#include "model/tokenizer_internal.h"
#include "model/utf8.h"

/* The token whose text is the whole word, or OBI_PIECE_NONE. */
static obi_status find_whole(obi_encoding *encoding, const char *word, size_t length, uint32_t *id)
{
    const obi_tokenizer *tokenizer = encoding->tokenizer;
    *id = OBI_PIECE_NONE;
    if (length > tokenizer->pieces.longest) return OBI_OK; /* its spelling is no shorter */
    OBI_TRY(obi_encoding_reserve_buffer(encoding, 2 * length));
    size_t spelled = 0;
    for (size_t i = 0; i < length; i++)
        spelled += obi_utf8_encode_short(tokenizer->alphabet[(uint8_t)word[i]], encoding->buffer + spelled);
    *id = obi_tokenizer_ordinary(tokenizer, encoding->buffer, spelled);
    return OBI_OK;
}

static obi_status encode_word(obi_encoding *encoding, const char *word, size_t length)
{
    const obi_tokenizer *tokenizer = encoding->tokenizer;
    if (obi_pretokenizer_takes_whole_words(tokenizer->pretokenizer)) {
        uint32_t id;
        OBI_TRY(find_whole(encoding, word, length, &id));
        if (id != OBI_PIECE_NONE) return obi_encoding_add(encoding, id);
    }
    OBI_TRY(obi_merger_reserve(&encoding->merger, (uint32_t)length));
    for (size_t i = 0; i < length; i++) obi_merger_add(&encoding->merger, (uint32_t)i, 1, tokenizer->byte_ids[(uint8_t)word[i]]);
    OBI_TRY(obi_merger_run(&encoding->merger, obi_encoding_join_by_rank, encoding));
    for (uint32_t i = 0; i != OBI_SYMBOL_NONE; i = encoding->merger.symbols[i].next) {
        const obi_symbol *symbol = &encoding->merger.symbols[i];
        encoding->after_unknown = false; /* each unknown byte is an unk of its own */
        if (symbol->id != OBI_PIECE_NONE) OBI_TRY(obi_encoding_add(encoding, symbol->id));
        else OBI_TRY(obi_encoding_add_unknown(encoding, word + symbol->offset, symbol->length));
    }
    return OBI_OK;
}

/* Valid UTF-8. */
static obi_status encode_characters(obi_encoding *encoding, obi_words *words, const char *text, size_t length)
{
    obi_status status = OBI_OK;
    char *composed = NULL;
    if (obi_pretokenizer_wants_nfc(words->pretokenizer)) {
        size_t composed_length = 0;
        OBI_TRY(obi_nfc(text, length, &composed, &composed_length));
        if (composed) {
            text = composed;
            length = composed_length;
        }
    }
    for (size_t start = 0, end; start < length; start = end) {
        OBI_TRY_GOTO(obi_words_next(words, text, length, start, &end));
        OBI_TRY_GOTO(encode_word(encoding, text + start, end - start));
    }
done:
    obi_free(composed);
    return status;
}

obi_status obi_encode_bpe_byte(obi_encoding *encoding, const char *text, size_t length)
{
    obi_words words = { 0 };
    obi_status status;
    OBI_TRY_GOTO(obi_words_open(&words, encoding->tokenizer->pretokenizer));
    for (size_t start = 0; start < length;) {
        size_t end = start;
        uint32_t codepoint;
        for (size_t bytes; end < length && (bytes = obi_utf8_decode(text + end, length - end, &codepoint)) > 0;) end += bytes;
        if (end > start) OBI_TRY_GOTO(encode_characters(encoding, &words, text + start, end - start));
        if (end < length) OBI_TRY_GOTO(encode_word(encoding, text + end++, 1)); /* a byte that is no UTF-8 */
        start = end;
    }
done:
    obi_words_close(&words);
    return status;
}

/* llama2.c's tokenizer.bin: u32 longest piece, then for each id f32 score, i32 length, bytes. It is an export of a
 * SentencePiece model with spaces for U+2581 and line ends around <s> and </s>; both are undone here. */
#include "quant/import/vocab_file.h"

#include <string.h>

#include "core/alloc.h"

static const char space[] = "\xe2\x96\x81"; /* U+2581 */

/* `text` has room for three times the length. */
static size_t restore_spaces(const uint8_t *bytes, size_t length, char *text)
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == ' ') {
            memcpy(text + used, space, 3);
            used += 3;
        } else {
            text[used++] = (char)bytes[i];
        }
    }
    return used;
}

static bool is(const uint8_t *bytes, size_t length, const char *text)
{
    return length == strlen(text) && memcmp(bytes, text, length) == 0;
}

static obi_status read_token(obi_vocab_builder *builder, uint32_t id, float score, const uint8_t *bytes, size_t length, char *text)
{
    if (id == 1 && (is(bytes, length, "\n<s>\n") || is(bytes, length, "<s>")))
        return obi_vocab_build_token(builder, id, "<s>", 3, score, OBI_TOKEN_CONTROL);
    if (id == 2 && (is(bytes, length, "\n</s>\n") || is(bytes, length, "</s>")))
        return obi_vocab_build_token(builder, id, "</s>", 4, score, OBI_TOKEN_CONTROL);
    int32_t type = OBI_TOKEN_NORMAL;
    if (id == 0 && is(bytes, length, "<unk>")) type = OBI_TOKEN_UNKNOWN;
    else if (obi_vocab_byte_piece((const char *)bytes, length) >= 0) type = OBI_TOKEN_BYTE;
    return obi_vocab_build_token(builder, id, text, restore_spaces(bytes, length, text), score, type);
}

obi_status obi_vocab_read_llama2c(obi_vocab_builder *builder, const uint8_t *bytes, uint64_t size)
{
    obi_reader reader = obi_reader_over(bytes, size);
    uint32_t longest = obi_read_u32(&reader);
    if (reader.failed || longest == 0 || longest > 65535)
        return obi_fail(OBI_ERROR_DATA, "%s: neither tokenizer.json, vocab.json, tokenizer.model, tokenizer.bin nor GGUF", builder->path);
    char *text = obi_calloc(longest, 3);
    if (!text) return OBI_ERROR_MEMORY;
    obi_status status = OBI_OK;
    for (uint32_t id = 0; status == OBI_OK && obi_reader_left(&reader) > 0; id++) {
        float score = obi_read_f32(&reader);
        uint32_t length = obi_read_u32(&reader);
        const uint8_t *piece = NULL;
        if (!reader.failed && length > longest)
            status = obi_fail(OBI_ERROR_DATA, "%s: token %u has %u bytes and the longest should have %u: the file is damaged",
                              builder->path, id, length, longest);
        else if (!(piece = obi_read_bytes(&reader, length)))
            status = obi_fail(OBI_ERROR_DATA, "%s: the file ends inside token %u: it is cut short", builder->path, id);
        else
            status = read_token(builder, id, score, piece, length, text);
    }
    obi_free(text);
    builder->vocab.kind = OBI_VOCAB_SPM;
    builder->vocab.add_bos = builder->vocab.add_space_prefix = true;
    builder->vocab.bos = obi_vocab_build_find(builder, "<s>");
    builder->vocab.eos = obi_vocab_build_find(builder, "</s>");
    builder->vocab.unk = obi_vocab_build_find(builder, "<unk>");
    return status;
}

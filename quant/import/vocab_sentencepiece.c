/* SentencePiece's tokenizer.model: a protobuf ModelProto, of which we need
 *   1 pieces (1 piece, 2 score, 3 type)
 *   2 trainer_spec (3 model_type, 24 treat_whitespace_as_suffix, 40..43 unk, bos, eos, pad ids)
 *   3 normalizer_spec (3 add_dummy_prefix, 5 escape_whitespaces)
 * Piece types have the same numbers as obi_token_type. Normalisation tables are not applied. */
#include "quant/import/vocab_file.h"

#include <string.h>

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
enum { MODEL_UNIGRAM = 1, MODEL_BPE = 2, MODEL_WORD = 3, MODEL_CHAR = 4 };

typedef struct field {
    uint64_t number;
    unsigned wire;
    uint64_t value;       /* varint, or the bits of a fixed-size number */
    const uint8_t *bytes; /* WIRE_BYTES: value of them */
} field;

static uint64_t read_varint(obi_reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = obi_read_u8(reader);
        value |= (uint64_t)(byte & 127u) << shift;
        if (byte < 128) return value;
    }
    reader->failed = true;
    return 0;
}

/* False at the end of the message or when it is damaged, which `reader->failed` tells. */
static bool next_field(obi_reader *reader, field *out)
{
    if (reader->failed || obi_reader_left(reader) == 0) return false;
    uint64_t tag = read_varint(reader);
    memset(out, 0, sizeof *out);
    out->number = tag >> 3;
    out->wire = tag & 7u;
    switch (out->wire) {
    case WIRE_VARINT: out->value = read_varint(reader); break;
    case WIRE_64: out->value = obi_read_u64(reader); break;
    case WIRE_32: out->value = obi_read_u32(reader); break;
    case WIRE_BYTES:
        out->value = read_varint(reader);
        out->bytes = obi_read_bytes(reader, out->value);
        break;
    default: reader->failed = true; break;
    }
    if (out->number == 0) reader->failed = true;
    return !reader->failed;
}

static obi_status damaged(const obi_vocab_builder *builder)
{
    return obi_fail(OBI_ERROR_DATA, "%s: damaged or cut short: it is not a whole SentencePiece model", builder->path);
}

static obi_status read_piece(obi_vocab_builder *builder, uint32_t id, const field *message)
{
    obi_reader reader = obi_reader_over(message->bytes, message->value);
    const uint8_t *text = NULL;
    uint64_t length = 0, type = OBI_TOKEN_NORMAL;
    float score = 0;
    for (field f; next_field(&reader, &f);) {
        if (f.number == 1 && f.wire == WIRE_BYTES) {
            text = f.bytes;
            length = f.value;
        } else if (f.number == 2 && f.wire == WIRE_32) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&score, &bits, 4);
        } else if (f.number == 3 && f.wire == WIRE_VARINT) {
            type = f.value;
        }
    }
    if (reader.failed || !text) return damaged(builder);
    if (type < OBI_TOKEN_NORMAL || type > OBI_TOKEN_BYTE)
        return obi_fail(OBI_ERROR_DATA, "%s: piece %u has the unknown type %llu", builder->path, id, (unsigned long long)type);
    return obi_vocab_build_token(builder, id, (const char *)text, (size_t)length, score, (int32_t)type);
}

static obi_status read_trainer(obi_vocab_builder *builder, const field *message)
{
    obi_reader reader = obi_reader_over(message->bytes, message->value);
    uint64_t model = MODEL_UNIGRAM, suffix = 0;
    obi_vocab *vocab = &builder->vocab;
    for (field f; next_field(&reader, &f);) {
        if (f.wire != WIRE_VARINT) continue;
        int32_t id = f.value <= INT32_MAX ? (int32_t)f.value : -1; /* -1 is written as 64 bits */
        switch (f.number) {
        case 3: model = f.value; break;
        case 24: suffix = f.value; break;
        case 40: vocab->unk = id; break;
        case 41: vocab->bos = id; break;
        case 42: vocab->eos = id; break;
        case 43: vocab->pad = id; break;
        default: break;
        }
    }
    if (reader.failed) return damaged(builder);
    if (model != MODEL_BPE && model != MODEL_CHAR)
        return obi_fail(OBI_ERROR_DATA, "%s: the SentencePiece model is of type %s; only BPE is supported", builder->path,
                        model == MODEL_UNIGRAM ? "unigram" : model == MODEL_WORD ? "word" : "unknown");
    if (suffix) return obi_fail(OBI_ERROR_DATA, "%s: spaces at the end of words (treat_whitespace_as_suffix) are not supported",
                                builder->path);
    return OBI_OK;
}

static obi_status read_normalizer(obi_vocab_builder *builder, const field *message)
{
    obi_reader reader = obi_reader_over(message->bytes, message->value);
    uint64_t escape = 1;
    for (field f; next_field(&reader, &f);) {
        if (f.wire != WIRE_VARINT) continue;
        if (f.number == 3) builder->vocab.add_space_prefix = f.value != 0;
        if (f.number == 5) escape = f.value;
    }
    if (reader.failed) return damaged(builder);
    if (!escape) return obi_fail(OBI_ERROR_DATA, "%s: spaces that are not escaped (escape_whitespaces) are not supported", builder->path);
    return OBI_OK;
}

obi_status obi_vocab_read_sentencepiece(obi_vocab_builder *builder, const uint8_t *bytes, uint64_t size)
{
    obi_vocab *vocab = &builder->vocab;
    vocab->kind = OBI_VOCAB_SPM;
    vocab->unk = 0; /* the format's defaults */
    vocab->bos = 1;
    vocab->eos = 2;
    vocab->add_bos = vocab->add_space_prefix = true;
    obi_reader reader = obi_reader_over(bytes, size);
    uint32_t id = 0;
    bool trained = false, normalized = false;
    for (field f; next_field(&reader, &f);) {
        if (f.wire != WIRE_BYTES) continue;
        if (f.number == 1) OBI_TRY(read_piece(builder, id++, &f));
        if (f.number == 2) OBI_TRY(read_trainer(builder, &f));
        if (f.number == 3) OBI_TRY(read_normalizer(builder, &f));
        trained = trained || f.number == 2;
        normalized = normalized || f.number == 3;
    }
    if (reader.failed || id == 0) return damaged(builder);
    /* Both records follow the pieces, so a file that was cut between two pieces has neither. */
    if (!trained || !normalized)
        return obi_fail(OBI_ERROR_DATA, "%s: the SentencePiece model lacks its trainer's or normaliser's record: it is cut short",
                        builder->path);
    if (vocab->bos >= 0 && (uint32_t)vocab->bos >= id) vocab->bos = -1; /* a default of a model that has no such token */
    if (vocab->eos >= 0 && (uint32_t)vocab->eos >= id) vocab->eos = -1;
    return OBI_OK;
}

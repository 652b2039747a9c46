/* Fuzzes the tokenizer readers: tokenizer.json when the input begins with {, tokenizer.model and tokenizer.bin otherwise.
 * What is accepted must make a tokenizer, or be refused by it, and must encode a text and read it back. */
#include <stdint.h>
#include <string.h>

#include "core/alloc.h"
#include "quant/import/vocab_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room);

static volatile uint64_t used;

static void use(obi_vocab *vocab)
{
    static const char text[] = "ab abc\n\xc3\xa9\xff <s>";
    obi_tokenizer *tokenizer;
    uint32_t *ids;
    size_t count;
    if (obi_tokenizer_create(&tokenizer, vocab) != OBI_OK) return;
    if (obi_tokenizer_encode(tokenizer, text, sizeof text - 1, OBI_ENCODE_BOS | OBI_ENCODE_SPECIAL, &ids, &count) == OBI_OK) {
        char piece[16];
        for (size_t i = 0; i < count; i++)
            used = used + obi_tokenizer_piece(tokenizer, i ? (int64_t)ids[i - 1] : -1, ids[i], piece, sizeof piece);
        obi_free(ids);
    }
    obi_tokenizer_free(tokenizer);
}

static void read_with(obi_status (*reader)(obi_vocab_builder *, const uint8_t *, uint64_t), const uint8_t *data, size_t size)
{
    obi_vocab_builder builder;
    obi_vocab vocab = { 0 };
    obi_vocab_build_begin(&builder, "fuzz", 4096);
    if (reader(&builder, data, size) == OBI_OK && obi_vocab_build_finish(&builder, &vocab) == OBI_OK) use(&vocab);
    obi_vocab_build_free(&builder);
    obi_vocab_free(&vocab);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == '{') {
        read_with(obi_vocab_read_hf, data, size);
        return 0;
    }
    read_with(obi_vocab_read_sentencepiece, data, size);
    read_with(obi_vocab_read_llama2c, data, size);
    return 0;
}

static const char json[] =
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\xe2\x96\x81\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"}]},"
    "\"added_tokens\":[{\"id\":5,\"content\":\"<s>\",\"special\":true}],\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\","
    "\"byte_fallback\":true,\"vocab\":{\"<unk>\":0,\"a\":1,\"b\":2,\"ab\":3,\"<0x41>\":4},\"merges\":[\"a b\"]}}";
static const char protobuf[] = "\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02\x0a\x08\x0a\x01" "a\x15\x00\x00\x80\xbf"
                               "\x12\x02\x18\x02\x1a\x00";
static const char bin[] = "\x05\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00<unk>\x00\x00\x80\xbf\x02\x00\x00\x00 a";

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed)
{
    static const struct { const char *bytes; size_t size; } seeds[] = {
        { json, sizeof json - 1 }, { protobuf, sizeof protobuf - 1 }, { bin, sizeof bin - 1 },
    };
    size_t pick = seed % 3;
    if (size < 8 && room >= seeds[pick].size) {
        memcpy(data, seeds[pick].bytes, seeds[pick].size);
        return seeds[pick].size;
    }
    return LLVMFuzzerMutate(data, size, room);
}

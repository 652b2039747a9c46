/* quant/vocab_*: the same vocabulary in two formats is the same vocabulary; tokenizer.json is understood exactly or refused;
 * damage is found. */
#include <string.h>

#include "import_files.h"
#include "tokens.h"
#include "quant/import/vocab_file.h"

#define MARK "\xe2\x96\x81" /* U+2581 */

static obi_vocab read_vocab(const char *path, uint32_t limit)
{
    obi_vocab vocab;
    if (obi_vocab_file_read(&vocab, path, limit) != OBI_OK) fail_msg("%s", obi_last_error());
    return vocab;
}

/* ---- one vocabulary in several files ------------------------------------------------------------------------ */

static void expect_same(obi_vocab a, obi_vocab b)
{
    assert_int_equal(a.kind, b.kind);
    assert_int_equal(a.count, b.count);
    for (uint32_t id = 0; id < a.count; id++) {
        if (a.tokens[id].length != b.tokens[id].length || memcmp(a.tokens[id].text, b.tokens[id].text, a.tokens[id].length) != 0)
            fail_msg("token %u is \"%.*s\" in one and \"%.*s\" in the other", id, (int)a.tokens[id].length, a.tokens[id].text,
                     (int)b.tokens[id].length, b.tokens[id].text);
        if (a.types[id] != b.types[id]) fail_msg("token %u has type %d and type %d", id, a.types[id], b.types[id]);
        if (a.scores[id] != b.scores[id]) fail_msg("token %u scores %g and %g", id, (double)a.scores[id], (double)b.scores[id]);
    }
    assert_int_equal(a.bos, b.bos);
    assert_int_equal(a.eos, b.eos);
    assert_int_equal(a.unk, b.unk);
    assert_int_equal(a.add_bos, b.add_bos);
    assert_int_equal(a.add_eos, b.add_eos);
    assert_int_equal(a.add_space_prefix, b.add_space_prefix);
    assert_int_equal(a.merge_count, 0);
    obi_vocab_free(&a);
    obi_vocab_free(&b);
}

static void exports_equal_their_models(void **state)
{
    (void)state;
    static const struct { const char *bin, *model; uint32_t count; } pairs[] = {
        { "models/stories260K/tok512.bin", "models/stories260K/tok512.model", 512 },
        { "models/babyllama105/tok105.bin", "models/babyllama105/tok105.model", 105 },
        { "tokenizers/llama32k/tokenizer.bin", "tokenizers/llama32k/tokenizer.model", 32000 },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        obi_vocab model = read_vocab(test_data_path(pairs[i].model), pairs[i].count);
        assert_int_equal(model.kind, OBI_VOCAB_SPM);
        assert_int_equal(model.count, pairs[i].count);
        assert_int_equal(model.bos, 1);
        assert_int_equal(model.eos, 2);
        assert_int_equal(model.unk, 0);
        assert_int_equal(model.pad, -1);
        assert_true(model.add_bos && !model.add_eos && model.add_space_prefix);
        assert_int_equal(model.types[0], OBI_TOKEN_UNKNOWN);
        assert_int_equal(model.types[1], OBI_TOKEN_CONTROL);
        assert_int_equal(model.types[3], pairs[i].count == 105 ? OBI_TOKEN_NORMAL : OBI_TOKEN_BYTE);
        expect_same(read_vocab(test_data_path(pairs[i].bin), pairs[i].count), model);
    }
}

static void gguf_equals_the_model(void **state)
{
    (void)state;
    obi_vocab gguf = read_vocab(test_data_path("tokenizers/gguf/ggml-vocab-llama-spm.gguf"), 32000);
    expect_same(gguf, read_vocab(test_data_path("tokenizers/llama32k/tokenizer.model"), 32000));
}

static void tinystories_json(void **state)
{
    (void)state;
    obi_vocab vocab = read_vocab(test_data_path("models/tinystories656k/tokenizer.json"), 2048);
    assert_int_equal(vocab.kind, OBI_VOCAB_BPE_CHAR);
    assert_int_equal(vocab.count, 2048);
    assert_int_equal(vocab.merge_count, 1967);
    assert_int_equal(vocab.merges[0].length, 5);
    assert_memory_equal(vocab.merges[0].text, "e " MARK, 5);
    assert_null(vocab.scores);
    assert_string_equal(vocab.pre, "");
    assert_int_equal(vocab.bos, 1);
    assert_int_equal(vocab.eos, 2);
    assert_int_equal(vocab.unk, 0);
    assert_int_equal(vocab.pad, 0);
    assert_true(vocab.add_bos && !vocab.add_eos && vocab.add_space_prefix);
    assert_int_equal(vocab.types[0], OBI_TOKEN_UNKNOWN);
    assert_int_equal(vocab.types[2], OBI_TOKEN_CONTROL);
    assert_int_equal(vocab.types[3], OBI_TOKEN_NORMAL);
    assert_int_equal(vocab.tokens[2].length, 13);
    assert_memory_equal(vocab.tokens[2].text, "<|end_story|>", 13);
    obi_vocab_free(&vocab);
}

/* ---- tokenizer.json ----------------------------------------------------------------------------------------- */

#define PREPEND "{\"type\":\"Prepend\",\"prepend\":\"" MARK "\"}"
#define REPLACE "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}"
#define BOTH "{\"type\":\"Sequence\",\"normalizers\":[" PREPEND "," REPLACE "]}"
#define NORMALIZER(x) "{\"normalizer\":" x ",\"pre_tokenizer\":null,"
#define PRE(x) "{\"normalizer\":null,\"pre_tokenizer\":" x ","
#define SEQUENCE(x) "{\"type\":\"Sequence\",\"pretokenizers\":[" x "]}"
#define SPLIT(regex) "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\",\"invert\":false}"
#define BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}"
#define BYTES_GPT2 "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true}"
#define LLAMA3 "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+" \
               "[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define QWEN2 "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|" \
              "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\\\p{L}+| ?\\\\p{N}+| ?[^\\\\s\\\\p{L}\\\\p{N}]+|\\\\s+(?!\\\\S)|\\\\s+"
#define MODEL "\"model\":{\"type\":\"BPE\",\"vocab\":{\"<unk>\":0,\"a\":1,\"b\":2,\"ab\":3,\"<0x41>\":4},\"merges\":[\"a b\"]}}"

/* Reads `text` as a tokenizer file of its own. */
static obi_status read_text(const char *text, obi_vocab *vocab)
{
    put_text("tokenizer.json", text);
    return obi_vocab_file_read(vocab, scratch_path("tokenizer.json"), 16);
}

static void expect_kind(const char *text, obi_vocab_kind kind, const char *pre, bool prefix)
{
    obi_vocab vocab;
    if (read_text(text, &vocab) != OBI_OK) fail_msg("%.300s\n%s", text, obi_last_error());
    assert_int_equal(vocab.kind, kind);
    assert_string_equal(vocab.pre, pre);
    assert_int_equal(vocab.add_space_prefix, prefix);
    assert_int_equal(vocab.merge_count, 1);
    assert_memory_equal(vocab.merges[0].text, "a b", 3);
    obi_tokenizer_free(tokens_create(&vocab));
}

static void expect_unread(const char *text, const char *words)
{
    obi_vocab vocab;
    obi_status status = read_text(text, &vocab);
    if (status != OBI_ERROR_DATA || !strstr(obi_last_error(), words))
        fail_msg("%.300s\n gave %d \"%s\", not \"%s\"", text, status, status ? obi_last_error() : "", words);
    assert_int_equal(vocab.count, 0);
    assert_null(vocab.tokens);
}

static void pipelines_are_recognised(void **state)
{
    (void)state;
    expect_kind(NORMALIZER(BOTH) MODEL, OBI_VOCAB_BPE_CHAR, "", true);
    expect_kind(NORMALIZER(REPLACE) MODEL, OBI_VOCAB_BPE_CHAR, "", false);
    expect_kind(PRE("{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\",\"add_prefix_space\":true,\"prepend_scheme\":\"first\","
                    "\"split\":false}") MODEL, OBI_VOCAB_BPE_CHAR, "", true);
    expect_kind(PRE("{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\",\"prepend_scheme\":\"never\",\"split\":false}") MODEL,
                OBI_VOCAB_BPE_CHAR, "", false);
    expect_kind(PRE("{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\",\"add_prefix_space\":true}") MODEL, OBI_VOCAB_BPE_CHAR, "", true);
    expect_kind(PRE(BYTES_GPT2) MODEL, OBI_VOCAB_BPE_BYTE, "gpt-2", false);
    expect_kind(PRE(SEQUENCE(SPLIT(GPT2) "," BYTES)) MODEL, OBI_VOCAB_BPE_BYTE, "gpt-2", false);
    expect_kind(PRE(SEQUENCE(SPLIT(LLAMA3) "," BYTES)) MODEL, OBI_VOCAB_BPE_BYTE, "llama-bpe", false);
    expect_kind("{\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":" SEQUENCE(SPLIT(QWEN2) "," BYTES) "," MODEL, OBI_VOCAB_BPE_BYTE,
                "qwen2", false);
}

static void unknown_pipelines_are_refused(void **state)
{
    (void)state;
    expect_unread(PRE("null") MODEL, "no ByteLevel, no Metaspace");
    expect_unread(NORMALIZER("{\"type\":\"Lowercase\"}") MODEL, "Lowercase");
    expect_unread(NORMALIZER("{\"type\":\"Prepend\",\"prepend\":\"_\"}") MODEL, "Prepend");
    expect_unread(NORMALIZER("{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},\"content\":\"" MARK "\"}") MODEL, "Replace");
    expect_unread(NORMALIZER("{\"type\":\"NFC\"}") MODEL, "NFC");
    expect_unread(NORMALIZER("[]") MODEL, "not an object");
    expect_unread(PRE("{\"type\":\"Whitespace\"}") MODEL, "Whitespace");
    expect_unread(PRE("{\"type\":\"ByteLevel\"}") MODEL, "add_prefix_space");
    expect_unread(PRE(BYTES) MODEL, "without a split");
    expect_unread(PRE(SPLIT(LLAMA3)) MODEL, "Split without ByteLevel");
    expect_unread(PRE(SEQUENCE(SPLIT("\\\\d+") "," BYTES)) MODEL, "\\d+");
    expect_unread(PRE(SEQUENCE(SPLIT(LLAMA3) "," BYTES_GPT2)) MODEL, "use_regex after another split");
    expect_unread(PRE(SEQUENCE(SPLIT(LLAMA3) "," SPLIT(LLAMA3) "," BYTES)) MODEL, "several splits");
    expect_unread(PRE(SEQUENCE(SPLIT(QWEN2) "," BYTES)) MODEL, "qwen2");
    expect_unread("{\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":" BYTES_GPT2 "," MODEL, "NFC");
    expect_unread("{\"normalizer\":" BOTH ",\"pre_tokenizer\":" BYTES_GPT2 "," MODEL, "ByteLevel with marked spaces");
    expect_unread(PRE("{\"type\":\"Metaspace\",\"replacement\":\"_\"}") MODEL, "U+2581");
    expect_unread(PRE("{\"type\":\"Metaspace\",\"prepend_scheme\":\"odd\"}") MODEL, "odd");
    expect_unread("{\"normalizer\":" REPLACE ",\"pre_tokenizer\":{\"type\":\"Metaspace\"}," MODEL, "Metaspace");
    expect_unread(PRE("{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"Isolated\"}") MODEL, "Split by a text");
    expect_unread("{\"post_processor\":{\"type\":\"BertProcessing\"},\"normalizer\":" REPLACE "," MODEL, "BertProcessing");
    /* words that are cut, and a merge that would join two of them */
    expect_unread(PRE("{\"type\":\"Metaspace\"}") "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"" MARK "\":1,\"a" MARK "\":2},"
                  "\"merges\":[\"a " MARK "\"]}}", "merges across words");
}

#define CHARACTERS NORMALIZER(BOTH)

static void damaged_models_are_refused(void **state)
{
    (void)state;
    expect_unread(CHARACTERS "\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", "Unigram");
    expect_unread(CHARACTERS "\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", "WordPiece");
    expect_unread("{}", "\"model\" is missing");
    expect_unread(CHARACTERS "\"model\":{\"merges\":[]}}", "\"vocab\" is missing");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0}}}", "\"merges\" is missing");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{},\"merges\":[]}}", "no tokens");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":-1},\"merges\":[]}}", "non-negative");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":16},\"merges\":[]}}", "do not belong together");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":4294967296},\"merges\":[]}}", "do not belong together");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", "two tokens");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]}}", "duplicate");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"ab\"]}}", "merge 0");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a b c\"]}}", "merge 0");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0},\"merges\":[\" b\"]}}", "merge 0");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a \"]}}", "merge 0");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", "merge 0");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"\"]]}}", "merge 0");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a\",1]]}}", "merge 0");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a b\",\"c\"]]}}", "merge 0");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0},\"merges\":[7]}}", "merge 0");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</w>\"}}", "end_of_word_suffix");
    expect_unread(CHARACTERS "\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"continuing_subword_prefix\":\"##\"}}",
                  "continuing_subword_prefix");
    expect_unread(CHARACTERS "\"added_tokens\":[{\"id\":0,\"content\":\"b\"}],\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}",
                  "two tokens");
    expect_unread(CHARACTERS "\"added_tokens\":[{\"id\":99,\"content\":\"b\"}],\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}",
                  "belong together");
    expect_unread(CHARACTERS "\"added_tokens\":[7],\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}", "content");
}

static void tokens_have_types_and_places(void **state)
{
    (void)state;
    obi_vocab vocab;
    const char *text = CHARACTERS
        "\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},{\"id\":6,\"content\":\"<s>\",\"special\":true},"
        "{\"id\":7,\"content\":\"<user>\",\"special\":false}],"
        "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":\"TemplateProcessing\",\"single\":["
        "{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
        "{\"SpecialToken\":{\"id\":\"E\",\"type_id\":0}}],"
        "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[6]},\"E\":{\"ids\":[7]}}}]},"
        "\"model\":{\"unk_token\":\"<unk>\",\"byte_fallback\":true,\"vocab\":{\"<unk>\":0,\"a\":1,\"b\":2,\"<0x41>\":4,\"ab\":3},"
        "\"merges\":[[\"a\",\"b\"]]}}";
    if (read_text(text, &vocab) != OBI_OK) fail_msg("%s", obi_last_error());
    static const int32_t types[] = { OBI_TOKEN_UNKNOWN, OBI_TOKEN_NORMAL, OBI_TOKEN_NORMAL, OBI_TOKEN_NORMAL,
                                     OBI_TOKEN_BYTE, OBI_TOKEN_UNUSED, OBI_TOKEN_CONTROL, OBI_TOKEN_USER };
    assert_int_equal(vocab.count, 8);
    for (uint32_t id = 0; id < 8; id++) assert_int_equal(vocab.types[id], types[id]);
    assert_int_equal(vocab.unk, 0);
    assert_int_equal(vocab.bos, 6);
    assert_int_equal(vocab.eos, 7);
    assert_true(vocab.add_bos && vocab.add_eos);
    assert_int_equal(vocab.merge_count, 1);
    assert_memory_equal(vocab.merges[0].text, "a b", 3);
    obi_vocab_free(&vocab);
    /* the small files beside it win: a name over an id, an id over the template */
    put_text("config.json", "{\"bos_token_id\":1,\"eos_token_id\":[2,1],\"pad_token_id\":-1}");
    put_text("tokenizer_config.json", "{\"bos_token\":{\"content\":\"b\"},\"add_eos_token\":false,"
             "\"model_max_length\":1000000000000000019884624838656}");
    if (read_text(text, &vocab) != OBI_OK) fail_msg("%s", obi_last_error());
    assert_int_equal(vocab.bos, 2);
    assert_int_equal(vocab.eos, 2);
    assert_int_equal(vocab.pad, -1);
    assert_true(vocab.add_bos && !vocab.add_eos);
    obi_vocab_free(&vocab);
    put_text("special_tokens_map.json", "{\"eos_token\":\"<user>\"}");
    put_text("generation_config.json", "{\"eos_token_id\":1,\"pad_token_id\":3}");
    if (read_text(text, &vocab) != OBI_OK) fail_msg("%s", obi_last_error());
    assert_int_equal(vocab.eos, 7);
    assert_int_equal(vocab.pad, 3);
    obi_vocab_free(&vocab);
    put_text("tokenizer_config.json", "{\"add_bos_token\":3}");
    expect_unread(text, "add_bos_token");
    put_text("tokenizer_config.json", "{");
    expect_unread(text, "tokenizer_config.json");
}

static void later_tokens_of_a_model_file(void **state)
{
    (void)state;
    uint8_t *bytes;
    size_t size = slurp(test_data_path("models/babyllama105/tok105.model"), &bytes);
    put_bytes("tokenizer.model", bytes, size);
    free(bytes);
    put_text("added_tokens.json", "{\"<|a|>\":105,\"<s>\":1}");
    put_text("tokenizer_config.json", "{\"added_tokens_decoder\":{\"1\":{\"content\":\"<s>\",\"special\":true},"
             "\"107\":{\"content\":\"<|end|>\",\"special\":true}},\"eos_token\":\"<|end|>\"}");
    obi_vocab vocab = read_vocab(scratch_path("tokenizer.model"), 108);
    assert_int_equal(vocab.count, 108);
    assert_int_equal(vocab.types[105], OBI_TOKEN_USER);
    assert_int_equal(vocab.types[106], OBI_TOKEN_UNUSED);
    assert_int_equal(vocab.types[107], OBI_TOKEN_CONTROL);
    assert_int_equal(vocab.eos, 107);
    assert_int_equal(vocab.bos, 1);
    obi_vocab_free(&vocab);
    assert_int_equal(obi_vocab_file_read(&vocab, scratch_path("tokenizer.model"), 107), OBI_ERROR_DATA);
    put_text("tokenizer_config.json", "{\"added_tokens_decoder\":{\"-1\":{\"content\":\"x\"}}}");
    assert_int_equal(obi_vocab_file_read(&vocab, scratch_path("tokenizer.model"), 107), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "\"-1\""));
}

/* ---- which file is taken ------------------------------------------------------------------------------------ */

static uint32_t count_beside(bool directory)
{
    obi_vocab vocab;
    const char *path = directory ? scratch_directory : scratch_path("model.bin");
    if (obi_vocab_file_beside(&vocab, path, directory, 512) != OBI_OK) fail_msg("%s", obi_last_error());
    uint32_t count = vocab.count;
    obi_vocab_free(&vocab);
    return count;
}

static void copy(const char *from, const char *to)
{
    uint8_t *bytes;
    size_t size = slurp(test_data_path(from), &bytes);
    put_bytes(to, bytes, size);
    free(bytes);
}

static void the_nearest_file_is_taken(void **state)
{
    (void)state;
    assert_int_equal(count_beside(true), 0);
    assert_int_equal(count_beside(false), 0);
    copy("models/stories260K/tok512.model", "tokenizer.model");
    assert_int_equal(count_beside(true), 512);
    assert_int_equal(count_beside(false), 512);
    copy("models/babyllama105/tok105.bin", "tokenizer.bin");
    assert_int_equal(count_beside(true), 512);
    assert_int_equal(count_beside(false), 105);
    copy("models/stories260K/tok512.bin", "tok512.bin");
    assert_int_equal(count_beside(false), 512);
    put_text("tokenizer.json", CHARACTERS MODEL);
    assert_int_equal(count_beside(true), 5);
    assert_int_equal(count_beside(false), 512);
    /* a tokenizer.json that is refused is an error, not a reason to take another file */
    put_text("tokenizer.json", "{}");
    obi_vocab vocab;
    assert_int_equal(obi_vocab_file_beside(&vocab, scratch_directory, true, 512), OBI_ERROR_DATA);
}

/* ---- damage ------------------------------------------------------------------------------------------------- */

typedef obi_status (*reader)(obi_vocab_builder *builder, const uint8_t *bytes, uint64_t size);

/* Reads `size` bytes from a block of exactly that size; the status, and the number of tokens. */
static obi_status read_exact(reader reads, const uint8_t *bytes, size_t size, uint32_t *count)
{
    uint8_t *block = malloc(size ? size : 1);
    if (size) memcpy(block, bytes, size);
    obi_vocab_builder builder;
    obi_vocab vocab = { 0 };
    obi_vocab_build_begin(&builder, "test file", 32000);
    obi_status status = reads(&builder, block, size);
    if (status == OBI_OK) status = obi_vocab_build_finish(&builder, &vocab);
    *count = vocab.count;
    obi_vocab_build_free(&builder);
    obi_vocab_free(&vocab);
    free(block);
    return status;
}

static void cut_tokenizer_files(void **state)
{
    (void)state;
    static const struct { const char *path; reader read; uint32_t count; } files[] = {
        { "models/stories260K/tok512.bin", obi_vocab_read_llama2c, 512 },
        { "models/babyllama105/tok105.bin", obi_vocab_read_llama2c, 105 },
        { "models/stories260K/tok512.model", obi_vocab_read_sentencepiece, 512 },
        { "models/babyllama105/tok105.model", obi_vocab_read_sentencepiece, 105 },
        { "models/tinystories656k/tokenizer.json", obi_vocab_read_hf, 2048 },
    };
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        uint8_t *bytes;
        size_t size = slurp(test_data_path(files[f].path), &bytes), boundaries = 0;
        uint32_t count;
        for (size_t cut = 0; cut < size; cut += cut < 4096 || size < 10000 ? 1 : 811) {
            obi_status status = read_exact(files[f].read, bytes, cut, &count);
            /* a tokenizer.bin that ends between two tokens cannot be told from a smaller one */
            if (status == OBI_OK && files[f].read == obi_vocab_read_llama2c && count < files[f].count) boundaries++;
            else if (status != OBI_ERROR_DATA) fail_msg("%s: %zu of %zu bytes gave %d", files[f].path, cut, size, status);
        }
        assert_int_equal(boundaries, files[f].read == obi_vocab_read_llama2c ? files[f].count - 1 : 0);
        assert_int_equal(read_exact(files[f].read, bytes, size, &count), OBI_OK);
        assert_int_equal(count, files[f].count);
        free(bytes);
    }
}

/* One byte changed at a time: refused or read, never worse. */
static void changed_tokenizer_files(void **state)
{
    (void)state;
    static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
    static const struct { const char *path; reader read; } files[] = {
        { "models/babyllama105/tok105.bin", obi_vocab_read_llama2c },
        { "models/babyllama105/tok105.model", obi_vocab_read_sentencepiece },
    };
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        uint8_t *bytes;
        size_t size = slurp(test_data_path(files[f].path), &bytes);
        for (size_t at = 0; at < size; at++)
            for (size_t v = 0; v < sizeof values; v++) {
                uint8_t kept = bytes[at];
                uint32_t count;
                bytes[at] = values[v];
                obi_status status = read_exact(files[f].read, bytes, size, &count);
                if (status != OBI_OK && status != OBI_ERROR_DATA) fail_msg("byte %zu = %u gave %d", at, values[v], status);
                bytes[at] = kept;
            }
        free(bytes);
    }
}

static void expect_protobuf(const char *bytes, size_t size, const char *words)
{
    uint32_t count;
    obi_status status = read_exact(obi_vocab_read_sentencepiece, (const uint8_t *)bytes, size, &count);
    if (words ? status != OBI_ERROR_DATA || !strstr(obi_last_error(), words) : status != OBI_OK)
        fail_msg("%zu bytes gave %d \"%s\", not \"%s\"", size, status, status ? obi_last_error() : "", words ? words : "success");
}

static void hostile_sentencepiece_models(void **state)
{
    (void)state;
#define PIECE "\x0a\x05\x0a\x03" "abc"
#define TRAINER(type) "\x12\x02\x18" type
#define NORMAL "\x1a\x00"
#define EXPECT(text, words) expect_protobuf(text, sizeof(text) - 1, words)
    EXPECT(PIECE TRAINER("\x02") NORMAL, NULL);
    EXPECT(PIECE TRAINER("\x04") NORMAL, NULL);
    EXPECT(PIECE TRAINER("\x01") NORMAL, "unigram");
    EXPECT(PIECE "\x12\x00" NORMAL, "unigram");
    EXPECT(PIECE TRAINER("\x03") NORMAL, "word");
    EXPECT(PIECE TRAINER("\x07") NORMAL, "unknown");
    EXPECT(PIECE TRAINER("\x02"), "cut short");
    EXPECT(PIECE NORMAL, "cut short");
    EXPECT(TRAINER("\x02") NORMAL, "damaged");
    EXPECT(PIECE "\x12\x05\x18\x02\xc0\x01\x01" NORMAL, "suffix");
    EXPECT(PIECE TRAINER("\x02") "\x1a\x02\x28\x00", "escape");
    EXPECT("\x0a\x00" TRAINER("\x02") NORMAL, "damaged");                                  /* a piece without text */
    EXPECT("\x0a\x07\x0a\x03" "abc" "\x18\x09" TRAINER("\x02") NORMAL, "unknown type 9");
    EXPECT("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" "abc", "damaged");              /* 2^64 - 1 bytes */
    EXPECT("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "damaged");                /* a number of 11 bytes */
    EXPECT("\x0a\x05\x0a\x7f" "abc" TRAINER("\x02") NORMAL, "damaged");                    /* a text longer than its piece */
    EXPECT("\x03\x00", "damaged");                                                         /* field 0 */
    EXPECT("\x0b\x0c", "damaged");                                                         /* groups */
    EXPECT("\x0f", "damaged");                                                             /* wire type 7 */
    EXPECT(PIECE "\x12\x05\x18\x02\xc8\x02\x63" NORMAL, NULL);                             /* bos 99 of one piece: none */
    EXPECT(PIECE "\x12\x0e\x18\x02\xc0\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" NORMAL, NULL); /* unk -1 */
    EXPECT(PIECE "\x12\x05\x18\x02\xc0\x02\x63" NORMAL, "unk token has id 99");
}

static void hostile_tokenizer_bins(void **state)
{
    (void)state;
    uint32_t count;
    static const struct { uint8_t bytes[16]; size_t size; const char *words; } cases[] = {
        { { 0 }, 4, "neither" },
        { { 0xff, 0xff, 0xff, 0xff }, 4, "neither" },
        { { 4 }, 4, "no tokens" },
        { { 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 'a', 'b', 'c', 'd' }, 16, "longest" },
        { { 4, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 'a', 'b', 'c', 'd' }, 16, "longest" },
        { { 7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 'a', 'b', 'c', 'd' }, 16, "cut short" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        obi_status status = read_exact(obi_vocab_read_llama2c, cases[i].bytes, cases[i].size, &count);
        if (status != OBI_ERROR_DATA || !strstr(obi_last_error(), cases[i].words)) fail_msg("case %zu: %d %s", i, status, obi_last_error());
    }
    static const uint8_t spaces[] = { 4, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, ' ', ' ', ' ', ' ' };
    assert_int_equal(read_exact(obi_vocab_read_llama2c, spaces, sizeof spaces, &count), OBI_OK);
    assert_int_equal(count, 1);
    static const uint8_t nothing[] = { 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    assert_int_equal(read_exact(obi_vocab_read_llama2c, nothing, sizeof nothing, &count), OBI_OK);
}

static void byte_pieces(void **state)
{
    (void)state;
    assert_int_equal(obi_vocab_byte_piece("<0x0A>", 6), 10);
    assert_int_equal(obi_vocab_byte_piece("<0xff>", 6), 255);
    assert_int_equal(obi_vocab_byte_piece("<0x-1>", 6), -1);
    assert_int_equal(obi_vocab_byte_piece("<0x 1>", 6), -1);
    assert_int_equal(obi_vocab_byte_piece("<0x123", 6), -1);
    assert_int_equal(obi_vocab_byte_piece("<0x1>", 5), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exports_equal_their_models),
        cmocka_unit_test(gguf_equals_the_model),
        cmocka_unit_test(tinystories_json),
        cmocka_unit_test_teardown(pipelines_are_recognised, clear_scratch),
        cmocka_unit_test_teardown(unknown_pipelines_are_refused, clear_scratch),
        cmocka_unit_test_teardown(damaged_models_are_refused, clear_scratch),
        cmocka_unit_test_teardown(tokens_have_types_and_places, clear_scratch),
        cmocka_unit_test_teardown(later_tokens_of_a_model_file, clear_scratch),
        cmocka_unit_test_teardown(the_nearest_file_is_taken, clear_scratch),
        cmocka_unit_test(cut_tokenizer_files),
        cmocka_unit_test(changed_tokenizer_files),
        cmocka_unit_test(hostile_sentencepiece_models),
        cmocka_unit_test(hostile_tokenizer_bins),
        cmocka_unit_test(byte_pieces),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}

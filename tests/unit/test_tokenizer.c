/* Real vocabularies: the golden vectors of both families, reading back, any bytes, a slow second implementation of the
 * merging, and the time that long texts take. */
#include <time.h>

#include "tokens.h"
#include "core/file.h"
#include "core/rng.h"

static obi_tokenizer *spm, *gpt2;

static int open_vocabularies(void **state)
{
    (void)state;
    spm = tokens_open_gguf("tokenizers/gguf/ggml-vocab-llama-spm.gguf");
    gpt2 = tokens_open_gguf("tokenizers/gguf/ggml-vocab-gpt-2.gguf");
    return 0;
}

static int close_vocabularies(void **state)
{
    (void)state;
    obi_tokenizer_free(spm);
    obi_tokenizer_free(gpt2);
    return 0;
}

/* ---- golden vectors ---------------------------------------------------------------------------------- */

static const char separator[] = "\n__ggml_vocab_test__\n";

/* A line of ids without the space at its front or end. */
static char *trimmed(char *line)
{
    while (*line == ' ') line++;
    size_t length = strlen(line);
    while (length && (line[length - 1] == ' ' || line[length - 1] == '\r')) line[--length] = 0;
    return line;
}

static void check_golden(const obi_tokenizer *tokenizer, const char *inputs_name, const char *ids_name)
{
    obi_mapping inputs_file, ids_file;
    assert_int_equal(obi_mapping_open(&inputs_file, test_data_path(inputs_name)), OBI_OK);
    assert_int_equal(obi_mapping_open(&ids_file, test_data_path(ids_name)), OBI_OK);
    char *inputs = obi_strndup((const char *)inputs_file.data, (size_t)inputs_file.size);
    char *ids = obi_strndup((const char *)ids_file.data, (size_t)ids_file.size);
    int cases = 0;
    for (char *input = inputs, *line = ids, *next; input; input = next, cases++) {
        next = strstr(input, separator);
        size_t length = next ? (size_t)(next - input) : strlen(input);
        if (next) next += strlen(separator);
        char *line_end = strchr(line, '\n');
        assert_true(line_end || !next); /* the last line has no end */
        if (line_end) *line_end = 0;
        tokens_expect_bytes(tokenizer, input, length, 0, trimmed(line));
        tokens_expect_round_trip(tokenizer, input, length, 0);
        tokens_expect_round_trip(tokenizer, input, length, OBI_ENCODE_BOS);
        line = line_end ? line_end + 1 : NULL;
    }
    assert_int_equal(cases, 47);
    obi_free(inputs);
    obi_free(ids);
    obi_mapping_close(&inputs_file);
    obi_mapping_close(&ids_file);
}

static void spm_golden_vectors(void **state)
{
    (void)state;
    check_golden(spm, "tokenizers/gguf/ggml-vocab-llama-spm.gguf.inp", "tokenizers/gguf/ggml-vocab-llama-spm.gguf.out");
}

static void gpt2_golden_vectors(void **state)
{
    (void)state;
    check_golden(gpt2, "tokenizers/gguf/ggml-vocab-gpt-2.gguf.inp", "tokenizers/gguf/ggml-vocab-gpt-2.gguf.out");
}

static void flags_put_tokens_around(void **state)
{
    (void)state;
    tokens_expect(spm, "Hello", 0, "15043");
    tokens_expect(spm, "Hello", OBI_ENCODE_BOS, "1 15043");
    tokens_expect(spm, "Hello", OBI_ENCODE_BOS | OBI_ENCODE_EOS, "1 15043 2");
    tokens_expect(spm, "", OBI_ENCODE_BOS, "1");
    tokens_expect(spm, "", 0, "");
    tokens_expect(gpt2, "Hello", OBI_ENCODE_EOS, "15496 50256");
}

static void control_tokens_only_when_asked(void **state)
{
    (void)state;
    tokens_expect(gpt2, "Hello<|endoftext|>Hello", OBI_ENCODE_SPECIAL, "15496 50256 15496");
    tokens_expect(gpt2, "<|endoftext|><|endoftext|>", OBI_ENCODE_SPECIAL, "50256 50256");
    tokens_expect_round_trip(gpt2, "Hello<|endoftext|>Hello", 23, 0);
    tokens_expect(spm, "<s>Hello</s>Hello", OBI_ENCODE_SPECIAL, "1 15043 2 15043");
    tokens_expect(spm, "</s>", OBI_ENCODE_SPECIAL, "2");
    /* Plain text never becomes a control token, although its characters could be joined to that token's text. */
    uint32_t *ids;
    size_t count;
    assert_int_equal(obi_tokenizer_encode(spm, "<s>Hello</s> <unk> <0x41>", 25, 0, &ids, &count), OBI_OK);
    for (size_t i = 0; i < count; i++) assert_true(ids[i] > 258);
    obi_free(ids);
    tokens_expect_round_trip(spm, "<s>Hello</s> <unk> <0x41>", 25, 0);
}

static void pieces_are_found_and_read(void **state)
{
    (void)state;
    char text[16];
    assert_int_equal(obi_tokenizer_find(gpt2, "<|endoftext|>", 13), 50256);
    assert_int_equal(obi_tokenizer_find(spm, "</s>", 4), 2);
    assert_int_equal(obi_tokenizer_find(spm, "no such piece", 13), -1);
    assert_int_equal(obi_tokenizer_find(spm, "", 0), -1);
    /* Hello has its space in the middle of a text and none at the start of one. */
    assert_int_equal(obi_tokenizer_piece(spm, 15043, 15043, text, sizeof text), 6);
    assert_memory_equal(text, " Hello", 6);
    assert_int_equal(obi_tokenizer_piece(spm, 1, 15043, text, sizeof text), 5);
    assert_memory_equal(text, "Hello", 5);
    assert_int_equal(obi_tokenizer_piece(spm, -1, 15043, text, 2), 5); /* the full length, whatever the room */
    assert_int_equal(obi_tokenizer_piece(spm, 15043, 2, text, sizeof text), 0);      /* control */
    assert_int_equal(obi_tokenizer_piece(spm, 15043, 4000000, text, sizeof text), 0); /* not a token */
    assert_int_equal(obi_tokenizer_piece(spm, -1, 3 + 0x0a, text, sizeof text), 1);  /* a byte */
    assert_int_equal(text[0], '\n');
    assert_int_equal(obi_tokenizer_piece(gpt2, -1, 18435, text, sizeof text), 6); /* byte BPE has no space to drop */
    assert_memory_equal(text, " Hello", 6);
}

/* ---- any text, any bytes ----------------------------------------------------------------------------- */

/* Appends a random character, of one of the scripts and kinds that patterns tell apart. U+2581 itself is left out: it is
 * a space's mark in SentencePiece vocabularies and reads back as a space there. */
static size_t put_random_character(obi_rng *rng, char *out)
{
    static const char *const samples[] = {
        " ", "  ", "\n", "\r\n", "\t", "a", "Z", "the", "'s", "'LL", "1", "234567", "!", "...", "\xc3\xa9",
        "e\xcc\x81", "\xc2\xa0", "\xc2\xb2", "\xd0\x96", "\xe4\xb8\xad", "\xe1\x9e\x9f", "\xe2\x80\x83", "\xe3\x80\x80", "\xef\xbf\xbd",
        "\xf0\x9f\xa6\x99", "\xf0\x9f\x98\xb6\xe2\x80\x8d\xf0\x9f\x8c\xab", "\xf4\x8f\xbf\xbf", "<", ">", "|", "_" };
    const char *sample = samples[obi_rng_next(rng) % (sizeof samples / sizeof *samples)];
    memcpy(out, sample, strlen(sample));
    return strlen(sample);
}

static void valid_text_is_read_back(void **state)
{
    (void)state;
    obi_rng rng = obi_rng_seed(1);
    char text[1024];
    for (int round = 0; round < 3000; round++) {
        size_t length = 0, characters = obi_rng_next(&rng) % 40;
        for (size_t i = 0; i < characters; i++) length += put_random_character(&rng, text + length);
        tokens_expect_round_trip(spm, text, length, 0);
        tokens_expect_round_trip(spm, text, length, OBI_ENCODE_BOS);
        tokens_expect_round_trip(gpt2, text, length, 0);
    }
    tokens_expect_round_trip(spm, "a\0b", 3, 0);
    tokens_expect_round_trip(gpt2, "a\0b", 3, 0);
}

static void any_bytes_are_read_back(void **state)
{
    (void)state;
    static const uint8_t likely[] = { ' ', 'a', '\n', 0x80, 0xbf, 0xc0, 0xc3, 0xe0, 0xe4, 0xed, 0xa0, 0xf0, 0x90, 0xf4, 0xf5, 0xff };
    obi_rng rng = obi_rng_seed(2);
    char text[64];
    for (int round = 0; round < 20000; round++) {
        size_t length = obi_rng_next(&rng) % sizeof text;
        for (size_t i = 0; i < length; i++) {
            uint64_t drawn = obi_rng_next(&rng);
            text[i] = (char)(round % 2 ? (uint8_t)drawn : likely[drawn % sizeof likely]);
        }
        for (size_t i = 0; i + 2 < length; i++) /* see put_random_character */
            if (memcmp(text + i, "\xe2\x96\x81", 3) == 0) text[i] = 'x';
        tokens_expect_round_trip(spm, text, length, 0);
        tokens_expect_round_trip(gpt2, text, length, 0);
    }
}

/* ---- against a slow second implementation ------------------------------------------------------------ */

/* The definition, word for word: look at every neighbouring pair, join the best, start over. */
static size_t join_slowly(const obi_tokenizer *tokenizer, const char *text, size_t length, uint32_t *ids)
{
    const obi_vocab *vocab = obi_tokenizer_vocab(tokenizer);
    size_t starts[512], count = 0;
    for (size_t i = 0; i < length; i++)
        if (((uint8_t)text[i] & 0xc0) != 0x80) starts[count++] = i;
    starts[count] = length;
    for (;;) {
        size_t best = count;
        float best_score = 0;
        for (size_t i = 0; i + 1 < count; i++) {
            int64_t id = obi_tokenizer_find(tokenizer, text + starts[i], starts[i + 2] - starts[i]);
            if (id < 259 || (best < count && vocab->scores[id] <= best_score)) continue; /* the first 259 are no text */
            best = i;
            best_score = vocab->scores[id];
        }
        if (best == count) break;
        memmove(&starts[best + 1], &starts[best + 2], (count - best - 1) * sizeof *starts);
        count--;
    }
    size_t made = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t id = obi_tokenizer_find(tokenizer, text + starts[i], starts[i + 1] - starts[i]);
        if (id >= 0) ids[made++] = (uint32_t)id;
        else for (size_t k = starts[i]; k < starts[i + 1]; k++) ids[made++] = 3u + (uint8_t)text[k];
    }
    return made;
}

static void spm_joins_as_defined(void **state)
{
    (void)state;
    obi_mapping file;
    assert_int_equal(obi_mapping_open(&file, test_data_path("text/wikitext2_test.raw")), OBI_OK);
    obi_rng rng = obi_rng_seed(3);
    for (int round = 0; round < 300; round++) {
        char plain[128], marked[512];
        size_t length = 0, marked_length = 3;
        if (round % 3) { /* English, and letters at random */
            uint64_t start = obi_rng_next(&rng) % (file.size - 128);
            while (((uint8_t)file.data[start] & 0xc0) == 0x80) start++;
            while (length < 100 || ((uint8_t)file.data[start + length] & 0xc0) == 0x80) {
                plain[length] = (char)file.data[start + length];
                length++;
            }
        } else {
            for (; length < 100; length++) plain[length] = "aeinst  ,."[obi_rng_next(&rng) % 10];
        }
        memcpy(marked, "\xe2\x96\x81", 3);
        for (size_t i = 0; i < length; i++) {
            if (plain[i] == ' ') memcpy(marked + marked_length, "\xe2\x96\x81", 3), marked_length += 3;
            else marked[marked_length++] = plain[i];
        }
        uint32_t expected[512], *ids;
        size_t count, expected_count = join_slowly(spm, marked, marked_length, expected);
        assert_int_equal(obi_tokenizer_encode(spm, plain, length, 0, &ids, &count), OBI_OK);
        assert_int_equal(count, expected_count);
        assert_memory_equal(ids, expected, count * sizeof *ids);
        obi_free(ids);
    }
    obi_mapping_close(&file);
}

/* ---- time -------------------------------------------------------------------------------------------- */

static double seconds_to_encode(const obi_tokenizer *tokenizer, const char *text, size_t length, size_t *count)
{
    uint32_t *ids;
    clock_t start = clock();
    assert_int_equal(obi_tokenizer_encode(tokenizer, text, length, 0, &ids, count), OBI_OK);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    obi_free(ids);
    return seconds;
}

/* The limit is far above what it takes (a tenth of a second or so) and far below what a quadratic search would. */
static void long_texts_take_little_time(void **state)
{
    (void)state;
    obi_mapping file;
    assert_int_equal(obi_mapping_open(&file, test_data_path("text/tinystories_valid_head.txt")), OBI_OK);
    size_t length = (size_t)file.size, count;
    const char *text = (const char *)file.data;
    double seconds[6];
    seconds[0] = seconds_to_encode(spm, text, length, &count);
    seconds[1] = seconds_to_encode(gpt2, text, length, &count);
    char *run = obi_calloc(400000, 1); /* one word of 400000 bytes */
    memset(run, 'a', 400000);
    seconds[2] = seconds_to_encode(spm, run, 400000, &count);
    seconds[3] = seconds_to_encode(gpt2, run, 400000, &count);
    memset(run, ' ', 399999);
    seconds[4] = seconds_to_encode(spm, run, 400000, &count);
    seconds[5] = seconds_to_encode(gpt2, run, 400000, &count);
    for (int i = 0; i < 6; i++)
        if (seconds[i] > 5) fail_msg("text %d took %.1f s", i, seconds[i]);
    tokens_expect_round_trip(spm, text, length, 0);
    tokens_expect_round_trip(gpt2, text, length, 0);
    tokens_expect_round_trip(gpt2, run, 400000, 0);
    obi_free(run);
    obi_mapping_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spm_golden_vectors),
        cmocka_unit_test(gpt2_golden_vectors),
        cmocka_unit_test(flags_put_tokens_around),
        cmocka_unit_test(control_tokens_only_when_asked),
        cmocka_unit_test(pieces_are_found_and_read),
        cmocka_unit_test(valid_text_is_read_back),
        cmocka_unit_test(any_bytes_are_read_back),
        cmocka_unit_test(spm_joins_as_defined),
        cmocka_unit_test(long_texts_take_little_time),
    };
    return cmocka_run_group_tests(tests, open_vocabularies, close_vocabularies);
}

/* The rules of encoding, each on a vocabulary small enough to follow by hand. */
#include "tokens.h"
#include "core/rng.h"

#define SPACE "\xe2\x96\x81"

enum { N = OBI_TOKEN_NORMAL, UNK = OBI_TOKEN_UNKNOWN, CTL = OBI_TOKEN_CONTROL, USR = OBI_TOKEN_USER, BYT = OBI_TOKEN_BYTE };

/* ---- SentencePiece ------------------------------------------------------------------------------------ */

static obi_tokenizer *spm_of(const token_row *rows, bool prefix, int32_t unk)
{
    obi_vocab vocab = tokens_vocab(OBI_VOCAB_SPM, rows);
    vocab.add_space_prefix = prefix;
    vocab.unk = unk;
    return tokens_create(&vocab);
}

static void spm_joins_best_score_then_leftmost(void **state)
{
    (void)state;
    static const token_row rows[] = { { "a", N, -9 }, { "b", N, -9 }, { "aa", N, -1 }, { "ab", N, -1 }, { "aab", N, -5 }, { "ba", N, 0.5f },
                                      { "bb", N, 0.0f }, { "bbb", N, -0.0f }, { NULL, 0, 0 } };
    obi_tokenizer *tokenizer = spm_of(rows, false, -1);
    tokens_expect(tokenizer, "aab", 0, "4");   /* aa and ab score the same: aa is further left, then aab */
    tokens_expect(tokenizer, "aaa", 0, "2 0");
    tokens_expect(tokenizer, "aaaa", 0, "2 2");
    tokens_expect(tokenizer, "aba", 0, "0 5"); /* ba, the better one, though ab is further left */
    tokens_expect(tokenizer, "bbbb", 0, "7 1"); /* -0 equals 0: after bb, bbb is further left than a second bb */
    obi_tokenizer_free(tokenizer);
}

static void spm_joins_what_has_no_piece_alone(void **state)
{
    (void)state;
    static const token_row rows[] = { { "<unk>", UNK, 0 }, { "xy", N, -1 }, { "z", N, -2 }, { NULL, 0, 0 } };
    obi_tokenizer *tokenizer = spm_of(rows, false, 0);
    tokens_expect(tokenizer, "xyz", 0, "1 2");
    tokens_expect(tokenizer, "xzqqx", 0, "0 2 0"); /* a run of unknown characters is one unk */
    tokens_expect(tokenizer, "<unk>z", 0, "0 2");
    obi_tokenizer_free(tokenizer);
}

static void spm_falls_back_to_bytes(void **state)
{
    (void)state;
    static const token_row rows[] = { { "<unk>", UNK, 0 }, { "<0xC3>", BYT, 0 }, { "<0xA9>", BYT, 0 }, { "<0x20>", BYT, 0 }, { "a", N, 0 },
                                      { "<0xc4>", BYT, 0 }, { NULL, 0, 0 } };
    obi_tokenizer *tokenizer = spm_of(rows, true, 0);
    tokens_expect(tokenizer, "a", 0, "3 4"); /* no piece for a space: its byte */
    tokens_expect(tokenizer, "\xc3\xa9", 0, "3 1 2");
    tokens_expect(tokenizer, "\xc3\xa8" "a", 0, "3 0 4"); /* not all bytes have tokens */
    tokens_expect(tokenizer, "\xc4", 0, "3 5");         /* not UTF-8 */
    tokens_expect(tokenizer, "<0xC3>", 0, "3 0");       /* the spelling of a byte is not the byte */
    tokens_expect_round_trip(tokenizer, " a \xc3\xa9", 5, 0);
    obi_tokenizer_free(tokenizer);
}

static void spaces_come_first_and_after_control_tokens(void **state)
{
    (void)state;
    static const token_row rows[] = { { "<s>", CTL, 0 }, { SPACE, N, 0 }, { "a", N, 0 }, { SPACE "a", N, 1 }, { "<|u|>", USR, 0 },
                                      { "<|u|>x", CTL, 0 }, { SPACE SPACE, USR, 0 }, { NULL, 0, 0 } };
    obi_vocab vocab = tokens_vocab(OBI_VOCAB_SPM, rows);
    vocab.add_space_prefix = true;
    vocab.bos = 0;
    obi_tokenizer *tokenizer = tokens_create(&vocab);
    tokens_expect(tokenizer, "a", 0, "3");
    tokens_expect(tokenizer, "a", OBI_ENCODE_BOS, "0 3");
    tokens_expect(tokenizer, " a", 0, "1 3");
    tokens_expect(tokenizer, "a<s>a", OBI_ENCODE_SPECIAL, "3 0 3");
    tokens_expect(tokenizer, "<s><s>", OBI_ENCODE_SPECIAL, "0 0");
    tokens_expect(tokenizer, "a<|u|>a", 0, "3 4 2");     /* a user token is found without asking and brings no space */
    tokens_expect(tokenizer, "<|u|>a", 0, "1 4 2");      /* the first space comes before whatever is first */
    tokens_expect(tokenizer, "a<|u|>xa", OBI_ENCODE_SPECIAL, "3 5 3"); /* the longest */
    tokens_expect(tokenizer, "a  a", 0, "3 6 2");        /* U+2581 in a user token stands for a space */
    static const char *const texts[] = { "a", " a", "<|u|>a", "a<|u|>a", "  a", "a  ", " " };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        tokens_expect_round_trip(tokenizer, texts[i], strlen(texts[i]), 0);
        tokens_expect_round_trip(tokenizer, texts[i], strlen(texts[i]), OBI_ENCODE_BOS);
    }
    obi_tokenizer_free(tokenizer);

    tokenizer = spm_of(rows, false, -1);
    tokens_expect(tokenizer, "a", 0, "2");
    tokens_expect(tokenizer, " a<s>a", OBI_ENCODE_SPECIAL, "3 0 2");
    tokens_expect_round_trip(tokenizer, " a", 2, 0);
    obi_tokenizer_free(tokenizer);
}

static void the_longest_special_token_is_taken(void **state)
{
    (void)state;
    static const token_row rows[] = { { "x", N, 0 }, { "<", N, 0 }, { "<a>", CTL, 0 }, { "<a><b>", CTL, 0 }, { "a", N, 0 }, { ">", N, 0 },
                                      { "<a", USR, 0 }, { "b", N, 0 }, { "<a>", USR, 0 }, { "\xff", USR, 0 }, { "", CTL, 0 },
                                      { NULL, 0, 0 } };
    obi_tokenizer *tokenizer = spm_of(rows, false, -1);
    tokens_expect(tokenizer, "x<a><b>x", OBI_ENCODE_SPECIAL, "0 3 0");
    tokens_expect(tokenizer, "x<a><b", OBI_ENCODE_SPECIAL, "0 8 1 7"); /* of one text twice the user token counts */
    tokens_expect(tokenizer, "<a><b>", 0, "8 1 7 5");
    tokens_expect(tokenizer, "<ax", 0, "6 0");
    tokens_expect(tokenizer, "<<a", 0, "1 6");
    tokens_expect(tokenizer, "\xff", 0, "9");
    obi_tokenizer_free(tokenizer);
}

/* ---- ranked merges ------------------------------------------------------------------------------------ */

static void ranks_decide_and_cross_spaces(void **state)
{
    (void)state;
    static const token_row rows[] = { { "<unk>", UNK, 0 }, { SPACE, N, 0 }, { "a", N, 0 }, { "b", N, 0 }, { "a" SPACE, N, 0 }, 
                                      { "a" SPACE "b", N, 0 }, { "ab", N, 0 }, { "aa", N, 0 }, { NULL, 0, 0 } };
    static const char *const merges[] = { "a " SPACE, "a" SPACE " b", "a b", "a a", "a b", NULL };
    obi_vocab vocab = tokens_vocab(OBI_VOCAB_BPE_CHAR, rows);
    tokens_add_merges(&vocab, merges);
    vocab.add_space_prefix = true;
    vocab.unk = 0;
    obi_tokenizer *tokenizer = tokens_create(&vocab);
    tokens_expect(tokenizer, "a b", 0, "1 5");
    tokens_expect(tokenizer, "aab", 0, "1 2 6"); /* a b has the lower rank */
    tokens_expect(tokenizer, "aaa", 0, "1 7 2"); /* leftmost */
    tokens_expect(tokenizer, "a\xe4\xb8\xad?b", 0, "1 2 0 3");
    tokens_expect_round_trip(tokenizer, "a b  aab", 8, 0);
    obi_tokenizer_free(tokenizer);
}

/* GPT-2's 256 bytes with ids 0 to 255 in the order of the bytes, then these. */
static obi_tokenizer *byte_bpe(const char *pre, const token_row *more, const char *const *merges)
{
    static char spellings[256][4];
    token_row rows[300];
    uint32_t next = 256;
    for (uint32_t byte = 0; byte < 256; byte++) {
        bool visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
        uint32_t codepoint = visible ? byte : next++;
        char *text = spellings[byte];
        if (codepoint < 128) text[0] = (char)codepoint, text[1] = 0;
        else text[0] = (char)(0xc0 | codepoint >> 6), text[1] = (char)(0x80 | (codepoint & 63)), text[2] = 0;
        rows[byte] = (token_row){ text, N, 0 };
    }
    size_t count = 256;
    do rows[count] = *more; while (count++, more++->text);
    obi_vocab vocab = tokens_vocab(OBI_VOCAB_BPE_BYTE, rows);
    tokens_add_merges(&vocab, merges);
    strcpy(vocab.pre, pre);
    return tokens_create(&vocab);
}

static void byte_bpe_follows_its_family(void **state)
{
    (void)state;
    static const token_row more[] = { { "zz", N, 0 }, { "\xc4\xa0q", N, 0 }, { "\xc4\xa0qz", N, 0 }, { "<|end|>", CTL, 0 },
                                      { "\xc3\x83\xc2\xa9", N, 0 }, { NULL, 0, 0 } };
    static const char *const merges[] = { "z z", "\xc4\xa0 q", "\xc3\x83 \xc2\xa9", NULL };
    obi_tokenizer *gpt2 = byte_bpe("gpt-2", more, merges);
    obi_tokenizer *llama3 = byte_bpe("llama3", more, merges);
    obi_tokenizer *qwen2 = byte_bpe("qwen2", more, merges);
    tokens_expect(gpt2, "zzz qz", 0, "256 122 257 122");
    tokens_expect(llama3, "zzz qz", 0, "256 122 258"); /* a word that is a token is taken whole */
    tokens_expect(qwen2, "zzz qz", 0, "256 122 257 122");
    tokens_expect(gpt2, "e\xcc\x81", 0, "101 204 129");
    tokens_expect(llama3, "e\xcc\x81", 0, "101 204 129");
    tokens_expect(qwen2, "e\xcc\x81", 0, "260"); /* composed first */
    tokens_expect(qwen2, "\xff" "e\xcc\x81\xc3", 0, "255 260 195");
    tokens_expect(gpt2, "z<|end|>z", OBI_ENCODE_SPECIAL, "122 259 122");
    tokens_expect(gpt2, "<|", 0, "60 124");
    obi_rng rng = obi_rng_seed(4);
    for (int round = 0; round < 3000; round++) { /* any bytes come back */
        char text[32];
        size_t length = obi_rng_next(&rng) % sizeof text;
        for (size_t i = 0; i < length; i++) text[i] = (char)obi_rng_next(&rng);
        tokens_expect_round_trip(gpt2, text, length, 0);
        tokens_expect_round_trip(llama3, text, length, 0);
    }
    obi_tokenizer_free(gpt2);
    obi_tokenizer_free(llama3);
    obi_tokenizer_free(qwen2);
}

static void missing_bytes_are_named(void **state)
{
    (void)state;
    static const token_row rows[] = { { "a", N, 0 }, { "<unk>", UNK, 0 }, { "<0x20>", BYT, 0 }, { NULL, 0, 0 } };
    obi_vocab vocab = tokens_vocab(OBI_VOCAB_BPE_BYTE, rows);
    strcpy(vocab.pre, "gpt-2");
    obi_tokenizer *tokenizer = tokens_create(&vocab);
    uint32_t *ids;
    size_t count;
    assert_int_equal(obi_tokenizer_encode(tokenizer, "ab", 2, 0, &ids, &count), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "U+0062"));
    assert_int_equal(obi_tokenizer_encode(tokenizer, "a\xff", 2, 0, &ids, &count), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "0xFF"));
    assert_null(ids);
    assert_int_equal(count, 0);
    tokens_expect(tokenizer, "a a", 0, "0 2 0"); /* a byte token stands in */
    obi_tokenizer_free(tokenizer);

    vocab = tokens_vocab(OBI_VOCAB_BPE_BYTE, rows);
    strcpy(vocab.pre, "gpt-2");
    vocab.unk = 1;
    tokenizer = tokens_create(&vocab);
    tokens_expect(tokenizer, "abb", 0, "0 1 1"); /* one for each byte */
    obi_tokenizer_free(tokenizer);
}

static void merges_make_no_control_tokens(void **state)
{
    (void)state;
    static const token_row rows[] = { { "a", N, 0 }, { "b", N, 0 }, { "ab", CTL, 0 }, { NULL, 0, 0 } };
    static const char *const merges[] = { "a b", NULL };
    obi_vocab vocab = tokens_vocab(OBI_VOCAB_BPE_CHAR, rows);
    tokens_add_merges(&vocab, merges);
    obi_tokenizer *tokenizer = tokens_create(&vocab);
    tokens_expect(tokenizer, "ab", 0, "0 1");
    tokens_expect(tokenizer, "ab", OBI_ENCODE_SPECIAL, "2");
    obi_tokenizer_free(tokenizer);
}

static void of_two_equal_texts_the_first_is_used(void **state)
{
    (void)state;
    static const token_row rows[] = { { "a", CTL, 0 }, { "b", N, 0 }, { "a", N, 0 }, { "a", N, 0 }, { NULL, 0, 0 } };
    obi_tokenizer *tokenizer = spm_of(rows, false, -1);
    tokens_expect(tokenizer, "ab", 0, "2 1");
    tokens_expect(tokenizer, "ab", OBI_ENCODE_SPECIAL, "0 1");
    obi_tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spm_joins_best_score_then_leftmost),
        cmocka_unit_test(spm_joins_what_has_no_piece_alone),
        cmocka_unit_test(spm_falls_back_to_bytes),
        cmocka_unit_test(spaces_come_first_and_after_control_tokens),
        cmocka_unit_test(the_longest_special_token_is_taken),
        cmocka_unit_test(ranks_decide_and_cross_spaces),
        cmocka_unit_test(byte_bpe_follows_its_family),
        cmocka_unit_test(missing_bytes_are_named),
        cmocka_unit_test(merges_make_no_control_tokens),
        cmocka_unit_test(of_two_equal_texts_the_first_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

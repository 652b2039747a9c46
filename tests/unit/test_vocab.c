/* Vocabularies as data: into GGUF and back, damaged ones refused with a sentence that says why, and memory that runs
 * out at every single allocation. */
#include <math.h>

#include "scratch.h"
#include "tokens.h"

enum { N = OBI_TOKEN_NORMAL, UNK = OBI_TOKEN_UNKNOWN, CTL = OBI_TOKEN_CONTROL, USR = OBI_TOKEN_USER, BYT = OBI_TOKEN_BYTE };

static const token_row small[] = { { "<unk>", UNK, 0 }, { "<s>", CTL, 0 }, { "</s>", CTL, 0 }, { "<0x0A>", BYT, 0 }, { "a", N, -1 },
                                   { "b", N, -2.5f }, { "ab", N, -3 }, { "<|u|>", USR, 0 }, { "\xe2\x96\x81", N, -4 }, { NULL, 0, 0 } };

/* ---- GGUF and back ------------------------------------------------------------------------------------ */

static void assert_same_texts(const obi_gguf_string *left, const obi_gguf_string *right, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(left[i].length, right[i].length);
        assert_memory_equal(left[i].text, right[i].text, (size_t)left[i].length);
    }
}

static void assert_same(const obi_vocab *left, const obi_vocab *right)
{
    assert_int_equal(left->kind, right->kind);
    assert_int_equal(left->count, right->count);
    assert_same_texts(left->tokens, right->tokens, left->count);
    assert_memory_equal(left->types, right->types, left->count * sizeof *left->types);
    assert_int_equal(left->scores != NULL, right->scores != NULL);
    if (left->scores) assert_memory_equal(left->scores, right->scores, left->count * sizeof *left->scores);
    assert_int_equal(left->merge_count, right->merge_count);
    assert_same_texts(left->merges, right->merges, left->merge_count);
    assert_string_equal(left->pre, right->pre);
    assert_int_equal(left->bos, right->bos);
    assert_int_equal(left->eos, right->eos);
    assert_int_equal(left->unk, right->unk);
    assert_int_equal(left->pad, right->pad);
    assert_int_equal(left->add_bos, right->add_bos);
    assert_int_equal(left->add_eos, right->add_eos);
    assert_int_equal(left->add_space_prefix, right->add_space_prefix);
}

static void write_vocab(const obi_vocab *vocab)
{
    obi_gguf_writer *writer;
    assert_int_equal(obi_gguf_writer_create(&writer, scratch_path("vocab.gguf")), OBI_OK);
    obi_gguf_put_string(writer, "general.architecture", "llama");
    obi_vocab_to_gguf(vocab, writer);
    if (obi_gguf_writer_begin(writer) != OBI_OK) fail_msg("%s", obi_last_error());
    assert_int_equal(obi_gguf_writer_commit(writer, NULL), OBI_OK);
}

static void read_vocab(obi_vocab *vocab)
{
    obi_gguf gguf;
    if (obi_gguf_open(&gguf, scratch_path("vocab.gguf")) != OBI_OK) fail_msg("%s", obi_last_error());
    obi_status status = obi_vocab_from_gguf(vocab, &gguf);
    obi_gguf_close(&gguf);
    unlink(scratch_path("vocab.gguf"));
    if (status != OBI_OK) fail_msg("%s", obi_last_error());
}

static void check_round_trip(const obi_vocab *vocab)
{
    obi_vocab again;
    write_vocab(vocab);
    read_vocab(&again);
    assert_same(vocab, &again);
    obi_vocab_free(&again);
}

static void vocabularies_survive_gguf(void **state)
{
    (void)state;
    static const char *const files[] = { "tokenizers/gguf/ggml-vocab-llama-spm.gguf", "tokenizers/gguf/ggml-vocab-gpt-2.gguf" };
    for (int i = 0; i < 2; i++) {
        obi_tokenizer *tokenizer = tokens_open_gguf(files[i]);
        check_round_trip(obi_tokenizer_vocab(tokenizer));
        obi_tokenizer_free(tokenizer);
    }
    obi_vocab vocab = tokens_vocab(OBI_VOCAB_SPM, small);
    check_round_trip(&vocab); /* no ids at all: none come back */
    vocab.bos = 1, vocab.eos = 2, vocab.unk = 0, vocab.pad = 7;
    vocab.add_bos = vocab.add_eos = vocab.add_space_prefix = true;
    check_round_trip(&vocab);
    obi_vocab_free(&vocab);

    static const char *const merges[] = { "a b", "b a", NULL }; /* the second makes no token: kept as it is */
    vocab = tokens_vocab(OBI_VOCAB_BPE_CHAR, small);
    tokens_add_merges(&vocab, merges);
    vocab.add_space_prefix = true;
    check_round_trip(&vocab);
    obi_vocab_free(&vocab);
}

/* Other programs see model "llama" with scores that fall with the rank. */
static void ranked_merges_leave_scores_behind(void **state)
{
    (void)state;
    static const token_row rows[] = { { "a", N, 0 }, { "b", N, 0 }, { "ab", N, 0 }, { "ba", N, 0 }, { "<s>", CTL, 0 }, { NULL, 0, 0 } };
    static const char *const merges[] = { "b a", "a b", "a b", NULL };
    obi_vocab vocab = tokens_vocab(OBI_VOCAB_BPE_CHAR, rows);
    tokens_add_merges(&vocab, merges);
    write_vocab(&vocab);
    obi_vocab_free(&vocab);
    obi_gguf gguf;
    obi_gguf_string model;
    const obi_gguf_value *scores;
    assert_int_equal(obi_gguf_open(&gguf, scratch_path("vocab.gguf")), OBI_OK);
    assert_int_equal(obi_gguf_get_string(&gguf, "tokenizer.ggml.model", true, &model), OBI_OK);
    assert_memory_equal(model.text, "llama", 5);
    assert_int_equal(obi_gguf_get_array(&gguf, "tokenizer.ggml.scores", OBI_GGUF_F32, true, &scores), OBI_OK);
    static const float expected[] = { -3, -3, -1, 0, 0 };
    for (uint32_t i = 0; i < 5; i++) assert_true(obi_gguf_array_f32(scores, i) == expected[i]);
    obi_gguf_close(&gguf);
    unlink(scratch_path("vocab.gguf"));
}

/* ---- damaged GGUF keys --------------------------------------------------------------------------------- */

typedef struct damage {
    const char *model, *pre, *kind;
    uint32_t tokens, scores, types, merges; /* elements of each array; 0 = no key */
    int64_t bos;                            /* -1 = no key */
    const char *expected;                   /* in the sentence; NULL: it is read */
} damage;

static const damage damages[] = {
    { "llama", NULL, NULL, 3, 3, 3, 0, 1, NULL },
    { "llama", "default", NULL, 3, 3, 0, 0, -1, NULL },
    { "gpt2", "gpt-2", NULL, 3, 0, 3, 2, 1, NULL },
    { "llama", NULL, "bpe-char", 3, 0, 3, 2, 1, NULL },
    { NULL, NULL, NULL, 3, 3, 3, 0, 1, "tokenizer.ggml.model" },
    { "bert", NULL, NULL, 3, 3, 3, 0, 1, "\"bert\"" },
    { "llama", NULL, "new", 3, 3, 3, 0, 1, "onebit.tokenizer.kind" },
    { "gpt2", "gpt-2", "spm", 3, 0, 3, 2, 1, "onebit.tokenizer.kind" },
    { "gpt2", NULL, NULL, 3, 0, 3, 2, 1, "tokenizer.ggml.pre is missing" },
    { "gpt2", "default", NULL, 3, 0, 3, 2, 1, "\"default\"" },
    { "gpt2", "a-name-that-is-much-longer-than-any-of-ours", NULL, 3, 0, 3, 2, 1, "not known" },
    { "llama", NULL, NULL, 0, 3, 3, 0, 1, "tokenizer.ggml.tokens" },
    { "llama", NULL, NULL, 3, 0, 3, 0, 1, "tokenizer.ggml.scores" },
    { "llama", NULL, NULL, 3, 2, 3, 0, 1, "2 elements for 3 tokens" },
    { "llama", NULL, NULL, 3, 3, 4, 0, 1, "4 elements for 3 tokens" },
    { "llama", NULL, "bpe-char", 3, 3, 3, 0, 1, "tokenizer.ggml.merges" },
    { "gpt2", "gpt-2", NULL, 3, 0, 3, 0, 1, "tokenizer.ggml.merges" },
    { "llama", NULL, NULL, 3, 3, 3, 0, 3, "bos_token_id is 3" },
    { "llama", NULL, NULL, 3, 3, 3, 0, 0x80000000, "bos_token_id is 2147483648" },
};

static void damaged_keys_are_named(void **state)
{
    (void)state;
    static const obi_gguf_string tokens[] = { { "<unk>", 5 }, { "<s>", 3 }, { "</s>", 4 } }, merges[] = { { "a b", 3 }, { "c d", 3 } };
    static const float scores[4] = { 0, 1, 2, 3 };
    static const int32_t types[4] = { UNK, CTL, CTL, N };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const damage *each = &damages[i];
        obi_gguf_writer *writer;
        assert_int_equal(obi_gguf_writer_create(&writer, scratch_path("vocab.gguf")), OBI_OK);
        obi_gguf_put_string(writer, "general.architecture", "llama");
        if (each->model) obi_gguf_put_string(writer, "tokenizer.ggml.model", each->model);
        if (each->pre) obi_gguf_put_string(writer, "tokenizer.ggml.pre", each->pre);
        if (each->kind) obi_gguf_put_string(writer, "onebit.tokenizer.kind", each->kind);
        if (each->tokens) obi_gguf_put_strings(writer, "tokenizer.ggml.tokens", tokens, each->tokens);
        if (each->scores) obi_gguf_put_f32s(writer, "tokenizer.ggml.scores", scores, each->scores);
        if (each->types) obi_gguf_put_i32s(writer, "tokenizer.ggml.token_type", types, each->types);
        if (each->merges) obi_gguf_put_strings(writer, "tokenizer.ggml.merges", merges, each->merges);
        if (each->bos >= 0) obi_gguf_put_u32(writer, "tokenizer.ggml.bos_token_id", (uint32_t)each->bos);
        assert_int_equal(obi_gguf_writer_begin(writer), OBI_OK);
        assert_int_equal(obi_gguf_writer_commit(writer, NULL), OBI_OK);
        obi_gguf gguf;
        obi_vocab vocab;
        assert_int_equal(obi_gguf_open(&gguf, scratch_path("vocab.gguf")), OBI_OK);
        obi_status status = obi_vocab_from_gguf(&vocab, &gguf);
        if (status != (each->expected ? OBI_ERROR_DATA : OBI_OK)) fail_msg("case %zu: %s", i, obi_last_error());
        if (each->expected && !strstr(obi_last_error(), each->expected)) fail_msg("case %zu: %s", i, obi_last_error());
        if (!each->expected && !each->kind && strcmp(each->model, "llama") == 0) { /* what the usual files leave out */
            assert_int_equal(vocab.bos, 1);
            assert_int_equal(vocab.eos, 2);
            assert_int_equal(vocab.unk, 0);
            assert_int_equal(vocab.types[1], CTL);
            assert_true(vocab.add_bos && vocab.add_space_prefix && !vocab.add_eos);
        }
        obi_vocab_free(&vocab);
        obi_gguf_close(&gguf);
        unlink(scratch_path("vocab.gguf"));
    }
}

/* ---- damaged vocabularies ------------------------------------------------------------------------------ */

static void expect_refused(obi_vocab *vocab, const char *expected)
{
    obi_tokenizer *tokenizer;
    assert_int_equal(obi_tokenizer_create(&tokenizer, vocab), OBI_ERROR_DATA);
    assert_null(tokenizer);
    assert_null(vocab->tokens); /* taken over and freed */
    if (!strstr(obi_last_error(), expected)) fail_msg("not about \"%s\": %s", expected, obi_last_error());
}

static void damaged_tokens_are_refused(void **state)
{
    (void)state;
    static const char *const bad_bytes[] = {
        "<0x-1>", "<0x1>", "<0x100>", "<0xGG>", "<0x+1>", "<0x 1>", "<0X41>", "0x41", "<0x41", "<0x41> ", "" };
    for (size_t i = 0; i < sizeof bad_bytes / sizeof *bad_bytes; i++) {
        token_row rows[] = { { "a", N, 0 }, { bad_bytes[i], BYT, 0 }, { NULL, 0, 0 } };
        obi_vocab vocab = tokens_vocab(OBI_VOCAB_SPM, rows);
        expect_refused(&vocab, "token 1 ");
    }
    static const int32_t bad_types[] = { 0, -1, 7, INT32_MAX };
    for (int i = 0; i < 4; i++) {
        token_row rows[] = { { "a", bad_types[i], 0 }, { NULL, 0, 0 } };
        obi_vocab vocab = tokens_vocab(OBI_VOCAB_SPM, rows);
        expect_refused(&vocab, "type");
    }
    static const int32_t bad_ids[] = { -2, 9, INT32_MAX, INT32_MIN };
    for (int i = 0; i < 16; i++) {
        obi_vocab vocab = tokens_vocab(OBI_VOCAB_SPM, small);
        *(int32_t *[]){ &vocab.bos, &vocab.eos, &vocab.unk, &vocab.pad }[i / 4] = bad_ids[i % 4];
        expect_refused(&vocab, "9 tokens");
    }
    obi_vocab vocab = tokens_vocab(OBI_VOCAB_SPM, small);
    vocab.tokens[4].text = NULL;
    expect_refused(&vocab, "no text");
    vocab = tokens_vocab(OBI_VOCAB_SPM, small);
    vocab.scores[5] = NAN;
    expect_refused(&vocab, "token 5 ");
    vocab = tokens_vocab(OBI_VOCAB_BPE_CHAR, small);
    vocab.kind = OBI_VOCAB_SPM;
    expect_refused(&vocab, "scores");
    vocab = (obi_vocab){ 0 };
    expect_refused(&vocab, "empty");
    vocab = tokens_vocab(OBI_VOCAB_SPM, small);
    vocab.count = (1u << 22) + 1; /* seen before anything of it is read */
    expect_refused(&vocab, "at most");
}

static void damaged_merges_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "a c", "c b", "b a", "ab", "a ", " b", " ", "", "a  b", "ab ab" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *merges[] = { "a b", bad[i], NULL };
        obi_vocab vocab = tokens_vocab(OBI_VOCAB_BPE_CHAR, small);
        tokens_add_merges(&vocab, merges);
        expect_refused(&vocab, "merge 1 ");
    }
    static const char *const good[] = { "a b", NULL };
    obi_vocab vocab = tokens_vocab(OBI_VOCAB_BPE_BYTE, small);
    tokens_add_merges(&vocab, good);
    strcpy(vocab.pre, "mystery");
    expect_refused(&vocab, "mystery");
    vocab = tokens_vocab(OBI_VOCAB_BPE_BYTE, small);
    memset(vocab.pre, 'x', sizeof vocab.pre);
    expect_refused(&vocab, "too long");
}

static void odd_but_harmless_tokens_are_accepted(void **state)
{
    (void)state;
    static const token_row rows[] = { { "", N, INFINITY }, { "a", N, -INFINITY }, { "a", N, 0 }, { "<0x41>", BYT, 0 }, { "<0x41>", BYT, 0 },
                                      { "", CTL, 0 }, { "\xff\xfe", N, 1 }, { "aa", OBI_TOKEN_UNUSED, 0 }, { NULL, 0, 0 } };
    obi_vocab vocab = tokens_vocab(OBI_VOCAB_SPM, rows);
    obi_tokenizer *tokenizer = tokens_create(&vocab);
    tokens_expect(tokenizer, "a", OBI_ENCODE_SPECIAL, "1");
    tokens_expect(tokenizer, "A", 0, "3");
    tokens_expect(tokenizer, "\xff\xfe", 0, "6");
    char text[4];
    assert_int_equal(obi_tokenizer_piece(tokenizer, 1, 0, text, sizeof text), 0);
    assert_int_equal(obi_tokenizer_find(tokenizer, "a", 1), 1);
    obi_tokenizer_free(tokenizer);
    obi_tokenizer_free(NULL);
}

/* ---- memory that runs out ------------------------------------------------------------------------------ */

static size_t allowed; /* allocations that still succeed */

static void *failing_allocate(size_t bytes, void *user)
{
    (void)user;
    return allowed ? allowed--, malloc(bytes) : NULL;
}

static void *failing_reallocate(void *old, size_t bytes, void *user)
{
    (void)user;
    return allowed ? allowed--, realloc(old, bytes) : NULL;
}

static void plain_release(void *memory, void *user)
{
    (void)user;
    free(memory);
}

/* Everything once, on a vocabulary that is ready in memory; the first failure ends it. */
static obi_status use_everything(obi_vocab *vocab)
{
    obi_tokenizer *tokenizer;
    uint32_t *ids = NULL;
    size_t count;
    OBI_TRY(obi_tokenizer_create(&tokenizer, vocab));
    obi_status status = obi_tokenizer_encode(tokenizer, "ab <|u|> e\xcc\x81" "baab", 17, OBI_ENCODE_BOS | OBI_ENCODE_SPECIAL, &ids, &count);
    if (status != OBI_OK) assert_null(ids);
    obi_free(ids);
    obi_tokenizer_free(tokenizer);
    return status;
}

static void running_out_of_memory_is_reported(void **state)
{
    (void)state;
    static const char *const merges[] = { "a b", NULL };
    static const char *const pres[] = { "", "", "gpt-2", "llama-bpe", "qwen2" };
    static const obi_vocab_kind kinds[] = { OBI_VOCAB_SPM, OBI_VOCAB_BPE_CHAR, OBI_VOCAB_BPE_BYTE, OBI_VOCAB_BPE_BYTE, OBI_VOCAB_BPE_BYTE };
    for (int kind = 0; kind < 5; kind++) {
        obi_status status = OBI_ERROR_MEMORY;
        for (size_t limit = 0; status != OBI_OK; limit++) {
            allowed = SIZE_MAX;
            obi_alloc_set_hooks(&(obi_alloc_hooks){ failing_allocate, failing_reallocate, plain_release, NULL });
            obi_vocab vocab = tokens_vocab(kinds[kind], small);
            if (kinds[kind] != OBI_VOCAB_SPM) tokens_add_merges(&vocab, merges);
            strcpy(vocab.pre, pres[kind]);
            vocab.unk = 0;
            allowed = limit;
            status = use_everything(&vocab);
            obi_alloc_set_hooks(NULL);
            if (status != OBI_OK && status != OBI_ERROR_MEMORY) fail_msg("kind %d, %zu allocations: %s", kind, limit, obi_last_error());
            assert_true(limit < 1000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vocabularies_survive_gguf),
        cmocka_unit_test(ranked_merges_leave_scores_behind),
        cmocka_unit_test(damaged_keys_are_named),
        cmocka_unit_test(damaged_tokens_are_refused),
        cmocka_unit_test(damaged_merges_are_refused),
        cmocka_unit_test(odd_but_harmless_tokens_are_accepted),
        cmocka_unit_test(running_out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}

/* test_onebit: the whole forward pass against tests/reference_model.h, which is written from the equations: OneBit files of
 * trained models, and random models of odd sizes, of both rotary layouts and of every type of weight we read. At each
 * tier, for prompts that go through the matrix-vector and the matrix-matrix kernels, and fed one by one. */
#include "model_file.h"

#include <string.h>

#include "core/file.h"
#include "reference_model.h"
#include "synthetic_model.h"
#include "engine/score.h"

enum { TOKENS = 40 };

/* ---- against the reference ------------------------------------------------------------------------------------- */

typedef struct expected {
    reference_model *model;
    const uint32_t *ids;
    double *logits;         /* (TOKENS, V) */
    double *single;         /* tolerances of f32 */
    double *half, *half_head; /* of tier C: all matrix-vector kernels; the head's only, after matrix-matrix kernels */
    double worst[OBI_TIER_COUNT];
} expected;

static expected expect(const char *path, const uint32_t *ids)
{
    expected made = { .model = reference_open(path), .ids = ids };
    made.logits = reference_run(made.model, ids, TOKENS, NULL);
    made.single = reference_tolerance(made.model, ids, TOKENS, made.logits, false, false);
    if (test_device()->tier < OBI_TIER_C) return made; /* the rest is not asked for */
    made.half = reference_tolerance(made.model, ids, TOKENS, made.logits, true, true);
    made.half_head = reference_tolerance(made.model, ids, TOKENS, made.logits, false, true);
    return made;
}

static void expected_free(expected *made)
{
    reference_close(made->model);
    free(made->logits);
    free(made->single);
    free(made->half);
    free(made->half_head);
}

/* The session's logits are those after ids[position]. */
static void check_logits(obi_session *session, expected *want, size_t position, double tolerance, obi_tier tier, const char *what)
{
    uint32_t V = want->model->config.vocabulary;
    float *logits = malloc(V * sizeof *logits);
    TEST_OK(obi_session_logits(session, logits));
    for (uint32_t i = 0; i < V; i++) {
        double difference = fabs((double)logits[i] - want->logits[position * V + i]);
        if (!(difference <= tolerance))
            fail_msg("%s, tier %s, %s, token %zu: logit %u is %.9g, reference %.9g, tolerance %.3g", obi_tier_name(tier), what,
                     test_device()->caps.name, position, i, (double)logits[i], want->logits[position * V + i], tolerance);
        want->worst[tier] = fmax(want->worst[tier], difference / tolerance);
    }
    free(logits);
}

static void check_prompts(const obi_weights *weights, expected *want, obi_tier tier, const char *what)
{
    static const size_t prompts[] = { 1, 5, TOKENS };
    obi_session_desc desc = { .kv_type = OBI_KV_F32 };
    obi_session *session;
    TEST_OK(obi_session_create(weights, &desc, &session));
    for (size_t p = 0; p < sizeof prompts / sizeof *prompts; p++) {
        size_t last = prompts[p] - 1;
        const double *half = prompts[p] < 8 ? want->half : want->half_head; /* from 8 on: matrix-matrix kernels, which have no halves */
        TEST_OK(obi_session_rewind(session, 0));
        TEST_OK(obi_session_feed(session, want->ids, prompts[p]));
        check_logits(session, want, last, tier == OBI_TIER_C ? half[last] : want->single[last], tier, what);
    }
    TEST_OK(obi_session_rewind(session, 0));
    for (size_t t = 0; t < TOKENS; t++) {
        TEST_OK(obi_session_feed(session, &want->ids[t], 1));
        check_logits(session, want, t, tier == OBI_TIER_C ? want->half[t] : want->single[t], tier, what);
    }
    obi_session_destroy(session);
}

/* -ln softmax(logits)[target] of the reference. */
static double reference_nll(const expected *want, size_t position)
{
    uint32_t V = want->model->config.vocabulary;
    const double *logits = want->logits + position * V;
    double largest = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < V; i++) largest = fmax(largest, logits[i]);
    for (uint32_t i = 0; i < V; i++) sum += exp(logits[i] - largest);
    return largest + log(sum) - logits[want->ids[position + 1]];
}

/* A logit that is off by d moves -ln softmax by 2d at the most. */
static void check_score(const obi_weights *weights, const expected *want)
{
    obi_session_desc desc = { .kv_type = OBI_KV_F32, .batch = 16 };
    obi_session *session;
    double nll[TOKENS];
    TEST_OK(obi_session_create(weights, &desc, &session));
    TEST_OK(obi_session_score(session, want->ids, TOKENS, nll));
    for (size_t t = 0; t + 1 < TOKENS; t++)
        if (!(fabs(nll[t] - reference_nll(want, t)) <= 2 * want->single[t] + 1e-6))
            fail_msg("token %zu: NLL %.9g, reference %.9g", t, nll[t], reference_nll(want, t));
    obi_session_destroy(session);
}

static void check_file(const char *path, const uint32_t *ids, const obi_weights *weights, const char *what)
{
    expected want = expect(path, ids);
    print_message("%s: a logit may be off by %.2g", what, want.single[TOKENS - 1]);
    if (want.half) print_message("; in tier C by %.2g after %u tokens fed one by one", want.half[TOKENS - 1], (unsigned)TOKENS);
    print_message("\n");
    for (int tier = OBI_TIER_A; tier <= (int)test_device()->tier; tier++) {
        model_use_tier((obi_tier)tier);
        check_prompts(weights, &want, (obi_tier)tier, what);
        print_message("  tier %s: %.2f of it at the worst\n", obi_tier_name((obi_tier)tier), want.worst[tier]);
    }
    model_use_tier(OBI_TIER_A);
    check_score(weights, &want);
    model_use_tier(test_device()->tier);
    expected_free(&want);
    test_device_check();
}

/* ---- trained models, in 1 bit ---------------------------------------------------------------------------------- */

/* Text that all three tokenizers know: one line of ASCII. */
static size_t plain_text(char *out, size_t room)
{
    obi_mapping text;
    size_t length = 0;
    TEST_OK(obi_mapping_open(&text, test_data_path("text/tinystories_valid_head.txt")));
    for (uint64_t i = 0; i < text.size && length < room; i++)
        if (text.data[i] < 128) out[length++] = text.data[i] == '\n' ? ' ' : (char)text.data[i];
    obi_mapping_close(&text);
    assert_int_equal(length, room);
    return length;
}

/* The text need not make sense: signs and scales alone keep little of a model that was not trained in this form. */
static void generate(const model_file *model, const uint32_t *ids, size_t count, const char *what)
{
    obi_session_desc desc = { .kv_type = OBI_KV_F32, .sampling = { .temperature = 0.8f, .top_k = 40, .seed = 1 } };
    obi_session *session = model_session(model, &desc);
    char text[1024];
    size_t length = 0, fed = count < 8 ? count : 8;
    uint32_t id = ids[fed - 1];
    TEST_OK(obi_session_feed(session, ids, fed));
    for (int i = 0; i < 40; i++) {
        uint32_t before = id;
        TEST_OK(obi_session_sample(session, &id));
        assert_true(id < model->weights->config.vocabulary);
        length += obi_tokenizer_piece(model->tokenizer, before, id, text + length, sizeof text - length);
        TEST_OK(obi_session_feed(session, &id, 1));
    }
    assert_true(length > 0);
    print_message("%s says: %.*s\n", what, (int)length, text);
    obi_session_destroy(session);
}

static void check_nll(const model_file *model, const uint32_t *ids, size_t count, const char *what)
{
    obi_session_desc desc = { .kv_type = OBI_KV_F32 };
    obi_session *session = model_session(model, &desc);
    double *nll = malloc(count * sizeof *nll), sum = 0;
    TEST_OK(obi_session_score(session, ids, count, nll));
    for (size_t i = 0; i + 1 < count; i++) {
        assert_true(isfinite(nll[i]) && nll[i] >= 0);
        sum += nll[i];
    }
    print_message("%s: %zu predictions, mean NLL %.4f nats (a uniform guess: %.4f)\n", what, count - 1, sum / (double)(count - 1),
                  log(model->weights->config.vocabulary));
    obi_session_destroy(session);
    free(nll);
}

static void check_model(const char *name, const char *relative)
{
    char what[64], text[1500];
    model_file model;
    uint32_t *ids;
    size_t count, length = plain_text(text, sizeof text);
    snprintf(what, sizeof what, "%s in 1 bit", name);
    model_open(&model, model_convert(relative, OBI_FORM_ONEBIT, "onebit.gguf"));
    assert_true(model.weights->config.onebit && model.weights->config.post_norm);
    TEST_OK(obi_tokenizer_encode(model.tokenizer, text, length, OBI_ENCODE_BOS, &ids, &count));
    assert_true(count >= TOKENS);
    check_file(model.path, ids, model.weights, what);
    generate(&model, ids, count, what);
    check_nll(&model, ids, count < 256 ? count : 256, what);
    obi_free(ids);
    model_close(&model);
    test_device_check();
}

static void test_stories260k(void **state) { (void)state; check_model("stories260K", "stories260K/stories260K.bin"); }
static void test_babyllama105(void **state) { (void)state; check_model("babyllama105", "babyllama105/babyllama105.bin"); }
static void test_tinystories656k(void **state) { (void)state; check_model("tinystories656k", "tinystories656k"); }

/* ---- random models --------------------------------------------------------------------------------------------- */

static void check_synthetic(const synthetic_model *model, const char *what)
{
    const char *path = scratch_path("synthetic.gguf");
    uint32_t ids[TOKENS];
    obi_rng rng = obi_rng_seed(model->seed + 1);
    obi_gguf gguf;
    obi_weights *weights;
    for (size_t i = 0; i < TOKENS; i++) ids[i] = (uint32_t)(obi_rng_next(&rng) % model->config.vocabulary);
    synthetic_write(model, path);
    TEST_OK(obi_gguf_open(&gguf, path));
    TEST_OK(obi_weights_load(test_device(), &gguf, NULL, NULL, &weights));
    obi_gguf_close(&gguf);
    check_file(path, ids, weights, what);
    obi_weights_free(weights);
    unlink(path);
}

#define NORMS .norm_eps = 1e-5f, .rope_theta = 10000, .rope_scale = 1
#define ONEBIT .onebit = true, .post_norm = true, .post_norm_eps = 1e-5f

/* Nothing here is a multiple of 32, nor even of 8; the head is its own matrix. */
static void test_odd_onebit(void **state)
{
    (void)state;
    synthetic_model model = { .config = { ONEBIT, NORMS, .width = 40, .layers = 3, .heads = 4, .kv_heads = 2, .head_size = 10, .ffn = 57,
                                          .vocabulary = 33, .context = 64, .rope_dimensions = 10, .rope_layout = OBI_ROPE_HALF },
                              .embedding = OBI_DTYPE_F16, .head = OBI_DTYPE_F16, .norm = OBI_DTYPE_F16, .seed = 1 };
    check_synthetic(&model, "odd OneBit, half layout");
    model.config.rope_layout = OBI_ROPE_PAIRS;
    model.seed = 2;
    check_synthetic(&model, "odd OneBit, pairs layout");
}

/* Heads that are not width / heads, rotated in part, with slowed frequencies and positions; no LayerNorm; one key head. */
static void test_rotary_onebit(void **state)
{
    (void)state;
    synthetic_model model = { .config = { .onebit = true, .post_norm_eps = 1e-5f, .width = 50, .layers = 2, .heads = 3, .kv_heads = 1,
                                          .head_size = 14, .ffn = 33, .vocabulary = 37, .context = 41, .norm_eps = 1e-6f, .rope_theta = 500,
                                          .rope_scale = 4, .rope_dimensions = 6, .rope_layout = OBI_ROPE_HALF, .tied = true },
                              .embedding = OBI_DTYPE_F32, .norm = OBI_DTYPE_F32, .rope_factors = true, .seed = 3 };
    check_synthetic(&model, "partly rotated OneBit without LayerNorm, half layout");
    model.config.rope_layout = OBI_ROPE_PAIRS;
    model.config.post_norm = true;
    model.config.post_norm_eps = 0.01f; /* seen in the result: it must be this one that is used */
    model.seed = 4;
    check_synthetic(&model, "partly rotated OneBit, pairs layout");
}

/* Several planes, with and without an offset, g and LayerNorm, against their sums as dense weights. */
static void test_planes(void **state)
{
    (void)state;
    synthetic_model model = { .config = { .onebit = true, NORMS, .width = 40, .layers = 2, .heads = 4, .kv_heads = 2, .head_size = 10, .ffn = 57,
                                          .vocabulary = 33, .context = 64, .rope_dimensions = 10, .rope_layout = OBI_ROPE_HALF, .planes = 2,
                                          .offset = true, .no_input_factor = true },
                              .embedding = OBI_DTYPE_F16, .head = OBI_DTYPE_F16, .norm = OBI_DTYPE_F16, .seed = 21 };
    check_synthetic(&model, "two planes with an offset, without g");
    model.config = (obi_config){ ONEBIT, NORMS, .width = 96, .layers = 2, .heads = 4, .kv_heads = 4, .head_size = 24, .ffn = 130,
                                 .vocabulary = 37, .context = 64, .rope_dimensions = 24, .rope_layout = OBI_ROPE_PAIRS, .planes = 3 };
    model.seed = 22;
    check_synthetic(&model, "three planes with g and LayerNorm");
}

static void test_dense(void **state)
{
    (void)state;
    synthetic_model model = { .config = { NORMS, .width = 43, .layers = 2, .heads = 5, .kv_heads = 5, .head_size = 6, .ffn = 71,
                                          .vocabulary = 129, .context = 64, .rope_dimensions = 4, .rope_layout = OBI_ROPE_PAIRS },
                              .embedding = OBI_DTYPE_F32, .head = OBI_DTYPE_F16, .norm = OBI_DTYPE_BF16, .rope_factors = true, .seed = 5 };
    static const obi_dtype plain[] = { OBI_DTYPE_F32, OBI_DTYPE_F16, OBI_DTYPE_BF16 };
    for (int i = 0; i < OBI_LINEAR_COUNT; i++) model.linear[i] = plain[i % 3];
    check_synthetic(&model, "odd dense F32, F16 and BF16");
    model.config = (obi_config){ NORMS, .width = 96, .layers = 2, .heads = 4, .kv_heads = 2, .head_size = 16, .ffn = 160, .vocabulary = 67,
                                 .context = 64, .rope_dimensions = 16, .rope_layout = OBI_ROPE_PAIRS };
    static const obi_dtype blocks[] = { OBI_DTYPE_Q8_0, OBI_DTYPE_Q4_0, OBI_DTYPE_F16, OBI_DTYPE_Q8_0,
                                        OBI_DTYPE_Q4_0, OBI_DTYPE_Q8_0, OBI_DTYPE_Q4_0 };
    for (int i = 0; i < OBI_LINEAR_COUNT; i++) model.linear[i] = blocks[i];
    model.embedding = OBI_DTYPE_Q8_0;
    model.head = OBI_DTYPE_Q4_0;
    model.norm = OBI_DTYPE_F32;
    model.rope_factors = false;
    model.seed = 6;
    check_synthetic(&model, "dense Q8_0 and Q4_0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_odd_onebit),  cmocka_unit_test(test_rotary_onebit), cmocka_unit_test(test_dense),
        cmocka_unit_test(test_planes),
        cmocka_unit_test(test_stories260k), cmocka_unit_test(test_babyllama105),  cmocka_unit_test(test_tinystories656k),
    };
    test_leave_out_bytes();
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, scratch_close));
}

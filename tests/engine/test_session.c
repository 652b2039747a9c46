/* test_session: one sequence on the device: however its tokens are fed the logits are the same; one submit a token;
 * mistakes change nothing; sessions do not disturb each other; scores are those of the logits. */
#include "model_file.h"

#include <math.h>
#include <string.h>

#include "ops/op_attn.h"
#include "reference_model.h"
#include "synthetic_model.h"

enum { TOKENS = 40, V_MAX = 512 };

/* A trained dense model, and one of random signs in odd sizes. */
static obi_weights *stories, *odd;
static uint32_t story_ids[TOKENS], odd_ids[TOKENS];
static reference_model *story_reference, *odd_reference;

static obi_weights *load(const char *path, reference_model **reference)
{
    obi_gguf gguf;
    obi_weights *weights;
    TEST_OK(obi_gguf_open(&gguf, path));
    TEST_OK(obi_weights_load(test_device(), &gguf, NULL, NULL, &weights));
    obi_gguf_close(&gguf);
    if (reference) *reference = reference_open(path);
    unlink(path);
    return weights;
}

static int open_models(void **state)
{
    if (scratch_open(state) != 0) return -1;
    synthetic_model model = { .config = { .onebit = true, .post_norm = true, .post_norm_eps = 1e-5f, .width = 40, .layers = 2, .heads = 4,
                                          .kv_heads = 2, .head_size = 10, .ffn = 57, .vocabulary = 33, .context = 64, .norm_eps = 1e-5f,
                                          .rope_theta = 10000, .rope_scale = 1, .rope_dimensions = 10 },
                              .embedding = OBI_DTYPE_F16, .head = OBI_DTYPE_F32, .norm = OBI_DTYPE_F16, .seed = 8 };
    obi_rng rng = obi_rng_seed(5);
    synthetic_write(&model, scratch_path("odd.gguf"));
    odd = load(scratch_path("odd.gguf"), &odd_reference);
    stories = load(model_convert("stories260K/stories260K.bin", OBI_FORM_F32, "stories.gguf"), &story_reference);
    for (int i = 0; i < TOKENS; i++) {
        odd_ids[i] = (uint32_t)(obi_rng_next(&rng) % odd->config.vocabulary);
        story_ids[i] = i == 0 ? 1 : 259 + (uint32_t)(obi_rng_next(&rng) % 250);
    }
    return 0;
}

static int close_models(void **state)
{
    obi_weights_free(odd);
    obi_weights_free(stories);
    reference_close(odd_reference);
    reference_close(story_reference);
    return scratch_close(state);
}

static obi_session *open_session(const obi_weights *weights, uint32_t context, uint32_t batch)
{
    obi_session_desc desc = { .context = context, .batch = batch, .kv_type = OBI_KV_F32 };
    obi_session *session;
    TEST_OK(obi_session_create(weights, &desc, &session));
    return session;
}

static void get_logits(obi_session *session, float *logits) { TEST_OK(obi_session_logits(session, logits)); }

static void check_near(const float *a, const float *b, uint32_t count, double tolerance, const char *what)
{
    for (uint32_t i = 0; i < count; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= tolerance))
            fail_msg("%s: logit %u is %.9g and %.9g", what, i, (double)a[i], (double)b[i]);
}

#define CHECK_SAME(a, b, V) assert_memory_equal(a, b, (V) * sizeof(float))

/* ---- the same logits however the tokens are fed ---------------------------------------------------------------- */

/* Fed `batch` tokens at once, in one call or in calls of `step`; compared with one call of all of them at tier A. */
static void check_batches(const obi_weights *weights, const reference_model *reference, const uint32_t *ids)
{
    static const uint32_t cuts[][2] = { { TOKENS, TOKENS }, { 1, TOKENS },  { 3, TOKENS }, { 7, TOKENS }, { 8, TOKENS },
                                        { 16, TOKENS },     { TOKENS, 1 },  { TOKENS, 3 }, { TOKENS, 13 } };
    uint32_t V = weights->config.vocabulary;
    float want[V_MAX], got[V_MAX];
    double *exact = reference_run(reference, ids, TOKENS, NULL);
    double *single = reference_tolerance(reference, ids, TOKENS, exact, false, false);
    double *half = NULL;
    if (test_device()->tier >= OBI_TIER_C) half = reference_tolerance(reference, ids, TOKENS, exact, true, true);
    for (int tier = OBI_TIER_A; tier <= (int)test_device()->tier; tier++) {
        model_use_tier((obi_tier)tier);
        for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
            char what[64];
            snprintf(what, sizeof what, "tier %s, batch %u, calls of %u", obi_tier_name((obi_tier)tier), cuts[c][0], cuts[c][1]);
            obi_session *session = open_session(weights, 0, cuts[c][0]);
            for (uint32_t t = 0; t < TOKENS; t += cuts[c][1])
                TEST_OK(obi_session_feed(session, ids + t, cuts[c][1] < TOKENS - t ? cuts[c][1] : TOKENS - t));
            assert_int_equal(session->position, TOKENS);
            get_logits(session, tier + (int)c == 0 ? want : got);
            double tolerance = single[TOKENS - 1] + (tier == OBI_TIER_C ? half[TOKENS - 1] : single[TOKENS - 1]);
            if (tier + (int)c > 0) check_near(got, want, V, tolerance, what);
            obi_session_destroy(session);
        }
    }
    model_use_tier(test_device()->tier);
    free(exact);
    free(single);
    free(half);
}

static void test_batches(void **state)
{
    (void)state;
    check_batches(odd, odd_reference, odd_ids);
    check_batches(stories, story_reference, story_ids);
    test_device_check();
}

/* A batch with more work than one submission should hold is cut between layers, and nothing else changes. */
static void test_long_work_is_cut(void **state)
{
    (void)state;
    synthetic_model model = { .config = { .onebit = true, .post_norm = true, .post_norm_eps = 1e-5f, .width = 1024, .layers = 3,
                                          .heads = 16, .kv_heads = 4, .head_size = 64, .ffn = 2000, .vocabulary = 100, .context = 64,
                                          .norm_eps = 1e-5f, .rope_theta = 10000, .rope_scale = 1, .rope_dimensions = 64, .tied = true },
                              .embedding = OBI_DTYPE_F32, .norm = OBI_DTYPE_F32, .seed = 4 };
    synthetic_write(&model, scratch_path("wide.gguf"));
    obi_weights *weights = load(scratch_path("wide.gguf"), NULL);
    uint32_t ids[64];
    float want[100], got[100];
    for (uint32_t i = 0; i < 64; i++) ids[i] = i * 7 % 100;
    obi_session *small = open_session(weights, 0, 8), *large = open_session(weights, 0, 64);
    TEST_OK(obi_session_feed(small, ids, 64));
    TEST_OK(obi_session_feed(large, ids, 64));
    assert_int_equal(obi_cmd_submits(small->cmd), 8);
    if (test_device()->caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU) assert_true(obi_cmd_submits(large->cmd) > 1);
    get_logits(small, want);
    get_logits(large, got);
    check_near(got, want, 100, 1e-3, "one batch of 64 and eight of 8"); /* of logits near 32: ten times what sums in another order do */
    obi_session_destroy(small);
    obi_session_destroy(large);
    obi_weights_free(weights);
    test_device_check();
}

/* Attention over what is in the context already counts too, and is cut within a layer. */
static void test_attention_is_cut(void **state)
{
    (void)state;
    synthetic_model model = { .config = { .onebit = true,
                                          .width = 64,
                                          .layers = 1,
                                          .heads = 8,
                                          .kv_heads = 1,
                                          .head_size = 128,
                                          .ffn = 40,
                                          .vocabulary = 100,
                                          .context = 600,
                                          .norm_eps = 1e-5f,
                                          .rope_theta = 10000,
                                          .rope_scale = 1,
                                          .rope_dimensions = 64,
                                          .tied = true },
                              .embedding = OBI_DTYPE_F32,
                              .norm = OBI_DTYPE_F32,
                              .seed = 5 };
    synthetic_write(&model, scratch_path("deep.gguf"));
    obi_weights *weights = load(scratch_path("deep.gguf"), NULL);
    uint32_t ids[600];
    float want[100], got[100];
    for (uint32_t i = 0; i < 600; i++) ids[i] = i * 7 % 100;
    obi_session *small = open_session(weights, 0, 64), *large = open_session(weights, 0, 100);
    TEST_OK(obi_session_feed(small, ids, 600));
    for (uint32_t i = 0; i < 600; i += 100) {
        uint32_t before = obi_cmd_submits(large->cmd);
        TEST_OK(obi_session_feed(large, ids + i, 100));
        uint32_t submits = obi_cmd_submits(large->cmd) - before;
        if (i == 0) assert_int_equal(submits, 1);
        if (i == 500 && test_device()->caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU) assert_true(submits > 1);
    }
    get_logits(small, want);
    get_logits(large, got);
    check_near(got, want, 100, 1e-4, "batches of 64 and of 100");
    obi_session_destroy(small);
    obi_session_destroy(large);
    obi_weights_free(weights);
    test_device_check();
}

static void test_rewind(void **state)
{
    (void)state;
    uint32_t V = stories->config.vocabulary, other[3] = { 300, 301, 302 };
    float first[V_MAX], again[V_MAX], early[V_MAX];
    obi_session *session = open_session(stories, 0, 0);
    TEST_OK(obi_session_feed(session, story_ids, 9));
    get_logits(session, early);
    TEST_OK(obi_session_feed(session, story_ids + 9, 11));
    get_logits(session, first);
    for (int round = 0; round < 2; round++) {
        TEST_OK(obi_session_rewind(session, 9));
        assert_int_equal(session->position, 9);
        assert_int_equal(obi_session_logits(session, again), OBI_ERROR_ARGUMENT); /* those on the device are of another token */
        if (round == 1) { /* what was fed and rewound leaves no trace */
            TEST_OK(obi_session_feed(session, other, 3));
            TEST_OK(obi_session_rewind(session, 9));
        }
        TEST_OK(obi_session_feed(session, story_ids + 9, 11));
        get_logits(session, again);
        CHECK_SAME(first, again, V);
    }
    TEST_OK(obi_session_rewind(session, 0));
    TEST_OK(obi_session_feed(session, story_ids, 9));
    get_logits(session, again);
    CHECK_SAME(early, again, V);
    assert_int_equal(obi_session_rewind(session, 10), OBI_ERROR_ARGUMENT);
    assert_int_equal(session->position, 9);
    get_logits(session, again); /* still there */
    CHECK_SAME(early, again, V);
    obi_session_destroy(session);
}

/* Commands that are submitted again give the bits that recording them for each token gives, across the positions at which they are
 * recorded anew, and after other commands in between. */
static void test_replayed_commands(void **state)
{
    (void)state;
    uint32_t V = stories->config.vocabulary;
    static float want[V_MAX], got[V_MAX];
    obi_session *recorded = open_session(stories, 0, 0), *replayed = open_session(stories, 0, 0);
    obi_cmd_profile(recorded->cmd, true); /* what is timed is recorded each time */
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < TOKENS; i++) {
            if (round == 1 && i == 5) { /* a prompt between */
                TEST_OK(obi_session_feed(recorded, story_ids + i, 4));
                TEST_OK(obi_session_feed(replayed, story_ids + i, 4));
                i += 4;
            }
            TEST_OK(obi_session_feed(recorded, story_ids + i, 1));
            TEST_OK(obi_session_feed(replayed, story_ids + i, 1));
            assert_false(obi_cmd_kept(recorded->cmd));
            assert_true(obi_cmd_kept(replayed->cmd));
            if (i % 3 != 0) continue; /* asking for logits records other commands */
            get_logits(recorded, want);
            get_logits(replayed, got);
            CHECK_SAME(want, got, V);
        }
        TEST_OK(obi_session_rewind(recorded, 2));
        TEST_OK(obi_session_rewind(replayed, 2));
    }
    obi_session_destroy(recorded);
    obi_session_destroy(replayed);
    test_device_check();
}

/* Where attention is cut otherwise from a position on, as on a GPU behind 256, what was recorded before is not used any more. */
static void test_commands_are_recorded_anew(void **state)
{
    (void)state;
    uint32_t ids[260], dispatches[2];
    float *want = malloc(V_MAX * sizeof *want), *got = malloc(V_MAX * sizeof *got);
    assert_true(want && got);
    for (uint32_t i = 0; i < 260; i++) ids[i] = story_ids[i % TOKENS];
    obi_session *session = open_session(stories, 0, 0);
    bool software = test_device()->caps.software;
    test_device()->caps.software = false;
    TEST_OK(obi_session_feed(session, ids, 254));
    for (uint32_t i = 254; i < 260; i++) {
        TEST_OK(obi_session_feed(session, ids + i, 1));
        assert_true(obi_cmd_kept(session->cmd));
        if (i == 255 || i == 256) dispatches[i - 255] = obi_cmd_dispatches(session->cmd);
    }
    test_device()->caps.software = software;
    assert_int_equal(dispatches[1], dispatches[0] + stories->config.layers); /* the splits of each layer are joined */
    get_logits(session, got);
    TEST_OK(obi_session_rewind(session, 0));
    TEST_OK(obi_session_feed(session, ids, 260));
    get_logits(session, want);
    check_near(got, want, stories->config.vocabulary, 1e-3, "in splits and not");
    obi_session_destroy(session);
    free(want);
    free(got);
    test_device_check();
}

static void test_two_sessions(void **state)
{
    (void)state;
    uint32_t V = stories->config.vocabulary, reversed[TOKENS];
    float alone[2][V_MAX], together[2][V_MAX];
    for (int i = 0; i < TOKENS; i++) reversed[i] = story_ids[TOKENS - 1 - i];
    const uint32_t *ids[2] = { story_ids, reversed };
    for (int s = 0; s < 2; s++) {
        obi_session *session = open_session(stories, 0, 0);
        for (int t = 0; t < 12; t++) TEST_OK(obi_session_feed(session, ids[s] + t, 1));
        get_logits(session, alone[s]);
        obi_session_destroy(session);
    }
    obi_session *pair[2] = { open_session(stories, 0, 0), open_session(stories, 64, 4) };
    for (int t = 0; t < 12; t++)
        for (int s = 0; s < 2; s++) TEST_OK(obi_session_feed(pair[s], ids[s] + t, 1));
    for (int s = 0; s < 2; s++) {
        get_logits(pair[s], together[s]);
        CHECK_SAME(alone[s], together[s], V);
        obi_session_destroy(pair[s]);
    }
    assert_true(memcmp(alone[0], alone[1], V * sizeof(float)) != 0);
    test_device_check();
}

/* ---- submissions, times, memory -------------------------------------------------------------------------------- */

static void test_one_submit_a_token(void **state)
{
    (void)state;
    static const obi_sampling samplings[] = { { .temperature = 0 }, { .temperature = 1, .top_k = 40 },
                                              { .temperature = 1, .repeat_penalty = 1.1f } };
    for (int s = 0; s < 3; s++) {
        obi_session_desc desc = { .sampling = samplings[s], .batch = 16 };
        obi_session *session;
        uint32_t id;
        float logits[V_MAX];
        TEST_OK(obi_session_create(stories, &desc, &session));
        TEST_OK(obi_session_feed(session, story_ids, TOKENS));
        assert_int_equal(obi_cmd_submits(session->cmd), 3); /* 16 + 16 + 8 */
        for (uint32_t i = 0; i < 5; i++) {
            TEST_OK(obi_session_sample(session, &id));
            TEST_OK(obi_session_feed(session, &id, 1));
            assert_int_equal(obi_cmd_submits(session->cmd), 4 + i);
        }
        get_logits(session, logits);
        get_logits(session, logits);
        assert_int_equal(obi_cmd_submits(session->cmd), 8 + (session->candidates > 0)); /* one copy to the host, once */
        obi_session_destroy(session);
    }
}

/* Kernels of one token of a model with L layers; each of them took some time where the device can tell. */
static void test_profile(void **state)
{
    (void)state;
    uint32_t L = stories->config.layers;
    bool straight = test_device()->caps.straight; /* its kernel takes rows of 64 columns, but not those of 172 of `down` */
    const struct { int kernel; uint64_t calls; } expected[] = {
        { OBI_KERNEL_DENSE_GEMV_F32_STRAIGHT, straight ? 6 * L + 1 : 0 }, /* first: left out where there are none */
        { OBI_KERNEL_DENSE_GEMV_F32, straight ? L : 7 * L + 1 },
        { OBI_KERNEL_EMBED_GATHER_F32, 1 },
        { OBI_KERNEL_NORM_RMSNORM_FWD, 1 },
        { OBI_KERNEL_POST_NORM_QKV_FWD, L },
        { OBI_KERNEL_ATTN_DECODE_FWD, L },
        { OBI_KERNEL_POST_NORM_SWIGLU_FWD, L },
        { OBI_KERNEL_POST_NORM_RESIDUAL_FWD, 2 * L },
        { OBI_KERNEL_UTIL_ARGMAX_FWD, 1 },
    };
    obi_profile_row rows[OBI_KERNEL_COUNT];
    obi_session *session = open_session(stories, 0, 0);
    TEST_OK(obi_session_feed(session, story_ids, 8));
    assert_int_equal(obi_cmd_profile_rows(session->cmd, rows), 0);
    obi_cmd_profile(session->cmd, true);
    TEST_OK(obi_session_feed(session, story_ids + 8, 1));
    uint32_t count = obi_cmd_profile_rows(session->cmd, rows);
    if (test_device()->caps.timestamp_bits == 0) {
        print_message("this device has no timestamps\n");
        assert_int_equal(count, 0);
    } else {
        double all = 0;
        uint32_t expected_count = sizeof expected / sizeof *expected, first = straight ? 0 : 1;
        assert_int_equal(count, expected_count - first);
        for (uint32_t e = first; e < expected_count; e++) {
            const obi_profile_row *row = NULL;
            for (uint32_t i = 0; i < count; i++)
                if (rows[i].kernel == expected[e].kernel) row = &rows[i];
            if (!row) fail_msg("%s did not run", obi_kernels[expected[e].kernel].name);
            assert_int_equal(row->calls, expected[e].calls);
            if (!(row->seconds > 0 && row->seconds < 10)) fail_msg("%s took %g s", obi_kernels[row->kernel].name, row->seconds);
            assert_true(row->bytes > 0);
            all += row->seconds;
        }
        print_message("kernels of one token: %.3f ms\n", 1e3 * all);
    }
    obi_session_destroy(session);
    test_device_check();
}

static void test_memory_comes_back(void **state)
{
    (void)state;
    uint64_t before = test_device()->memory.used_bytes;
    double nll[TOKENS];
    for (int i = 0; i < 3; i++) {
        obi_session *session = open_session(stories, 0, 0);
        TEST_OK(obi_session_score(session, story_ids, TOKENS, nll));
        assert_true(test_device()->memory.used_bytes > before);
        obi_session_destroy(session);
        assert_int_equal(test_device()->memory.used_bytes, before);
    }
}

/* ---- mistakes -------------------------------------------------------------------------------------------------- */

#define EXPECT_ARGUMENT(expression, ...)                                                                                      \
    do {                                                                                                                      \
        const char *const words[] = { __VA_ARGS__ };                                                                          \
        assert_int_equal(expression, OBI_ERROR_ARGUMENT);                                                                     \
        for (size_t w = 0; w < sizeof words / sizeof *words; w++)                                                             \
            if (!strstr(obi_last_error(), words[w])) fail_msg("\"%s\" does not say \"%s\"", obi_last_error(), words[w]);      \
    } while (0)

static void test_mistakes_change_nothing(void **state)
{
    (void)state;
    uint32_t V = stories->config.vocabulary, id, wrong[3] = { 1, 2, V };
    float before[V_MAX], after[V_MAX];
    double nll[TOKENS];
    obi_session *session = open_session(stories, 23, 0);
    EXPECT_ARGUMENT(obi_session_sample(session, &id), "feed at least one token");
    EXPECT_ARGUMENT(obi_session_logits(session, before), "feed at least one token");
    TEST_OK(obi_session_feed(session, story_ids, 11));
    get_logits(session, before);
    EXPECT_ARGUMENT(obi_session_feed(session, story_ids, 13), "13 tokens", "23 positions", "11 are taken");
    EXPECT_ARGUMENT(obi_session_feed(session, story_ids, SIZE_MAX), "23 positions");
    EXPECT_ARGUMENT(obi_session_feed(session, wrong, 3), "token 512", "vocabulary of 512");
    EXPECT_ARGUMENT(obi_session_feed(session, wrong, 0), "no token");
    EXPECT_ARGUMENT(obi_session_rewind(session, 12), "12");
    EXPECT_ARGUMENT(obi_session_score(session, story_ids, 1, nll), "at least two");
    EXPECT_ARGUMENT(obi_session_score(session, story_ids, 24, nll), "24 tokens", "23 positions");
    EXPECT_ARGUMENT(obi_session_score(session, wrong, 3, nll), "token 512");
    assert_int_equal(session->position, 11);
    get_logits(session, after);
    CHECK_SAME(before, after, V);
    TEST_OK(obi_session_sample(session, &id));
    TEST_OK(obi_session_feed(session, story_ids + 11, 12)); /* to the last position */
    TEST_OK(obi_session_sample(session, &id));
    EXPECT_ARGUMENT(obi_session_feed(session, &id, 1), "1 tokens", "23 positions", "23 are taken");
    TEST_OK(obi_session_score(session, story_ids, 23, nll));
    obi_session_destroy(session);
    test_device_check();
}

static void test_what_cannot_be_asked_for(void **state)
{
    (void)state;
    static const obi_sampling refused[] = {
        { .repeat_penalty = -1 }, { .repeat_penalty = NAN }, { .repeat_penalty = INFINITY },
        { .top_p = 1.5f }, { .top_p = -0.1f }, { .top_p = NAN }, { .min_p = -1 }, { .min_p = 1.1f }, { .min_p = NAN },
        { .temperature = -1 }, { .temperature = NAN }, { .temperature = INFINITY },
    };
    uint64_t before = test_device()->memory.used_bytes;
    obi_session *session = (obi_session *)1;
    obi_session_desc desc = { .context = 513 };
    EXPECT_ARGUMENT(obi_session_create(stories, &desc, &session), "513 positions", "trained for 512");
    assert_null(session);
    desc.context = 0;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        desc.sampling = refused[i];
        session = (obi_session *)1;
        assert_int_equal(obi_session_create(stories, &desc, &session), OBI_ERROR_ARGUMENT);
        assert_true(strlen(obi_last_error()) > 0);
        assert_null(session);
    }
    assert_int_equal(test_device()->memory.used_bytes, before);
    desc = (obi_session_desc){ .batch = 100000 }; /* more than the context: cut */
    TEST_OK(obi_session_create(stories, &desc, &session));
    assert_int_equal(session->batch, 512);
    assert_int_equal(session->context, 512);
    obi_session_destroy(session);
    obi_session_destroy(NULL);
}

/* What a device can bind bounds the batch, and what a kernel can go through bounds the context: said at once, not after a long prompt. */
static void test_what_the_device_allows(void **state)
{
    (void)state;
    obi_device *device = test_device();
    uint64_t range = device->caps.storage_range;
    uint32_t C = stories->config.head_size, context = stories->config.context, most = obi_op_attn_positions_max(device, C);
    uint32_t ids[200];
    for (uint32_t i = 0; i < 200; i++) ids[i] = story_ids[i % TOKENS];
    obi_session_desc desc = { .batch = 512 };
    obi_session *session;
    device->caps.storage_range = 128 << 10; /* of what is as wide as the feed-forward part, 190 tokens */
    TEST_OK(obi_session_create(stories, &desc, &session));
    assert_int_equal(session->batch, (128 << 10) / (4 * stories->config.ffn));
    TEST_OK(obi_session_feed(session, ids, 200));
    obi_session_destroy(session);
    device->caps.storage_range = range;

    stories->config.context = most + 1; /* for a moment */
    desc = (obi_session_desc){ .context = most + 1 };
    EXPECT_ARGUMENT(obi_session_create(stories, &desc, &session), "attention", "smaller context");
    stories->config.context = context;
    device->caps.storage_range = 32 << 10;
    desc.kv_type = OBI_KV_F32;
    desc.context = 512;
    EXPECT_ARGUMENT(obi_session_create(stories, &desc, &session), "512 positions", "at most 256");
    device->caps.storage_range = range;
    test_device_check();
}

/* Refused before anything is allocated; what the message says fits does fit, and one more does not. */
static void test_a_context_without_memory(void **state)
{
    (void)state;
    obi_device *device = test_device();
    obi_caps caps = device->caps;
    uint64_t used = device->memory.used_bytes, reserved = device->memory.reserved_bytes;
    obi_session_desc desc = { .context = 512, .batch = 1, .kv_type = OBI_KV_F32 };
    obi_session *session;
    device->caps.unified = false;
    device->caps.heap_bytes = reserved + (512 << 10);
    assert_int_equal(obi_session_create(stories, &desc, &session), OBI_ERROR_MEMORY);
    const char *most = strstr(obi_last_error(), "at most ");
    if (!most || !strstr(obi_last_error(), "has 0.5 MiB left") || !strstr(obi_last_error(), "512 positions"))
        fail_msg("\"%s\"", obi_last_error());
    assert_int_equal(device->memory.used_bytes, used);
    assert_int_equal(device->memory.reserved_bytes, reserved);
    desc.context = (uint32_t)strtoul(most + 8, NULL, 10);
    assert_in_range(desc.context, 100, 511);
    desc.context++;
    assert_int_equal(obi_session_create(stories, &desc, &session), OBI_ERROR_MEMORY);
    desc.context--;
    TEST_OK(obi_session_create(stories, &desc, &session));
    obi_session_destroy(session);
    desc = (obi_session_desc){ .context = 512, .batch = 1, .kv_type = OBI_KV_F16 }; /* half as much */
    device->caps.heap_bytes = device->memory.reserved_bytes + (512 << 10);
    TEST_OK(obi_session_create(stories, &desc, &session));
    obi_session_destroy(session);
    device->caps.heap_bytes = device->memory.reserved_bytes + 1000;
    assert_int_equal(obi_session_create(stories, &desc, &session), OBI_ERROR_MEMORY);
    assert_non_null(strstr(obi_last_error(), "smaller model"));
    device->caps = caps;
    test_device_check();
}

/* Keys and values as halves, stored by tokens one by one and by many: as near to the floats as roundings of 11 bits
 * let the reference come. */
static void test_halves_in_the_cache(void **state)
{
    (void)state;
    static const uint32_t batches[] = { 1, 3, 16, 128 };
    uint32_t V = stories->config.vocabulary;
    float want[V_MAX], got[V_MAX];
    double *exact = reference_run(story_reference, story_ids, TOKENS, NULL);
    bool half = test_device()->tier >= OBI_TIER_C;
    reference_noise kind = { .half_layers = half, .half_head = half, .half_cache = true };
    double *tolerance = reference_tolerance_of(story_reference, story_ids, TOKENS, exact, kind);
    if (!(tolerance[TOKENS - 1] < 0.1)) fail_msg("a tolerance of %g would find nothing", tolerance[TOKENS - 1]);
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        obi_session *floats = open_session(stories, 0, batches[b]), *halves;
        obi_session_desc desc = { .batch = batches[b], .kv_type = OBI_KV_F16 };
        TEST_OK(obi_session_create(stories, &desc, &halves));
        assert_int_equal(halves->k_cache[0]->size * 2, floats->k_cache[0]->size);
        TEST_OK(obi_session_feed(floats, story_ids, TOKENS));
        TEST_OK(obi_session_feed(halves, story_ids, TOKENS));
        get_logits(floats, want);
        get_logits(halves, got);
        check_near(got, want, V, tolerance[TOKENS - 1], "halves");
        assert_memory_not_equal(got, want, V * sizeof(float)); /* they were used */
        obi_session_destroy(floats);
        obi_session_destroy(halves);
    }
    free(exact);
    free(tolerance);
    obi_session *session;
    obi_session_desc desc = { .kv_type = 3 };
    EXPECT_ARGUMENT(obi_session_create(stories, &desc, &session), "cache type", "3");
    test_device_check();
}

/* ---- scores ---------------------------------------------------------------------------------------------------- */

static double nll_of(const float *logits, uint32_t V, uint32_t target)
{
    double sum = 0, largest = -INFINITY;
    for (uint32_t i = 0; i < V; i++) largest = fmax(largest, (double)logits[i]);
    for (uint32_t i = 0; i < V; i++) sum += exp((double)logits[i] - largest);
    return log(sum) + largest - (double)logits[target];
}

/* Scores in batches of any size are -log softmax of the logits of tokens fed one by one. */
static void test_scores(void **state)
{
    (void)state;
    static const uint32_t batches[] = { 1, 3, 16, TOKENS - 1, 128 };
    uint32_t V = stories->config.vocabulary;
    float logits[V_MAX], after[V_MAX];
    double want[TOKENS], got[TOKENS + 1];
    double *exact = reference_run(story_reference, story_ids, TOKENS, NULL);
    double *tolerance = reference_tolerance(story_reference, story_ids, TOKENS, exact, false, false);
    obi_session *session = open_session(stories, 0, 0);
    for (int t = 0; t + 1 < TOKENS; t++) {
        TEST_OK(obi_session_feed(session, &story_ids[t], 1));
        get_logits(session, logits);
        want[t] = nll_of(logits, V, story_ids[t + 1]);
    }
    TEST_OK(obi_session_feed(session, &story_ids[TOKENS - 1], 1));
    get_logits(session, logits);
    obi_session_destroy(session);
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        session = open_session(stories, 0, batches[b]);
        if (b % 2) TEST_OK(obi_session_feed(session, story_ids + 5, 9)); /* what was there before does not matter */
        got[TOKENS - 1] = got[TOKENS] = 1234;
        TEST_OK(obi_session_score(session, story_ids, TOKENS, got));
        for (int t = 0; t + 1 < TOKENS; t++)
            if (!(fabs(got[t] - want[t]) <= 4 * tolerance[t] + 1e-6)) /* each logit twice, on either side */
                fail_msg("batch %u, token %d: %.9g, by single tokens %.9g", batches[b], t, got[t], want[t]);
        assert_true(got[TOKENS - 1] == 1234 && got[TOKENS] == 1234); /* count - 1 numbers */
        assert_int_equal(obi_session_logits(session, after), OBI_ERROR_ARGUMENT);
        TEST_OK(obi_session_feed(session, &story_ids[TOKENS - 1], 1)); /* the last was not fed: go on with it */
        get_logits(session, after);
        check_near(after, logits, V, 2 * tolerance[TOKENS - 1], "after scoring");
        obi_session_destroy(session);
    }
    free(exact);
    free(tolerance);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_long_work_is_cut),
        cmocka_unit_test(test_attention_is_cut),
        cmocka_unit_test(test_rewind),
        cmocka_unit_test(test_replayed_commands),
        cmocka_unit_test(test_commands_are_recorded_anew),
        cmocka_unit_test(test_two_sessions),
        cmocka_unit_test(test_one_submit_a_token),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_memory_comes_back),
        cmocka_unit_test(test_mistakes_change_nothing),
        cmocka_unit_test(test_what_cannot_be_asked_for),
        cmocka_unit_test(test_what_the_device_allows),
        cmocka_unit_test(test_a_context_without_memory),
        cmocka_unit_test(test_halves_in_the_cache),
        cmocka_unit_test(test_scores),
    };
    return test_device_finish(cmocka_run_group_tests(tests, open_models, close_models));
}

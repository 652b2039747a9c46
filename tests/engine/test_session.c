/* test_session: one sequence on the device: however its tokens are fed the logits are the same; one submit a token;
 * sessions do not disturb each other; scores are those of the logits. */
#include "session_models.h"

#include "feed_token.h"
#include "groups.h"
#include "engine/score.h"
#include "ops/op_attn.h"

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
            TEST_OK(feed_token(recorded, story_ids[i]));
            TEST_OK(feed_token(replayed, story_ids[i]));
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

/* The dispatches of a vector's products with the `count` matrices from `linear` on. */
static uint32_t product_dispatches(const obi_linear *linear, uint32_t count)
{
    uint32_t rows[OBI_GROUP_MAX], alone = 0;
    bool group = count > 1 && linear->scales.buffer; /* of dense matrices there are none */
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = linear[i].weight.rows;
        group = group && linear[i].weight.family == linear->weight.family;
        alone += linear[i].scales.buffer && linear[i].weight.family == OBI_SIGN_INT8 ? 2 : 1; /* the activations become bytes first */
    }
    return group && group_in_one_dispatch(test_device(), (obi_sign_family)linear->weight.family, rows, count) ? 1 : alone;
}

/* A layer of a single token: q, k, v; their norms; attention; o; its norm and the sum; gate, up; SwiGLU; down; its norm and the sum. */
static uint32_t layer_dispatches(const obi_weights *weights)
{
    const obi_linear *linear = weights->layers[0].linear;
    return 5 + product_dispatches(&linear[OBI_LINEAR_Q], 3) + product_dispatches(&linear[OBI_LINEAR_O], 1) +
           product_dispatches(&linear[OBI_LINEAR_GATE], 2) + product_dispatches(&linear[OBI_LINEAR_DOWN], 1);
}

static void check_dispatches(const obi_weights *weights, const uint32_t *ids, uint32_t a_layer)
{
    obi_session *session = open_session(weights, 0, 0);
    TEST_OK(obi_session_feed(session, ids, 5));
    TEST_OK(feed_token(session, ids[5]));
    assert_int_equal(obi_cmd_dispatches(session->cmd), a_layer * weights->config.layers + 4); /* embedding, first norm, head, choice */
    obi_session_destroy(session);
}

static void test_dispatches_of_a_layer(void **state)
{
    (void)state;
    obi_device *device = test_device();
    bool fused = device->fused;
    device->fused = false; /* test_fused_layers counts those that are */
    for (int tier = OBI_TIER_A; tier <= (int)device->tier; tier++) {
        model_use_tier((obi_tier)tier);
        uint32_t a_layer = layer_dispatches(odd);
        /* The rows of this model are too few at tier A (groups.h); there is nothing to choose on a software driver. */
        if (device->caps.software) assert_int_equal(a_layer, tier == OBI_TIER_A && !device->caps.straight ? 12 : 9);
        check_dispatches(odd, odd_ids, a_layer);
        assert_int_equal(layer_dispatches(stories), 12);
        check_dispatches(stories, story_ids, 12);
    }
    device->fused = fused;
    model_use_tier(device->tier);
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
    obi_caps *caps = &test_device()->caps;
    bool software = caps->software, straight = caps->straight;
    caps->software = caps->straight = false;
    TEST_OK(obi_session_feed(session, ids, 254));
    for (uint32_t i = 254; i < 260; i++) {
        TEST_OK(feed_token(session, ids[i]));
        assert_true(obi_cmd_kept(session->cmd));
        if (i == 255 || i == 256) dispatches[i - 255] = obi_cmd_dispatches(session->cmd);
    }
    caps->software = software;
    caps->straight = straight;
    assert_int_equal(dispatches[1], dispatches[0] + stories->config.layers); /* the splits of each layer are joined */
    get_logits(session, got);
    atomic_fetch_add(&test_device()->kernels_changed, 1); /* as a run of the self-test does: other kernels may be in use now */
    assert_false(obi_cmd_kept(session->cmd));
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
        { straight ? OBI_KERNEL_POST_NORM_QKV_STRAIGHT : OBI_KERNEL_POST_NORM_QKV_FWD, L },
        { straight ? OBI_KERNEL_ATTN_DECODE_STRAIGHT : OBI_KERNEL_ATTN_DECODE_FWD, L },
        { straight ? OBI_KERNEL_POST_NORM_SWIGLU_STRAIGHT : OBI_KERNEL_POST_NORM_SWIGLU_FWD, L },
        { straight ? OBI_KERNEL_POST_NORM_RESIDUAL_STRAIGHT : OBI_KERNEL_POST_NORM_RESIDUAL_FWD, 2 * L },
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
    obi_session_desc desc = { .kv_type = 4 };
    EXPECT_ARGUMENT(obi_session_create(stories, &desc, &session), "cache type", "4");
    test_device_check();
}

/* The same for bytes, of heads of 8 and of 10 elements: a word that is not full. */
static void check_bytes(const obi_weights *weights, const reference_model *reference, const uint32_t *ids)
{
    static const uint32_t batches[] = { 1, 3, 16, 128 };
    const obi_config *config = &weights->config;
    uint32_t V = config->vocabulary, words = (config->head_size + 3) / 4 + 1;
    float want[V_MAX], got[V_MAX], again[V_MAX];
    double *exact = reference_run(reference, ids, TOKENS, NULL), largest = 0;
    bool half = test_device()->tier >= OBI_TIER_C;
    reference_noise kind = { .half_layers = half, .half_head = half, .byte_cache = true };
    double *tolerance = reference_tolerance_of(reference, ids, TOKENS, exact, kind);
    for (uint32_t i = 0; i < V; i++) largest = fmax(largest, fabs(exact[(TOKENS - 1) * V + i]));
    print_message("bytes: logits up to %.3g, tolerance %.3g\n", largest, tolerance[TOKENS - 1]);
    if (!(tolerance[TOKENS - 1] < largest / 4)) fail_msg("a tolerance of %g would find nothing", tolerance[TOKENS - 1]);
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        obi_session *floats = open_session(weights, 0, batches[b]), *bytes;
        obi_session_desc desc = { .batch = batches[b], .kv_type = OBI_KV_INT8 };
        TEST_OK(obi_session_create(weights, &desc, &bytes));
        assert_int_equal(bytes->k_cache[0]->size, 4ull * bytes->context * config->kv_heads * words);
        TEST_OK(obi_session_feed(floats, ids, TOKENS));
        TEST_OK(obi_session_feed(bytes, ids, TOKENS));
        get_logits(floats, want);
        get_logits(bytes, got);
        check_near(got, want, V, tolerance[TOKENS - 1], "bytes");
        assert_memory_not_equal(got, want, V * sizeof(float)); /* they were used */
        TEST_OK(obi_session_rewind(bytes, 7));
        TEST_OK(obi_session_feed(bytes, ids + 9, 12));
        TEST_OK(obi_session_rewind(bytes, 0));
        TEST_OK(obi_session_feed(bytes, ids, TOKENS));
        get_logits(bytes, again);
        CHECK_SAME(got, again, V);
        obi_session_destroy(floats);
        obi_session_destroy(bytes);
    }
    free(exact);
    free(tolerance);
}

static void test_bytes_in_the_cache(void **state)
{
    (void)state;
    check_bytes(stories, story_reference, story_ids);
    check_bytes(odd, odd_reference, odd_ids);
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
        cmocka_unit_test(test_rewind),
        cmocka_unit_test(test_replayed_commands),
        cmocka_unit_test(test_dispatches_of_a_layer),
        cmocka_unit_test(test_commands_are_recorded_anew),
        cmocka_unit_test(test_two_sessions),
        cmocka_unit_test(test_one_submit_a_token),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_halves_in_the_cache),
        cmocka_unit_test(test_bytes_in_the_cache),
        cmocka_unit_test(test_scores),
    };
    test_leave_out_bytes();
    return test_device_finish(cmocka_run_group_tests(tests, open_models, close_models));
}

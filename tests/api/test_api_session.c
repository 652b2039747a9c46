/* test_api_session: feeding, sampling, scoring and measuring through onebit.h, and what each refuses. */
#include "api.h"

#include <math.h>

static ob_context *shared;
static ob_model *stories;
static const uint32_t prompt[] = { 1, 403, 407, 261, 378 }; /* "Once upon a time" */
static const uint32_t golden[] = { 432, 383, 286, 261, 376, 298, 315, 421, 395, 317 }; /* what greedy choice makes of it */
enum { PROMPT = sizeof prompt / sizeof *prompt, GOLDEN = sizeof golden / sizeof *golden, V = API_STORIES_VOCABULARY };

static int open_shared(void **state)
{
    if (scratch_open(state) != 0) return -1;
    shared = api_context();
    stories = api_model(shared, api_stories("stories.gguf"));
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    ob_model_destroy(stories);
    ob_context_destroy(shared);
    api_remove_tree(scratch_directory);
    return 0;
}

/* ---- making one ---------------------------------------------------------------------------------------------------- */

static void expect_no_session(ob_session_desc desc, const char *part)
{
    ob_session *session = (ob_session *)(uintptr_t)&shared;
    API_FAILS(ob_session_create(&session, stories, &desc), OB_ERROR_ARGUMENT, part);
    assert_null(session);
}

static void test_descs(void **state)
{
    (void)state;
    static const ob_session_desc good[] = { { 0 },
                                            { .context = 1 },
                                            { .context = API_STORIES_CONTEXT, .batch = 1 },
                                            { .context = 7, .batch = UINT32_MAX },
                                            { .sampling = { .top_k = UINT32_MAX, .repeat_last = UINT32_MAX } } };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ob_session *session;
        API_OK(ob_session_create(&session, stories, &good[i]));
        assert_int_equal(ob_session_context(session), good[i].context ? good[i].context : API_STORIES_CONTEXT);
        assert_int_equal(ob_session_position(session), 0);
        ob_session_destroy(session);
    }
    expect_no_session((ob_session_desc){ .context = API_STORIES_CONTEXT + 1 }, "512");
    expect_no_session((ob_session_desc){ .context = UINT32_MAX }, "4294967295");
    static const float wrong[] = { -1, NAN, INFINITY, -INFINITY };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        expect_no_session((ob_session_desc){ .sampling = { .temperature = wrong[i] } }, "temperature");
        expect_no_session((ob_session_desc){ .sampling = { .repeat_penalty = wrong[i] } }, "repeat penalty");
        expect_no_session((ob_session_desc){ .sampling = { .top_p = wrong[i] } }, "top-p");
        expect_no_session((ob_session_desc){ .sampling = { .min_p = wrong[i] } }, "min-p");
    }
    expect_no_session((ob_session_desc){ .sampling = { .top_p = 1.5f } }, "top-p");
    expect_no_session((ob_session_desc){ .sampling = { .min_p = 1.5f } }, "min-p");
}

/* ---- feeding and sampling -------------------------------------------------------------------------------------------- */

static void expect_not_ready(ob_session *session)
{
    uint32_t id = 77;
    static float logits[V];
    logits[0] = 77;
    API_FAILS(ob_session_sample(session, &id), OB_ERROR_ARGUMENT, "feed at least one token");
    API_FAILS(ob_session_logits(session, logits), OB_ERROR_ARGUMENT, "feed at least one token");
    assert_true(id == 77 && logits[0] == 77);
}

static uint32_t sampled(ob_session *session)
{
    uint32_t id = UINT32_MAX;
    API_OK(ob_session_sample(session, &id));
    assert_true(id < V);
    return id;
}

static void test_greedy_text(void **state)
{
    (void)state;
    ob_session *session = api_session(stories, (ob_sampling){ 0 });
    expect_not_ready(session);
    uint32_t ids[GOLDEN];
    API_OK(api_generate(session, prompt, PROMPT, ids, GOLDEN));
    assert_memory_equal(ids, golden, sizeof golden);
    assert_int_equal(ob_session_position(session), PROMPT + GOLDEN);
    ob_session_destroy(session);
}

/* Where logits come to the host the same things hold as where the device chooses. */
static const ob_sampling samplings[] = { { 0 }, { .repeat_penalty = 1.00001f } };

static void test_refused_feeds_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        ob_session *session;
        API_OK(ob_session_create(&session, stories, &(ob_session_desc){ .context = 8, .sampling = samplings[i] }));
        static const uint32_t wrong[] = { 1, V, 2 }, far[] = { UINT32_MAX };
        API_FAILS(ob_session_feed(session, wrong, 3), OB_ERROR_ARGUMENT, "512");
        API_FAILS(ob_session_feed(session, prompt, 0), OB_ERROR_ARGUMENT, "no token");
        API_FAILS(ob_session_feed(session, NULL, 0), OB_ERROR_ARGUMENT, "no token");
        assert_int_equal(ob_session_position(session), 0);
        expect_not_ready(session);

        API_OK(ob_session_feed(session, prompt, PROMPT));
        uint32_t next = sampled(session);
        assert_int_equal(next, golden[0]);
        API_FAILS(ob_session_feed(session, wrong, 3), OB_ERROR_ARGUMENT, "token 512");
        API_FAILS(ob_session_feed(session, far, 1), OB_ERROR_ARGUMENT, "4294967295");
        static const uint32_t four[4] = { 1, 1, 1, 1 };
        API_FAILS(ob_session_feed(session, four, 4), OB_ERROR_ARGUMENT, "do not fit");
        API_FAILS(ob_session_feed(session, four, SIZE_MAX), OB_ERROR_ARGUMENT, "do not fit");
        assert_int_equal(ob_session_position(session), PROMPT);
        assert_int_equal(sampled(session), next); /* the logits of the prompt are still there */
        API_OK(ob_session_feed(session, golden, 3)); /* to the brim */
        assert_int_equal(ob_session_position(session), 8);
        assert_int_equal(sampled(session), golden[3]);
        API_FAILS(ob_session_feed(session, prompt, 1), OB_ERROR_ARGUMENT, "do not fit");
        assert_int_equal(sampled(session), golden[3]);
        ob_session_destroy(session);
    }
}

static void test_rewind(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        ob_session *session = api_session(stories, samplings[i]);
        API_OK(ob_session_rewind(session, 0));
        API_FAILS(ob_session_rewind(session, 1), OB_ERROR_ARGUMENT, "rewind");
        API_OK(ob_session_feed(session, prompt, PROMPT));
        API_FAILS(ob_session_rewind(session, PROMPT + 1), OB_ERROR_ARGUMENT, "rewind");
        API_FAILS(ob_session_rewind(session, UINT32_MAX), OB_ERROR_ARGUMENT, "rewind");
        assert_int_equal(sampled(session), golden[0]); /* a refused rewind forgets nothing */
        API_OK(ob_session_feed(session, (uint32_t[]){ 5, 6, 7 }, 3));
        assert_int_not_equal(sampled(session), golden[0]);
        API_OK(ob_session_rewind(session, PROMPT - 1));
        assert_int_equal(ob_session_position(session), PROMPT - 1);
        expect_not_ready(session);
        API_OK(ob_session_feed(session, prompt + PROMPT - 1, 1));
        assert_int_equal(sampled(session), golden[0]);
        API_OK(ob_session_rewind(session, 0));
        API_OK(ob_session_feed(session, prompt, PROMPT));
        assert_int_equal(sampled(session), golden[0]);
        ob_session_destroy(session);
    }
}

static void test_logits(void **state)
{
    (void)state;
    static float logits[V + 1], again[V];
    for (size_t i = 0; i < 2; i++) {
        ob_session *session = api_session(stories, samplings[i]);
        API_OK(ob_session_feed(session, prompt, PROMPT));
        logits[V] = 77;
        API_OK(ob_session_logits(session, logits));
        assert_true(logits[V] == 77); /* vocabulary floats and not one more */
        uint32_t best = 0;
        for (uint32_t k = 0; k < V; k++) {
            assert_true(isfinite(logits[k]));
            if (logits[k] > logits[best]) best = k;
        }
        assert_int_equal(best, golden[0]);
        (void)sampled(session); /* a penalty works on a copy */
        API_OK(ob_session_logits(session, again));
        assert_memory_equal(again, logits, sizeof again);
        ob_session_destroy(session);
    }
}

/* The same seed gives the same choices; another seed and another draw give others. */
static void test_seeds(void **state)
{
    (void)state;
    static const ob_sampling ways[] = { { .temperature = 1.2f, .seed = 1 }, { .temperature = 1.2f, .top_k = 40, .seed = 1 },
                                        { .temperature = 1.2f, .top_p = 0.95f, .min_p = 0.01f, .repeat_penalty = 1.1f, .seed = 1 } };
    enum { COUNT = 12 };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        uint32_t ids[3][COUNT];
        for (int run = 0; run < 3; run++) {
            ob_sampling way = ways[i];
            way.seed += run == 2;
            ob_session *session = api_session(stories, way);
            API_OK(api_generate(session, prompt, PROMPT, ids[run], COUNT));
            ob_session_destroy(session);
        }
        assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
        assert_int_not_equal(memcmp(ids[0], ids[2], sizeof ids[0]), 0);
    }
    ob_session *session = api_session(stories, (ob_sampling){ .temperature = 2, .seed = 3 });
    API_OK(ob_session_feed(session, prompt, PROMPT));
    uint32_t first = sampled(session), other = first;
    for (int i = 0; i < 40 && other == first; i++) other = sampled(session); /* each call draws */
    assert_int_not_equal(other, first);
    ob_session_destroy(session);
}

/* ---- scoring --------------------------------------------------------------------------------------------------------- */

static void test_score(void **state)
{
    (void)state;
    uint32_t ids[PROMPT + GOLDEN];
    memcpy(ids, prompt, sizeof prompt);
    memcpy(ids + PROMPT, golden, sizeof golden);
    enum { COUNT = PROMPT + GOLDEN };
    double nll[COUNT];
    static float logits[V];
    ob_session *session;
    API_OK(ob_session_create(&session, stories, &(ob_session_desc){ .context = COUNT, .batch = 4 }));
    API_OK(ob_session_feed(session, golden, 3)); /* scoring starts anew */
    nll[COUNT - 1] = 77;
    API_OK(ob_session_score(session, ids, COUNT, nll));
    assert_true(nll[COUNT - 1] == 77);
    expect_not_ready(session);

    /* Against the logits, fed one by one: another kernel's sums in another order, so 1e-4 nats. */
    API_OK(ob_session_rewind(session, 0));
    for (size_t i = 0; i + 1 < COUNT; i++) {
        double sum = 0;
        API_OK(ob_session_feed(session, &ids[i], 1));
        API_OK(ob_session_logits(session, logits));
        for (uint32_t k = 0; k < V; k++) sum += exp((double)logits[k]);
        double expected = log(sum) - (double)logits[ids[i + 1]];
        if (!(fabs(nll[i] - expected) < 1e-4)) fail_msg("nll[%zu] is %g, by the logits %g", i, nll[i], expected);
    }

    nll[0] = 77;
    static const uint32_t wrong[] = { 1, V };
    API_FAILS(ob_session_score(session, ids, 0, nll), OB_ERROR_ARGUMENT, "two tokens");
    API_FAILS(ob_session_score(session, ids, 1, nll), OB_ERROR_ARGUMENT, "two tokens");
    API_FAILS(ob_session_score(session, wrong, 2, nll), OB_ERROR_ARGUMENT, "512");
    API_FAILS(ob_session_score(session, ids, COUNT + 1, nll), OB_ERROR_ARGUMENT, "do not fit");
    assert_true(nll[0] == 77);
    ob_session_destroy(session);
}

/* What follows a beginning is scored behind it as within the whole, whatever the batch: other kernels' sums in another order, so 1e-4 nats. */
static void test_score_next(void **state)
{
    (void)state;
    enum { COUNT = PROMPT + GOLDEN };
    uint32_t ids[COUNT];
    memcpy(ids, prompt, sizeof prompt);
    memcpy(ids + PROMPT, golden, sizeof golden);
    double whole[COUNT], nll[COUNT] = { 0 };
    static const uint32_t batches[] = { 1, 3, 64 };
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        ob_session *session;
        API_OK(ob_session_create(&session, stories, &(ob_session_desc){ .context = COUNT, .batch = batches[b] }));
        API_OK(ob_session_score(session, ids, COUNT, whole));
        for (size_t given = 0; given + 2 <= COUNT; given += 4) {
            API_OK(ob_session_rewind(session, 0));
            if (given) API_OK(ob_session_feed(session, ids, given));
            for (int again = 0; again < 2; again++) { /* the beginning stays */
                API_OK(ob_session_rewind(session, (uint32_t)given));
                API_OK(ob_session_score_next(session, ids + given, COUNT - given, nll));
                assert_int_equal(ob_session_position(session), COUNT - 1);
                for (size_t i = 0; i + given + 1 < COUNT; i++)
                    if (!(fabs(nll[i] - whole[given + i]) < 1e-4))
                        fail_msg("batch %u, given %zu, nll[%zu] is %g, not %g", batches[b], given, i, nll[i], whole[given + i]);
            }
        }
        expect_not_ready(session);

        API_OK(ob_session_rewind(session, 3));
        nll[0] = 77;
        static const uint32_t wrong[] = { 1, V };
        API_FAILS(ob_session_score_next(session, ids, 1, nll), OB_ERROR_ARGUMENT, "two tokens");
        API_FAILS(ob_session_score_next(session, wrong, 2, nll), OB_ERROR_ARGUMENT, "512");
        API_FAILS(ob_session_score_next(session, ids, COUNT - 1, nll), OB_ERROR_ARGUMENT, "do not fit");
        ob_session_cancel(session);
        API_FAILS(ob_session_score_next(session, ids, 4, nll), OB_ERROR_CANCELLED, "cancelled");
        assert_true(nll[0] == 77);
        assert_int_equal(ob_session_position(session), 3);
        API_OK(ob_session_score_next(session, ids + 3, COUNT - 3, nll)); /* the last is not fed: there is just room */
        assert_true(fabs(nll[0] - whole[3]) < 1e-4);
        ob_session_destroy(session);
    }
}

/* Continuations side by side are scored as each alone; one that has a single token has nothing to be scored. */
static void test_score_continuations(void **state)
{
    (void)state;
    enum { GIVEN = 3 };
    double nll[3][PROMPT], want[3][PROMPT];
    ob_session *session;
    API_OK(ob_session_create(&session, stories, &(ob_session_desc){ 0 }));
    API_OK(ob_session_feed(session, golden, GIVEN));
    const ob_continuation continuations[] = { { prompt, PROMPT, nll[0] }, { golden, 1, nll[1] }, { golden + GIVEN, PROMPT, nll[2] } };
    nll[1][0] = 77;
    API_OK(ob_session_score_continuations(session, continuations, 3));
    assert_int_equal(ob_session_position(session), GIVEN);
    assert_true(nll[1][0] == 77);
    expect_not_ready(session);
    for (int i = 0; i < 3; i += 2) {
        API_OK(ob_session_score_next(session, continuations[i].ids, PROMPT, want[i]));
        API_OK(ob_session_rewind(session, GIVEN));
        for (int k = 0; k + 1 < PROMPT; k++)
            if (!(fabs(nll[i][k] - want[i][k]) < 1e-4)) fail_msg("%d: nll[%d] is %g, alone %g", i, k, nll[i][k], want[i][k]);
    }
    API_FAILS(ob_session_score_continuations(session, continuations, 0), OB_ERROR_ARGUMENT, "no continuation");
    API_FAILS(ob_session_score_continuations(session, &(ob_continuation){ golden, 0, nll[0] }, 1), OB_ERROR_ARGUMENT, "no token");
    ob_session_destroy(session);
}

/* ---- times ----------------------------------------------------------------------------------------------------------- */

static void test_kernel_times(void **state)
{
    (void)state;
    ob_device_info info;
    API_OK(ob_context_info(shared, &info));
    ob_kernel_time rows[64], first[2];
    ob_session *session = api_session(stories, (ob_sampling){ 0 });
    API_OK(ob_session_feed(session, prompt, PROMPT));
    assert_int_equal(ob_session_kernel_times(session, rows, 64), 0); /* off until asked for */
    ob_session_profile(session, true);
    assert_int_equal(ob_session_kernel_times(session, rows, 64), 0);
    API_OK(ob_session_feed(session, golden, 1));
    uint32_t count = ob_session_kernel_times(session, rows, 64);
    if (!info.timestamps) {
        assert_int_equal(count, 0);
        ob_session_destroy(session);
        return;
    }
    assert_true(count >= 8 && count <= 64);
    uint64_t calls = 0;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(rows[i].kernel && rows[i].kernel[0] && rows[i].calls > 0 && rows[i].seconds >= 0);
        assert_true(i == 0 || rows[i].seconds <= rows[i - 1].seconds);
        calls += rows[i].calls;
    }
    memset(first, 0x5a, sizeof first);
    assert_int_equal(ob_session_kernel_times(session, NULL, 0), count);
    assert_int_equal(ob_session_kernel_times(session, first, 1), count);
    assert_memory_equal(&first[0], &rows[0], sizeof first[0]);
    assert_int_equal(((unsigned char *)&first[1])[0], 0x5a);
    API_OK(ob_session_feed(session, golden + 1, 1)); /* it adds up */
    uint32_t more = ob_session_kernel_times(session, rows, 64);
    uint64_t later = 0;
    for (uint32_t i = 0; i < more; i++) later += rows[i].calls;
    assert_int_equal(later, 2 * calls);
    ob_session_profile(session, true); /* starts anew */
    assert_int_equal(ob_session_kernel_times(session, rows, 64), 0);
    ob_session_profile(session, false);
    API_OK(ob_session_feed(session, golden + 2, 1));
    assert_int_equal(ob_session_kernel_times(session, rows, 64), 0);
    ob_session_destroy(session);
}

/* Sessions come and go on one model; what one leaves behind another does not see. */
static void test_sessions_in_a_loop(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        ob_session *session, *beside;
        API_OK(ob_session_create(&session, stories, &(ob_session_desc){ .context = 16 }));
        API_OK(ob_session_create(&beside, stories, &(ob_session_desc){ .context = 16 }));
        API_OK(ob_session_feed(beside, golden, 1 + (size_t)i % 8));
        API_OK(ob_session_feed(session, prompt, PROMPT));
        assert_int_equal(sampled(session), golden[0]);
        ob_session_destroy(i % 2 ? session : beside);
        ob_session_destroy(i % 2 ? beside : session);
    }
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descs), cmocka_unit_test(test_greedy_text), cmocka_unit_test(test_refused_feeds_change_nothing),
        cmocka_unit_test(test_rewind), cmocka_unit_test(test_logits), cmocka_unit_test(test_seeds), cmocka_unit_test(test_score),
        cmocka_unit_test(test_score_next),
        cmocka_unit_test(test_score_continuations),
        cmocka_unit_test(test_kernel_times), cmocka_unit_test(test_sessions_in_a_loop),
    };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}

/* test_step: a session fed in pieces is the session fed at once: the same logits however long a piece may be, the same tokens bit by bit
 * where the batches are the same; what interrupts it leaves a session that can be used. */
#include "session_models.h"

#include <time.h>

#include "core/clock.h"
#include "engine/state.h"

#define TOKEN_SECONDS_MAX 60.0 /* what a token may take on a busy machine */

/* Steps until a token is there; returns how many pieces that took. */
static unsigned step_to_token(obi_session *session, double seconds, uint32_t *id)
{
    obi_step_result result;
    unsigned pieces = 0;
    for (double start = obi_clock_seconds(); obi_clock_seconds() - start < TOKEN_SECONDS_MAX;) {
        uint32_t submits = obi_cmd_submits(session->cmd);
        TEST_OK(obi_session_step(session, seconds, &result));
        pieces += obi_cmd_submits(session->cmd) - submits;
        assert_true(obi_cmd_submits(session->cmd) - submits <= 1); /* never more than one at once */
        if (result.state == OBI_STEP_TOKEN) {
            *id = result.id;
            return pieces;
        }
        assert_int_equal(result.state, OBI_STEP_BUSY);
        if (submits == obi_cmd_submits(session->cmd)) nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
    }
    fail_msg("no token after %g seconds", TOKEN_SECONDS_MAX);
    return 0;
}

/* ---- the same logits --------------------------------------------------------------------------------------------------- */

static void check_pieces(const obi_weights *weights, const reference_model *reference, const uint32_t *ids)
{
    static const struct { uint32_t batch; double seconds; } ways[] = { { 1, 1e-6 }, { 7, 1e-6 }, { TOKENS, 1e-6 }, { TOKENS, 1e-3 },
                                                                       { TOKENS, 10 }, { 3, 10 } };
    uint32_t V = weights->config.vocabulary, id;
    float got[V_MAX], want[V_MAX];
    double *exact = reference_run(reference, ids, TOKENS, NULL);
    double *single = reference_tolerance(reference, ids, TOKENS, exact, false, false), *half = single;
    if (test_device()->tier >= OBI_TIER_C) half = reference_tolerance(reference, ids, TOKENS, exact, true, true);
    for (uint32_t v = 0; v < V; v++) want[v] = (float)exact[(TOKENS - 1) * V + v];
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        char what[64];
        snprintf(what, sizeof what, "batch %u, pieces of %g s", ways[w].batch, ways[w].seconds);
        obi_session *session = open_session(weights, TOKENS, ways[w].batch); /* full after the prompt: nothing follows */
        TEST_OK(obi_session_push(session, ids, 13));
        TEST_OK(obi_session_push(session, ids + 13, TOKENS - 13));
        unsigned pieces = step_to_token(session, ways[w].seconds, &id);
        if (ways[w].seconds < 1e-5) assert_true(pieces > 12 * weights->config.layers); /* about a dispatch each */
        if (ways[w].batch == TOKENS && ways[w].seconds > 1) assert_true(pieces < 60);
        assert_int_equal(session->position, TOKENS);
        get_logits(session, got);
        check_near(got, want, V, single[TOKENS - 1] + half[TOKENS - 1], what);
        for (uint32_t v = 0; v < V; v++) assert_true(got[v] <= got[id]);
        obi_step_result result;
        TEST_OK(obi_session_step(session, 1, &result));
        assert_int_equal(result.state, OBI_STEP_FULL);
        obi_session_destroy(session);
    }
    if (half != single) free(half);
    free(exact);
    free(single);
}

static void test_pieces(void **state)
{
    (void)state;
    check_pieces(odd, odd_reference, odd_ids);
    check_pieces(stories, story_reference, story_ids);
    test_device_check();
}

/* ---- the same tokens ------------------------------------------------------------------------------------------------------ */

/* Token by token there is one way to add up, so nothing may differ, be the choice greedy or drawn from all logits. */
static void test_same_tokens(void **state)
{
    (void)state;
    for (int drawn = 0; drawn < 2; drawn++) {
        obi_session_desc desc = { .context = 32, .batch = 1, .stepped = true, .ahead = 1 };
        if (drawn) desc.sampling = (obi_sampling){ .temperature = 0.9f, .top_p = 0.95f, .seed = 7, .repeat_penalty = 1.1f };
        uint32_t want[20], got[20];
        obi_session *session;
        TEST_OK(obi_session_create(stories, &desc, &session));
        TEST_OK(obi_session_feed(session, story_ids, 5));
        for (int i = 0; i < 20; i++) {
            TEST_OK(obi_session_sample(session, &want[i]));
            if (i < 19) TEST_OK(obi_session_feed(session, &want[i], 1));
        }
        obi_session_destroy(session);
        TEST_OK(obi_session_create(stories, &desc, &session));
        TEST_OK(obi_session_push(session, story_ids, 5));
        unsigned first = 0, last = 0;
        for (int i = 0; i < 20; i++) {
            unsigned pieces = step_to_token(session, i < 10 ? 1e-6 : 10, &got[i]);
            if (i == 1) first = pieces;
            last = pieces;
        }
        assert_memory_equal(got, want, sizeof want);
        assert_true(first > 30); /* a piece is a dispatch, */
        assert_int_equal(last, 1); /* and when all costs are known one piece is a token */
        obi_session_destroy(session);
    }
    test_device_check();
}

/* ---- interruptions -------------------------------------------------------------------------------------------------------- */

static void test_interrupted(void **state)
{
    (void)state;
    uint32_t V = stories->config.vocabulary, id;
    float want[V_MAX], got[V_MAX];
    obi_session *session = open_session(stories, 64, 8);
    TEST_OK(obi_session_feed(session, story_ids, 20));
    get_logits(session, want);
    obi_session_destroy(session);
    for (unsigned cut = 0; cut < 90; cut += 9) {
        session = open_session(stories, 64, 8);
        obi_step_result result;
        TEST_OK(obi_session_feed(session, story_ids, 4));
        TEST_OK(obi_session_push(session, story_ids + 4, 30));
        for (unsigned i = 0; i < cut; i++) TEST_OK(obi_session_step(session, 1e-6, &result));
        uint32_t position = session->position;
        assert_true(position >= 4 && position <= 34);
        if (position > 4) TEST_OK(obi_session_rewind(session, 4));
        TEST_OK(obi_session_feed(session, story_ids + 4, 4));
        TEST_OK(obi_session_feed(session, story_ids + 8, 12));
        assert_int_equal(session->position, 20);
        get_logits(session, got);
        for (uint32_t v = 0; v < V; v++) assert_true(fabsf(got[v] - want[v]) < 1e-3f);
        TEST_OK(obi_session_step(session, 1, &result)); /* what was pushed is forgotten */
        assert_int_equal(result.state, OBI_STEP_IDLE);
        obi_session_destroy(session);
    }
    /* A token that was chosen but shall not be in the text: what is pushed then comes in its place. */
    session = open_session(stories, 64, 8);
    TEST_OK(obi_session_push(session, story_ids, 10));
    step_to_token(session, 1, &id);
    TEST_OK(obi_session_rewind(session, session->position));
    TEST_OK(obi_session_push(session, story_ids + 10, 10));
    step_to_token(session, 1, &id);
    assert_int_equal(session->position, 20);
    for (uint32_t v = 0; v < V; v++) assert_true(want[v] <= want[id] + 1e-3f);
    /* Cancelled, perhaps from another thread: the next step says so, and nothing is pending. */
    obi_session_cancel(session);
    obi_step_result result;
    assert_int_equal(obi_session_step(session, 1, &result), OBI_ERROR_CANCELLED);
    TEST_OK(obi_session_step(session, 1, &result));
    assert_int_equal(result.state, OBI_STEP_IDLE);
    TEST_OK(obi_session_push(session, story_ids, 1));
    step_to_token(session, 1, &id);
    /* Pushed behind the token that is being fed already. */
    TEST_OK(obi_session_push(session, story_ids + 20, 3));
    step_to_token(session, 1, &id);
    assert_int_equal(session->position, 25);
    obi_session_destroy(session);
    test_device_check();
}

static void test_refused(void **state)
{
    (void)state;
    obi_step_result result;
    uint32_t id, bad = stories->config.vocabulary;
    obi_session *session = open_session(stories, 16, 4);
    TEST_OK(obi_session_step(session, 1, &result));
    assert_int_equal(result.state, OBI_STEP_IDLE);
    assert_int_equal(obi_session_push(session, story_ids, 0), OBI_ERROR_ARGUMENT);
    assert_int_equal(obi_session_push(session, &bad, 1), OBI_ERROR_ARGUMENT);
    assert_int_equal(obi_session_push(session, story_ids, 17), OBI_ERROR_ARGUMENT);
    TEST_OK(obi_session_push(session, story_ids, 10));
    assert_int_equal(obi_session_push(session, story_ids, 7), OBI_ERROR_ARGUMENT); /* what waits counts */
    assert_non_null(strstr(obi_last_error(), "16 positions and 10"));
    TEST_OK(obi_session_step(session, 1e-6, &result));
    assert_int_equal(obi_session_push(session, story_ids, 7), OBI_ERROR_ARGUMENT);
    TEST_OK(obi_session_push(session, story_ids + 10, 6));
    step_to_token(session, 1, &id);
    assert_int_equal(session->position, 16);
    for (int i = 0; i < 2; i++) {
        TEST_OK(obi_session_step(session, 1, &result));
        assert_int_equal(result.state, OBI_STEP_FULL);
    }
    obi_session_destroy(session);
    test_device_check();
}

/* A stepped session that is saved somewhere in a token goes on in another with the same text, given what it had not fed. */
static void test_saved(void **state)
{
    (void)state;
    obi_session_desc desc = { .context = 48, .batch = 8, .sampling = { .temperature = 0.8f, .seed = 3 } };
    obi_session *first, *second;
    uint32_t want[16], got[16];
    unsigned char bytes[4096];
    size_t count;
    TEST_OK(obi_session_create(stories, &desc, &first));
    TEST_OK(obi_session_push(first, story_ids, 10));
    for (int i = 0; i < 8; i++) step_to_token(first, 1e-4, &want[i]);
    TEST_OK(obi_session_save(first, bytes, sizeof bytes, &count));
    assert_int_equal(first->position, 17);
    for (int i = 8; i < 16; i++) step_to_token(first, 1e-4, &want[i]);
    TEST_OK(obi_session_create(stories, &desc, &second));
    TEST_OK(obi_session_restore(second, bytes, count, 0));
    TEST_OK(obi_session_push(second, &want[7], 1));
    for (int i = 8; i < 16; i++) step_to_token(second, 1, &got[i]);
    assert_memory_equal(got + 8, want + 8, 8 * sizeof *want);
    obi_session_destroy(first);
    obi_session_destroy(second);
    test_device_check();
}

/* A device that is lost in the middle: the status, nothing pending, and the session can be destroyed. */
static void test_lost(void **state)
{
    (void)state;
    obi_step_result result;
    obi_session *session = open_session(stories, 64, 8);
    TEST_OK(obi_session_push(session, story_ids, 30));
    for (int i = 0; i < 5; i++) TEST_OK(obi_session_step(session, 1e-6, &result));
    obi_cmd_wait(session->cmd);
    test_device()->lost = true;
    obi_status status = OBI_OK;
    for (int i = 0; i < 3 && status == OBI_OK; i++) status = obi_session_step(session, 1e-6, &result);
    assert_int_equal(status, OBI_ERROR_DEVICE_LOST);
    TEST_OK(obi_session_step(session, 1e-6, &result));
    assert_int_equal(result.state, OBI_STEP_IDLE);
    test_device()->lost = false;
    obi_session_destroy(session);
    test_device_check();
}

/* Prompts in bytes have a tolerance of their own (tests/engine/test_golden.c); pieces are the same for every kernel. */
static int open_exact_models(void **state)
{
    test_leave_out_bytes();
    return open_models(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_pieces), cmocka_unit_test(test_same_tokens),
                                        cmocka_unit_test(test_interrupted), cmocka_unit_test(test_refused), cmocka_unit_test(test_saved),
                                        cmocka_unit_test(test_lost) };
    return test_device_finish(cmocka_run_group_tests(tests, open_exact_models, close_models));
}

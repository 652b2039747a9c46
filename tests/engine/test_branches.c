/* test_branches: several continuations of what was fed are scored side by side as the reference scores each alone: of a dense model and
 * of one of signs in odd sizes, with keys and values of each type, whatever is fed before and however many go into a pass. */
#include "session_models.h"

#include <stdlib.h>

#include "engine/branches.h"
#include "engine/score.h"

enum { BRANCHES = 7, LONGEST = 14 };

/* Tokens of each, of which the last is only predicted: none to feed, one, some; two are alike. */
static const size_t lengths[BRANCHES] = { 1, 2, 9, LONGEST, 2, 9, 4 };

typedef struct continuations {
    uint32_t ids[BRANCHES][LONGEST];
    double nll[BRANCHES][LONGEST];
    obi_branch branch[BRANCHES];
} continuations;

static void make(continuations *all, uint32_t V, uint64_t seed)
{
    obi_rng rng = obi_rng_seed(seed);
    for (int b = 0; b < BRANCHES; b++) {
        for (int i = 0; i < LONGEST; i++) all->ids[b][i] = b == 5 ? all->ids[2][i] : (uint32_t)(obi_rng_next(&rng) % V);
        all->branch[b] = (obi_branch){ all->ids[b], lengths[b], all->nll[b] };
    }
}

static void forget(continuations *all)
{
    for (int b = 0; b < BRANCHES; b++)
        for (int i = 0; i < LONGEST; i++) all->nll[b][i] = 1234;
}

static double nll_of(const double *logits, uint32_t V, uint32_t target)
{
    double sum = 0, largest = -INFINITY;
    for (uint32_t i = 0; i < V; i++) largest = fmax(largest, logits[i]);
    for (uint32_t i = 0; i < V; i++) sum += exp(logits[i] - largest);
    return log(sum) + largest - logits[target];
}

/* What the reference says of each number, and by how much it may be off: each logit twice. */
typedef struct expected { double nll[BRANCHES][LONGEST], off[BRANCHES][LONGEST]; } expected;

static expected expect(const reference_model *model, const uint32_t *beginning, uint32_t given, const continuations *all, obi_kv_type type)
{
    expected want = { 0 };
    uint32_t V = model->config.vocabulary, ids[TOKENS + LONGEST];
    memcpy(ids, beginning, given * sizeof *ids);
    for (int b = 0; b < BRANCHES; b++) {
        if (lengths[b] == 1) continue;
        memcpy(ids + given, all->ids[b], lengths[b] * sizeof *ids);
        size_t count = given + lengths[b];
        double *logits = reference_run(model, ids, count, NULL);
        reference_noise noise = { .half_cache = type == OBI_KV_F16, .byte_cache = type == OBI_KV_INT8 };
        double *off = reference_tolerance_of(model, ids, count, logits, noise);
        for (size_t i = 0; i + 1 < lengths[b]; i++) {
            want.nll[b][i] = nll_of(logits + (given + i) * V, V, ids[given + i + 1]);
            want.off[b][i] = 2 * off[given + i] + 1e-6;
        }
        free(logits);
        free(off);
    }
    return want;
}

static void check(const continuations *all, const expected *want, const char *what)
{
    for (int b = 0; b < BRANCHES; b++)
        for (size_t i = 0; i < LONGEST; i++) {
            if (i + 1 >= lengths[b]) assert_true(all->nll[b][i] == 1234); /* count - 1 numbers */
            else if (!(fabs(all->nll[b][i] - want->nll[b][i]) <= want->off[b][i]))
                fail_msg("%s, branch %d, nll[%zu] is %.9g, by the reference %.9g +/- %.2g", what, b, i, all->nll[b][i], want->nll[b][i],
                         want->off[b][i]);
        }
}

static void check_model(const obi_weights *weights, const reference_model *model, const uint32_t *beginning, obi_kv_type type,
                        const char *what)
{
    /* With 64 all go together. With 12 at most: the first three, the fourth alone though it is longer, the rest. With 1 all alone. */
    static const struct { uint32_t given, batch; } cases[] = { { 0, 64 }, { 22, 64 }, { 22, 12 }, { 22, 1 } };
    continuations all;
    expected want;
    make(&all, model->config.vocabulary, 31);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        uint32_t given = cases[c].given;
        if (c == 0 || given != cases[c - 1].given) want = expect(model, beginning, given, &all, type);
        obi_session *session;
        TEST_OK(obi_session_create(weights, &(obi_session_desc){ .batch = cases[c].batch, .kv_type = type }, &session));
        if (given) TEST_OK(obi_session_feed(session, beginning, given));
        for (int again = 0; again < 2; again++) { /* what was fed before is not changed */
            forget(&all);
            TEST_OK(obi_session_score_branches(session, all.branch, BRANCHES));
            check(&all, &want, what);
            assert_int_equal(session->position, given);
        }
        forget(&all); /* and one sequence is scored as before */
        TEST_OK(obi_session_score_next(session, all.ids[3], LONGEST, all.nll[3]));
        for (int i = 0; i + 1 < LONGEST; i++) assert_true(fabs(all.nll[3][i] - want.nll[3][i]) <= want.off[3][i]);
        obi_session_destroy(session);
    }
    test_device_check();
}

static void each_type(const obi_weights *weights, const reference_model *model, const uint32_t *beginning, const char *what)
{
    model_use_tier(OBI_TIER_A); /* without halves in sums, for which reference_noise has no mixture of few and many tokens */
    check_model(weights, model, beginning, OBI_KV_F32, what);
    check_model(weights, model, beginning, OBI_KV_F16, what);
    if (obi_kv_int8_possible(test_device())) check_model(weights, model, beginning, OBI_KV_INT8, what);
    model_use_tier(test_device()->tier);
}

static void test_dense(void **state)
{
    (void)state;
    each_type(stories, story_reference, story_ids, "dense");
}

static void test_signs(void **state)
{
    (void)state;
    each_type(odd, odd_reference, odd_ids, "signs");
}

/* One submission for all that go into a pass, and none for what has nothing to feed. */
static void test_passes(void **state)
{
    (void)state;
    continuations all;
    make(&all, stories->config.vocabulary, 5);
    static const struct { uint32_t batch; size_t count; uint64_t submits; } cases[] = {
        { 64, BRANCHES, 1 }, { 64, 1, 0 }, { 64, 2, 1 }, { 12, 3, 1 }, { 12, BRANCHES, 1 + 2 + 1 }, { 8, 3, 2 },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        obi_session *session = open_session(stories, 0, cases[c].batch);
        TEST_OK(obi_session_feed(session, story_ids, 5));
        uint64_t before = obi_cmd_submits(session->cmd);
        TEST_OK(obi_session_score_branches(session, all.branch, cases[c].count));
        assert_int_equal(obi_cmd_submits(session->cmd) - before, cases[c].submits);
        obi_session_destroy(session);
    }
    test_device_check();
}

/* More than go into a pass by their number. */
static void test_many(void **state)
{
    (void)state;
    enum { MANY = OBI_BRANCHES_MAX + 3 };
    static double nll[MANY][2];
    static obi_branch branches[MANY];
    double want[2];
    for (int i = 0; i < MANY; i++) branches[i] = (obi_branch){ story_ids + i % 9, 3, nll[i] };
    obi_session *session = open_session(stories, 0, 512);
    TEST_OK(obi_session_feed(session, story_ids, 11));
    uint64_t before = obi_cmd_submits(session->cmd);
    TEST_OK(obi_session_score_branches(session, branches, MANY));
    uint64_t submits = obi_cmd_submits(session->cmd) - before;
    for (int i = 0; i < MANY; i++) {
        TEST_OK(obi_session_score_next(session, story_ids + i % 9, 3, want));
        TEST_OK(obi_session_rewind(session, 11));
        for (int k = 0; k < 2; k++) assert_true(fabs(nll[i][k] - want[k]) < 1e-4);
    }
    assert_int_equal(submits, 2);
    obi_session_destroy(session);
    test_device_check();
}

/* On a device that was found to be slow a pass is cut, also between what a branch stores and its attention; that changes no bit. */
static void test_slow_passes_are_cut(void **state)
{
    (void)state;
    continuations whole, cut;
    make(&whole, odd->config.vocabulary, 6);
    make(&cut, odd->config.vocabulary, 6);
    forget(&whole);
    forget(&cut);
    obi_session *session = open_session(odd, 0, 0);
    TEST_OK(obi_session_feed(session, odd_ids, 9));
    session->pace.speed = 0;
    uint64_t before = obi_cmd_submits(session->cmd);
    TEST_OK(obi_session_score_branches(session, whole.branch, BRANCHES));
    uint64_t at_once = obi_cmd_submits(session->cmd) - before;
    session->pace.speed = 1;
    TEST_OK(obi_session_score_branches(session, cut.branch, BRANCHES));
    uint64_t in_parts = obi_cmd_submits(session->cmd) - before - at_once;
    assert_int_equal(at_once, 1);
    if (!(in_parts >= odd->config.layers * (4 + 6))) fail_msg("%u submissions", (unsigned)in_parts); /* groups of products; branches */
    assert_memory_equal(whole.nll, cut.nll, sizeof whole.nll);
    obi_session_destroy(session);
    test_device_check();
}

static void test_mistakes_change_nothing(void **state)
{
    (void)state;
    uint32_t V = stories->config.vocabulary, wrong[2] = { 1, V };
    float before[V_MAX], after[V_MAX];
    double nll[TOKENS];
    nll[0] = 77;
    obi_session *session = open_session(stories, 23, 0);
    TEST_OK(obi_session_feed(session, story_ids, 11));
    get_logits(session, before);
    EXPECT_ARGUMENT(obi_session_score_branches(session, NULL, 0), "no continuation");
    obi_branch branches[] = { { story_ids, 3, nll }, { story_ids, 0, nll } };
    EXPECT_ARGUMENT(obi_session_score_branches(session, branches, 2), "continuation 1", "no token");
    branches[1] = (obi_branch){ wrong, 2, nll };
    EXPECT_ARGUMENT(obi_session_score_branches(session, branches, 2), "token 512", "vocabulary of 512");
    branches[1] = (obi_branch){ story_ids, 14, nll };
    EXPECT_ARGUMENT(obi_session_score_branches(session, branches, 2), "13 tokens", "continuation 1", "23 positions", "11 are taken");
    assert_true(nll[0] == 77);
    get_logits(session, after); /* nothing began, so they are still there */
    CHECK_SAME(before, after, V);
    obi_session_cancel(session);
    assert_int_equal(obi_session_score_branches(session, branches, 1), OBI_ERROR_CANCELLED);
    branches[1].count = 13; /* the last is not fed: there is just room */
    TEST_OK(obi_session_score_branches(session, branches, 2));
    assert_int_equal(session->position, 11);
    EXPECT_ARGUMENT(obi_session_logits(session, after), "feed at least one token");
    obi_session_destroy(session);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense), cmocka_unit_test(test_signs),
        cmocka_unit_test(test_passes), cmocka_unit_test(test_many),
        cmocka_unit_test(test_slow_passes_are_cut), cmocka_unit_test(test_mistakes_change_nothing),
    };
    test_leave_out_bytes();
    return test_device_finish(cmocka_run_group_tests(tests, open_models, close_models));
}

/* test_pace: work that takes long is cut into several submissions, and no number changes by that. */
#include "session_models.h"

/* A batch with more work than one submission should hold is cut between layers, and nothing else changes. 8 tokens of the model are
 * 0.43 G multiplications with what attention counts for, 96 are 4.2 G: on one side and the other of what every software driver takes. */
static void test_long_work_is_cut(void **state)
{
    (void)state;
    synthetic_model model = { .config = { .onebit = true, .post_norm = true, .post_norm_eps = 1e-5f, .width = 1024, .layers = 5,
                                          .heads = 16, .kv_heads = 4, .head_size = 64, .ffn = 2000, .vocabulary = 100, .context = 96,
                                          .norm_eps = 1e-5f, .rope_theta = 10000, .rope_scale = 1, .rope_dimensions = 64, .tied = true },
                              .embedding = OBI_DTYPE_F32, .norm = OBI_DTYPE_F32, .seed = 4 };
    synthetic_write(&model, scratch_path("wide.gguf"));
    obi_weights *weights = load(scratch_path("wide.gguf"), NULL);
    uint32_t ids[96];
    float want[100], got[100];
    for (uint32_t i = 0; i < 96; i++) ids[i] = i * 7 % 100;
    obi_session *small = open_session(weights, 0, 8), *large = open_session(weights, 0, 96);
    TEST_OK(obi_session_feed(small, ids, 96));
    TEST_OK(obi_session_feed(large, ids, 96));
    assert_int_equal(obi_cmd_submits(small->cmd), 12);
    if (test_device()->caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU) assert_true(obi_cmd_submits(large->cmd) > 1);
    get_logits(small, want);
    get_logits(large, got);
    check_near(got, want, 100, 1e-3, "one batch of 96 and twelve of 8"); /* of logits near 32: ten times what sums in another order do */
    obi_session_destroy(small);
    obi_session_destroy(large);
    obi_weights_free(weights);
    test_device_check();
}

/* So is a token on a device that is very slow, and on one that turns out to be; when it is quick again, a token is one submission. */
static void test_slow_tokens_are_cut(void **state)
{
    (void)state;
    float want[V_MAX], got[V_MAX];
    double work = (double)stories->parameters;
    obi_session *whole = open_session(stories, 0, 1), *cut = open_session(stories, 0, 1);
    cut->token_pace.speed = work; /* a second a token */
    cut->slow = obi_pace_slow(test_device(), &cut->token_pace, work);
    assert_true(cut->slow);
    assert_false(whole->slow);
    TEST_OK(obi_session_feed(whole, story_ids, 1));
    TEST_OK(obi_session_feed(cut, story_ids, 1));
    assert_int_equal(obi_cmd_submits(whole->cmd), 1);
    assert_true(obi_cmd_submits(cut->cmd) > stories->config.layers);
    get_logits(whole, want);
    get_logits(cut, got);
    CHECK_SAME(got, want, stories->config.vocabulary);
    obi_session_destroy(whole);
    obi_session_destroy(cut);

    obi_pace_found found = { 0 };
    obi_pace_learn(&found, 1e9, 1e-3); /* what is over at once says nothing */
    assert_false(found.speed > 0);
    obi_pace_learn(&found, 1e9, 2);
    assert_true(fabs(found.speed - 5e8) < 1);
    assert_true(obi_pace_slow(test_device(), &found, 1e9));
    for (int i = 0; i < 8; i++) obi_pace_learn(&found, 1e9, 0.021);
    assert_false(obi_pace_slow(test_device(), &found, 1e9));
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
        large->pace.speed = 0; /* by the guess: what was measured depends on the machine */
        uint32_t before = obi_cmd_submits(large->cmd);
        TEST_OK(obi_session_feed(large, ids + i, 100));
        uint32_t submits = obi_cmd_submits(large->cmd) - before;
        if (i == 0) assert_int_equal(submits, 1);
        /* Made of products it is a hundredth of what a submission may hold there. */
        if (i == 500 && test_device()->caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU && !test_device()->caps.straight) assert_true(submits > 1);
    }
    get_logits(small, want);
    get_logits(large, got);
    check_near(got, want, 100, 1e-4, "batches of 64 and of 100");
    obi_session_destroy(small);
    obi_session_destroy(large);
    obi_weights_free(weights);
    test_device_check();
}

static int open_exact_models(void **state)
{
    test_leave_out_bytes();
    return open_models(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_long_work_is_cut), cmocka_unit_test(test_slow_tokens_are_cut),
                                        cmocka_unit_test(test_attention_is_cut) };
    return test_device_finish(cmocka_run_group_tests(tests, open_exact_models, close_models));
}

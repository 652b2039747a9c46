/* test_session_limits: what a session cannot do is refused before anything happens: mistakes, a device's limits, want of memory. */
#include "session_models.h"

#include <stdlib.h>

#include "engine/pace.h"
#include "engine/score.h"
#include "ops/op_attn.h"

static void test_memory_comes_back(void **state)
{
    (void)state;
    uint64_t before = test_device()->memory.used_bytes;
    double nll[TOKENS];
    for (int i = 0; i < 3; i++) {
        obi_session *session = open_session(stories, 0, 0);
        TEST_OK(obi_session_score(session, story_ids, TOKENS, nll));
        TEST_OK(obi_session_score_branches(session, (obi_branch[]){ { story_ids, 4, nll }, { story_ids, 3, nll } }, 2));
        assert_true(test_device()->memory.used_bytes > before);
        obi_session_destroy(session);
        assert_int_equal(test_device()->memory.used_bytes, before);
    }
}

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

/* Halves in the cache are for devices of tier B and above that are no software, and not for who asks for exact arithmetic. */
static void test_which_cache_is_taken(void **state)
{
    (void)state;
    obi_device *device = test_device();
    bool software = device->caps.software;
    obi_tier tier = device->tier;
    device->caps.software = false;
    device->tier = OBI_TIER_B;
    assert_int_equal(obi_session_kv_type(device), OBI_KV_F16);
    device->exact = true;
    assert_int_equal(obi_session_kv_type(device), OBI_KV_F32);
    device->exact = false;
    device->tier = OBI_TIER_A;
    assert_int_equal(obi_session_kv_type(device), OBI_KV_F32);
    device->tier = OBI_TIER_B;
    device->caps.software = true;
    assert_int_equal(obi_session_kv_type(device), OBI_KV_F32);
    device->caps.software = software;
    device->tier = tier;
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
    uint64_t f32_bytes = 8ull * stories->config.layers * 512 * stories->config.kv_heads * stories->config.head_size;
    for (int type = OBI_KV_F16; type <= OBI_KV_INT8; type++) { /* half as much, and 12 bytes for every 32 */
        desc = (obi_session_desc){ .context = 512, .batch = 1, .kv_type = type };
        device->caps.heap_bytes = device->memory.reserved_bytes + (512 << 10) - (type == OBI_KV_INT8 ? f32_bytes / 8 : 0);
        TEST_OK(obi_session_create(stories, &desc, &session));
        obi_session_destroy(session);
        if (type == OBI_KV_F16) continue;
        desc.kv_type = OBI_KV_F32;
        assert_int_equal(obi_session_create(stories, &desc, &session), OBI_ERROR_MEMORY);
        assert_non_null(strstr(obi_last_error(), "as int8 about a quarter"));
    }
    device->caps.heap_bytes = device->memory.reserved_bytes + 1000;
    assert_int_equal(obi_session_create(stories, &desc, &session), OBI_ERROR_MEMORY);
    assert_non_null(strstr(obi_last_error(), "smaller model"));
    device->caps = caps;
    test_device_check();
}

/* What a prompt's products and its attention take beside the buffers is counted too, and there before the prompt is. */
static void test_a_prompt_takes_no_more(void **state)
{
    (void)state;
    obi_device *device = test_device();
    obi_weights *models[] = { stories, odd };
    for (int i = 0; i < 2; i++) {
        const obi_config *config = &models[i]->config;
        uint32_t ids[512];
        for (uint32_t j = 0; j < config->context; j++) ids[j] = i ? odd_ids[j % TOKENS] : story_ids[j % TOKENS];
        for (uint32_t batch = 1; batch <= config->context; batch += batch < 12 ? 1 : 117) {
            obi_caps caps = device->caps;
            obi_session_desc desc = { .context = config->context, .batch = batch, .kv_type = OBI_KV_F32 };
            obi_session *session;
            uint64_t scratch = obi_op_attn_fwd_bytes(device, OBI_KV_F32, batch, config->heads, config->kv_heads, config->head_size,
                                                     desc.context);
            device->caps.unified = false;
            device->caps.heap_bytes = device->memory.reserved_bytes + scratch + 1000;
            assert_int_equal(obi_session_create(models[i], &desc, &session), OBI_ERROR_MEMORY); /* before anything is allocated */
            device->caps = caps;
            TEST_OK(obi_session_create(models[i], &desc, &session));
            uint64_t before = device->memory.used_bytes;
            TEST_OK(obi_session_feed(session, ids, desc.context));
            assert_int_equal(device->memory.used_bytes, before);
            obi_session_destroy(session);
        }
    }
    test_device_check();
}

/* With a batch of many tokens: the number of positions that the message names is enough for a prompt as long. */
static void test_what_fits_runs_a_prompt(void **state)
{
    (void)state;
    obi_device *device = test_device();
    obi_caps caps = device->caps;
    uint32_t ids[512];
    for (uint32_t i = 0; i < 512; i++) ids[i] = story_ids[i % TOKENS];
    obi_session_desc desc = { .context = 512, .batch = 64, .kv_type = OBI_KV_F32 };
    obi_session *session;
    uint64_t used = device->memory.used_bytes;
    device->caps.unified = false;
    TEST_OK(obi_session_create(stories, &desc, &session));
    uint64_t whole = device->memory.used_bytes - used;
    obi_session_destroy(session);
    device->caps.heap_bytes = device->memory.reserved_bytes + whole - whole / 16;
    assert_int_equal(obi_session_create(stories, &desc, &session), OBI_ERROR_MEMORY);
    const char *most = strstr(obi_last_error(), "at most ");
    if (!most) fail_msg("\"%s\"", obi_last_error());
    desc.context = (uint32_t)strtoul(most + 8, NULL, 10);
    assert_in_range(desc.context, 65, 511);
    TEST_OK(obi_session_create(stories, &desc, &session));
    TEST_OK(obi_session_feed(session, ids, desc.context));
    obi_session_destroy(session);
    device->caps = caps;
    test_device_check();
}

/* A batch that is cut into submissions ends at the next cut: what was recorded is dropped, and the cmd is as good as before. */
static void test_cancelled_where_it_is_cut(void **state)
{
    (void)state;
    obi_session *session = open_session(stories, 23, 0);
    obi_cmd_begin(session->cmd);
    obi_pace pace = obi_pace_start(session->cmd, &session->cancelled, &session->pace, 8);
    uint32_t submits = obi_cmd_submits(session->cmd);
    for (uint32_t i = 0; i < 3; i++) {
        if (i == 2) obi_session_cancel(session);
        obi_pace_before(&pace, pace.budget);
        obi_cmd_fill(session->cmd, obi_view_of(session->x), i);
        assert_int_equal(obi_cmd_submits(session->cmd), submits + (i > 0)); /* the second cut makes none */
    }
    assert_int_equal(obi_cmd_submit(session->cmd), OBI_ERROR_CANCELLED);
    assert_int_equal(obi_session_end_call(session, OBI_ERROR_CANCELLED), OBI_ERROR_CANCELLED);
    TEST_OK(obi_session_feed(session, story_ids, 11)); /* it was used up */
    obi_session_destroy(session);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_comes_back),
        cmocka_unit_test(test_mistakes_change_nothing),
        cmocka_unit_test(test_what_cannot_be_asked_for),
        cmocka_unit_test(test_cancelled_where_it_is_cut),
        cmocka_unit_test(test_which_cache_is_taken),
        cmocka_unit_test(test_what_the_device_allows),
        cmocka_unit_test(test_a_context_without_memory),
        cmocka_unit_test(test_a_prompt_takes_no_more),
        cmocka_unit_test(test_what_fits_runs_a_prompt),
    };
    return test_device_finish(cmocka_run_group_tests(tests, open_models, close_models));
}

/* test_ahead: a session that submits the token after its own choice before it waits for it (engine/ahead) gives what one gives that does
 * not, bit for bit and whatever is called in between. */
#include "session_models.h"
#include "engine/score.h"

typedef struct pair { obi_session *plain, *ahead; } pair;

static pair open_pair(const obi_weights *weights, uint32_t context, int kv_type)
{
    pair both;
    obi_session_desc desc = { .context = context, .kv_type = kv_type, .ahead = -1 };
    TEST_OK(obi_session_create(weights, &desc, &both.plain));
    desc.ahead = 1;
    TEST_OK(obi_session_create(weights, &desc, &both.ahead));
    assert_false(both.plain->ahead.on);
    assert_true(both.ahead->ahead.on);
    return both;
}

static void close_pair(pair both)
{
    obi_session_destroy(both.plain);
    obi_session_destroy(both.ahead); /* perhaps while a token flies */
}

static void check_pair(pair both)
{
    static float want[V_MAX], got[V_MAX];
    assert_int_equal(both.plain->position, both.ahead->position);
    assert_memory_equal(both.plain->history, both.ahead->history, both.plain->position * sizeof(uint32_t));
    get_logits(both.plain, want);
    get_logits(both.ahead, got);
    CHECK_SAME(want, got, both.plain->weights->config.vocabulary);
}

static void feed_pair(pair both, const uint32_t *ids, size_t count)
{
    TEST_OK(obi_session_feed(both.plain, ids, count));
    TEST_OK(obi_session_feed(both.ahead, ids, count));
}

/* What both choose. */
static uint32_t choose(pair both)
{
    uint32_t want, got;
    TEST_OK(obi_session_sample(both.plain, &want));
    TEST_OK(obi_session_sample(both.ahead, &got));
    assert_int_equal(want, got);
    return got;
}

static void generate(pair both, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = choose(both);
        feed_pair(both, &id, 1);
        assert_int_equal(both.ahead->ahead.flying, both.ahead->position < both.ahead->context);
    }
}

/* To the end of the context, across the positions at which commands are recorded anew; asked for logits now and then or never. */
static void check_texts(const obi_weights *weights, const uint32_t *ids, uint32_t context, int kv_type)
{
    for (int asking = 0; asking < 2; asking++) {
        pair both = open_pair(weights, context, kv_type);
        uint64_t used;
        uint32_t id, submits;
        feed_pair(both, ids, 5);
        submits = obi_cmd_submits(both.ahead->cmd);
        generate(both, 1);
        used = test_device()->memory.used_bytes;
        while (both.ahead->position < context) {
            generate(both, 1);
            if (asking && both.ahead->position % 3 == 0) check_pair(both);
        }
        if (!asking) assert_int_equal(obi_cmd_submits(both.ahead->cmd), submits + 1); /* all but the first went ahead */
        assert_int_equal(test_device()->memory.used_bytes, used);
        id = choose(both);
        EXPECT_ARGUMENT(obi_session_feed(both.ahead, &id, 1), "do not fit");
        check_pair(both);
        TEST_OK(obi_session_rewind(both.plain, 3));
        TEST_OK(obi_session_rewind(both.ahead, 3));
        feed_pair(both, ids, 2);
        generate(both, 20);
        check_pair(both);
        close_pair(both);
    }
}

static void test_texts(void **state)
{
    (void)state;
    check_texts(stories, story_ids, 150, OBI_KV_F32);
    check_texts(odd, odd_ids, 64, OBI_KV_F32);
    check_texts(odd, odd_ids, 64, OBI_KV_F16);
    check_texts(odd, odd_ids, 64, OBI_KV_INT8);
    test_device_check();
}

/* The token in flight is thrown away by everything but its own id, and leaves no trace. */
static void test_thrown_away(void **state)
{
    (void)state;
    pair both = open_pair(stories, 0, OBI_KV_F32);
    double want[9], got[9];
    for (int round = 0; round < 2; round++) {
        feed_pair(both, story_ids, 7);
        generate(both, 4);
        uint32_t other = (choose(both) + 1) % 512, position = both.ahead->position;
        feed_pair(both, &other, 1); /* not the choice */
        assert_false(both.ahead->ahead.flying);
        check_pair(both);
        generate(both, 3);
        feed_pair(both, story_ids, 4); /* several */
        assert_false(both.ahead->ahead.flying);
        check_pair(both);
        generate(both, 2);
        check_pair(both); /* logits of what was fed, not of what flies */
        assert_true(both.ahead->ahead.flying);
        generate(both, 2);
        TEST_OK(obi_session_rewind(both.plain, position));
        TEST_OK(obi_session_rewind(both.ahead, position));
        assert_false(both.ahead->ahead.flying);
        assert_int_equal(obi_session_sample(both.ahead, &other), OBI_ERROR_ARGUMENT);
        feed_pair(both, story_ids + 20, 1);
        generate(both, 5);
        uint32_t none = 512;
        EXPECT_ARGUMENT(obi_session_feed(both.ahead, &none, 1), "vocabulary"); /* and nothing done: what flies goes on */
        generate(both, 2);
        other = choose(both); /* fed without being asked for again: it flew already */
        feed_pair(both, &other, 1);
        feed_pair(both, &other, 1);
        check_pair(both);
        generate(both, 2);
        TEST_OK(obi_session_score(both.plain, story_ids, 10, want));
        TEST_OK(obi_session_score(both.ahead, story_ids, 10, got));
        assert_memory_equal(want, got, sizeof want);
        TEST_OK(obi_session_rewind(both.plain, 0));
        TEST_OK(obi_session_rewind(both.ahead, 0));
    }
    feed_pair(both, story_ids, 3);
    generate(both, 3);
    close_pair(both);
    test_device_check();
}

/* Kernels are timed in the session's own commands: none goes ahead then. */
static void test_timed(void **state)
{
    (void)state;
    obi_profile_row rows[OBI_KERNEL_COUNT];
    pair both = open_pair(stories, 0, OBI_KV_F32);
    feed_pair(both, story_ids, 7);
    generate(both, 3);
    obi_cmd_profile(both.ahead->cmd, true);
    uint32_t id = choose(both);
    feed_pair(both, &id, 1);
    assert_false(both.ahead->ahead.flying);
    uint32_t count = obi_cmd_profile_rows(both.ahead->cmd, rows);
    uint64_t choices = 0;
    for (uint32_t i = 0; i < count; i++)
        if (rows[i].kernel == OBI_KERNEL_UTIL_ARGMAX_FWD) choices += rows[i].calls;
    assert_int_equal(choices, count > 0); /* no rows where a device has no timestamps */
    obi_cmd_profile(both.ahead->cmd, false);
    generate(both, 3);
    check_pair(both);
    close_pair(both);
    test_device_check();
}

/* A failure in what goes ahead is no failure of the token before it; that of the token itself leaves the session where it was. */
static void test_failures(void **state)
{
    (void)state;
    obi_device *device = test_device();
    pair both = open_pair(stories, 0, OBI_KV_F32);
    feed_pair(both, story_ids, 7);
    generate(both, 3);
    uint32_t id = choose(both);
    TEST_OK(obi_session_feed(both.plain, &id, 1));
    device->lost = true;
    TEST_OK(obi_session_feed(both.ahead, &id, 1)); /* it flew before */
    assert_false(both.ahead->ahead.flying);
    uint32_t position = both.ahead->position;
    TEST_OK(obi_session_sample(both.ahead, &id));
    assert_int_equal(obi_session_feed(both.ahead, &id, 1), OBI_ERROR_DEVICE_LOST);
    assert_int_equal(both.ahead->position, position);
    assert_int_equal(obi_session_sample(both.ahead, &id), OBI_ERROR_ARGUMENT);
    device->lost = false;
    feed_pair(both, story_ids, 2);
    check_pair(both);
    close_pair(both);
    test_device_check();
}

static void test_who_goes_ahead(void **state)
{
    (void)state;
    static const struct { obi_sampling sampling; bool on; } samplings[] = {
        { { .temperature = 0 }, true },
        { { .temperature = 1, .top_k = 1 }, true }, /* there is no other choice */
        { { .temperature = 1, .top_k = 40 }, false },
        { { .temperature = 1 }, false },
        { { .temperature = 0, .repeat_penalty = 1.1f }, false },
    };
    obi_session *session;
    for (size_t i = 0; i < sizeof samplings / sizeof *samplings; i++) {
        obi_session_desc desc = { .sampling = samplings[i].sampling, .ahead = 1 };
        TEST_OK(obi_session_create(stories, &desc, &session));
        assert_int_equal(session->ahead.on, samplings[i].on);
        obi_session_destroy(session);
    }
    static const struct { const char *text; int wish; bool software, on; } wishes[] = {
        { "", 0, true, false },  { "", 0, false, true },  { "1", 0, true, true },   { "0", 0, false, false },
        { "0", 1, false, true }, { "1", -1, true, false }, { "", 1, true, true }, { "yes", -1, false, false } };
    bool software = test_device()->caps.software, on;
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        test_device()->caps.software = wishes[i].software;
        setenv("ONEBIT_OVERLAP", wishes[i].text, 1);
        TEST_OK(obi_ahead_choose(test_device(), wishes[i].wish, &on));
        assert_int_equal(on, wishes[i].on);
    }
    test_device()->caps.software = software;
    setenv("ONEBIT_OVERLAP", "yes", 1);
    EXPECT_ARGUMENT(obi_session_create(stories, &(obi_session_desc){ .batch = 3 }, &session), "ONEBIT_OVERLAP", "yes");
    unsetenv("ONEBIT_OVERLAP");
    test_device_check();
}

/* What it takes is counted before anything is allocated. */
static void test_memory(void **state)
{
    (void)state;
    obi_device *device = test_device();
    obi_caps caps = device->caps;
    obi_session_desc desc = { .context = 512, .batch = 1, .kv_type = OBI_KV_F32, .ahead = 1 };
    obi_session *session;
    uint64_t used = device->memory.used_bytes;
    device->caps.unified = false;
    device->caps.heap_bytes = device->memory.reserved_bytes + (512 << 10);
    assert_int_equal(obi_session_create(stories, &desc, &session), OBI_ERROR_MEMORY);
    assert_int_equal(device->memory.used_bytes, used);
    const char *most = strstr(obi_last_error(), "at most ");
    if (!most) fail_msg("\"%s\"", obi_last_error());
    desc.context = (uint32_t)strtoul(most + 8, NULL, 10);
    TEST_OK(obi_session_create(stories, &desc, &session));
    obi_session_destroy(session);
    device->caps = caps;
    assert_int_equal(device->memory.used_bytes, used);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),   cmocka_unit_test(test_thrown_away),    cmocka_unit_test(test_timed),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_who_goes_ahead), cmocka_unit_test(test_memory),
    };
    return test_device_finish(cmocka_run_group_tests(tests, open_models, close_models));
}

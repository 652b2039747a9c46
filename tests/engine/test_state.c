/* test_state: a session whose device is lost goes on in another one as if nothing had been; saved bytes that lie under a right checksum
 * do no harm. */
#include "session_models.h"

#include "core/alloc.h"
#include "core/hash.h"
#include "engine/state.h"

enum { MADE = 24 };

typedef struct listener {
    uint32_t ids[MADE];
    uint32_t count, lose_at; /* the device is lost while this token is given out */
} listener;

static bool listen(const char *text, size_t bytes, uint32_t id, void *user)
{
    (void)text;
    (void)bytes;
    listener *own = user;
    assert_true(own->count < MADE);
    own->ids[own->count++] = id;
    if (own->count == own->lose_at) test_device()->lost = true;
    return true;
}

static obi_session *session_with(obi_sampling sampling, int ahead)
{
    obi_session_desc desc = { .context = 64, .batch = 16, .kv_type = OBI_KV_F32, .sampling = sampling, .ahead = ahead };
    obi_session *session;
    TEST_OK(obi_session_create(stories, &desc, &session));
    return session;
}

/* A fresh session in the place of the one that was lost. */
static obi_session *recovered(obi_session *session, obi_sampling sampling, int ahead)
{
    static uint8_t bytes[2048];
    size_t count;
    TEST_OK(obi_session_save(session, bytes, sizeof bytes, &count)); /* of what the host has */
    obi_session_destroy(session);
    test_device()->lost = false; /* as if it had been opened again */
    session = session_with(sampling, ahead);
    TEST_OK(obi_session_restore(session, bytes, count, false));
    return session;
}

static void test_lost_while_generating(void **state)
{
    (void)state;
    static const obi_sampling samplings[] = { { .temperature = 0 }, { .temperature = 0.9f, .top_k = 20, .seed = 7 },
                                              { .temperature = 1, .repeat_penalty = 1.1f, .seed = 8 } };
    for (size_t i = 0; i < 4; i++) {
        obi_sampling sampling = samplings[i % 3];
        int ahead = i < 3 ? -1 : 1;
        listener whole = { .count = 0 };
        obi_generate_desc desc = { .prompt = story_ids, .prompt_count = 20, .max_tokens = MADE, .on_text = listen, .user = &whole };
        obi_generate_result result;
        obi_session *session = session_with(sampling, ahead);
        TEST_OK(obi_generate(session, &desc, &result));
        obi_session_destroy(session);
        for (uint32_t lose_at = 1; lose_at < MADE; lose_at += 7) {
            listener parts = { .lose_at = lose_at };
            desc.user = &parts;
            session = session_with(sampling, ahead);
            /* Lost before anything: nothing was fed, and the prompt is to be given again. */
            test_device()->lost = true;
            assert_int_equal(obi_generate(session, &desc, &result), OBI_ERROR_DEVICE_LOST);
            assert_int_equal(result.prompt_tokens, 0);
            session = recovered(session, sampling, ahead);
            assert_int_equal(session->position, 0);
            assert_int_equal(obi_generate(session, &desc, &result), OBI_ERROR_DEVICE_LOST);
            assert_int_equal(result.prompt_tokens, 20);
            assert_in_range(result.tokens, lose_at, lose_at + 1); /* one more may have been on its way */
            session = recovered(session, sampling, ahead);
            obi_generate_desc rest = desc;
            rest.prompt_count = 0;
            rest.max_tokens = MADE - parts.count;
            TEST_OK(obi_generate(session, &rest, &result));
            assert_int_equal(parts.count, MADE);
            assert_memory_equal(parts.ids, whole.ids, sizeof whole.ids);
            obi_session_destroy(session);
        }
    }
    test_device_check();
}

/* Every word of a saved session replaced, and signed anew: refused, or a session that works. */
static void test_wrong_under_a_right_checksum(void **state)
{
    (void)state;
    static const uint32_t words[] = { 0, 1, 2, 15, 17, 33, 63, 64, 65, 511, 512, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fc00000, 0xbf800000 };
    obi_session *session = session_with((obi_sampling){ .temperature = 0 }, -1);
    uint32_t id;
    TEST_OK(obi_session_feed(session, story_ids, 9));
    TEST_OK(obi_session_rewind(session, 7));
    TEST_OK(obi_session_feed(session, story_ids, 1));
    TEST_OK(obi_session_sample(session, &id));
    size_t count;
    uint8_t bytes[512];
    TEST_OK(obi_session_save(session, bytes, sizeof bytes, &count));
    unsigned taken = 0;
    for (size_t at = 16; at + 8 < count; at += 4) {
        for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
            uint8_t *wrong = obi_calloc(count, 1); /* a sanitizer sees where it ends */
            assert_non_null(wrong);
            memcpy(wrong, bytes, count);
            for (int k = 0; k < 4; k++) wrong[at + (size_t)k] = (uint8_t)(words[w] >> 8 * k);
            uint64_t hash = obi_hash(wrong, count - 8, 0);
            for (int k = 0; k < 8; k++) wrong[count - 8 + (size_t)k] = (uint8_t)(hash >> 8 * k);
            obi_status status = obi_session_restore(session, wrong, count, w % 2);
            if (status == OBI_OK) taken++;
            else if (status != OBI_ERROR_DATA && status != OBI_ERROR_ARGUMENT) fail_msg("word %zu: %d, %s", at, (int)status, obi_last_error());
            obi_free(wrong);
        }
    }
    assert_true(taken > 50); /* ids, the seed, the state of the generator */
    TEST_OK(obi_session_restore(session, bytes, count, false));
    assert_int_equal(session->position, 8);
    obi_session_destroy(session);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_lost_while_generating), cmocka_unit_test(test_wrong_under_a_right_checksum) };
    return test_device_finish(cmocka_run_group_tests(tests, open_models, close_models));
}

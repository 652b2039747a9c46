/* test_save: a saved session goes on in another one, bit by bit as it would have; bytes that are damaged are refused. */
#include "api.h"

static ob_context *shared;
static ob_model *stories, *other;
enum { V = API_STORIES_VOCABULARY, LONG = 60, MORE = 12 };
static uint32_t prompt[LONG];

static int open_shared(void **state)
{
    if (scratch_open(state) != 0) return -1;
    shared = api_context();
    stories = api_model(shared, api_stories("stories.gguf"));
    other = api_model(shared, api_convert(NULL, API_STORIES, API_STORIES_TOKENIZER, OB_FORM_F16, "other.gguf"));
    for (uint32_t i = 0; i < LONG; i++) prompt[i] = i == 0 ? 1 : 259 + i * 37 % 250;
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    ob_model_destroy(other);
    ob_model_destroy(stories);
    ob_context_destroy(shared);
    api_remove_tree(scratch_directory);
    return 0;
}

typedef struct bytes { unsigned char data[4096]; size_t count; } bytes;

static bytes saved(const ob_session *session)
{
    bytes made, again;
    size_t count;
    memset(made.data, 0x5a, sizeof made.data);
    API_OK(ob_session_save(session, NULL, 0, &count));
    assert_true(count > 0 && count < sizeof made.data);
    API_FAILS(ob_session_save(session, made.data, count - 1, &made.count), OB_ERROR_ARGUMENT, "room");
    assert_int_equal(made.data[0], 0x5a);
    API_OK(ob_session_save(session, made.data, sizeof made.data, &made.count));
    assert_int_equal(made.count, count);
    assert_int_equal(made.data[count], 0x5a);
    API_OK(ob_session_save(session, again.data, count, &again.count));
    assert_memory_equal(made.data, again.data, count);
    return made;
}

static ob_session *session_of(ob_sampling sampling)
{
    ob_session *session;
    API_OK(ob_session_create(&session, stories, &(ob_session_desc){ .context = 128, .batch = 16, .sampling = sampling }));
    return session;
}

/* Both go on for some tokens, with the same logits and choices. */
static void expect_same(ob_session *one, ob_session *two)
{
    static float logits[2][V];
    assert_int_equal(ob_session_position(one), ob_session_position(two));
    for (int i = 0; i < MORE; i++) {
        uint32_t ids[2];
        API_OK(ob_session_logits(one, logits[0]));
        API_OK(ob_session_logits(two, logits[1]));
        assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
        API_OK(ob_session_sample(one, &ids[0]));
        API_OK(ob_session_sample(two, &ids[1]));
        assert_int_equal(ids[0], ids[1]);
        API_OK(ob_session_feed(one, &ids[0], 1));
        API_OK(ob_session_feed(two, &ids[0], 1));
    }
}

static const ob_sampling samplings[] = { { 0 }, { .temperature = 0.9f, .top_k = 20, .seed = 7 },
                                         { .temperature = 1, .top_p = 0.9f, .repeat_penalty = 1.1f, .seed = 8 } };
enum { SAMPLINGS = sizeof samplings / sizeof *samplings };

/* A life of batches, single tokens and rewinds into the middle of a batch: 16, 16 cut to 11, 5, 1, 3 cut to 1, ... */
static void live(ob_session *session)
{
    uint32_t ids[8];
    API_OK(ob_session_feed(session, prompt, 32));
    API_OK(ob_session_rewind(session, 27));
    API_OK(ob_session_feed(session, prompt + 27, 5));
    API_OK(api_generate(session, prompt + 32, 1, ids, 4));
    API_OK(ob_session_feed(session, prompt + 33, 3));
    API_OK(ob_session_rewind(session, 38));
    API_OK(api_generate(session, prompt + 34, 2, ids, 8));
}

static void test_goes_on(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLINGS; i++) {
        ob_session *session = session_of(samplings[i]), *fresh = session_of((ob_sampling){ .seed = 99, .temperature = (float)(i % 2) });
        live(session);
        bytes made = saved(session);
        API_OK(ob_session_feed(fresh, prompt, 3)); /* what it has goes */
        API_OK(ob_session_restore(fresh, made.data, made.count, 0));
        bytes copied = saved(fresh);
        assert_int_equal(copied.count, made.count);
        assert_memory_equal(copied.data, made.data, made.count);
        expect_same(session, fresh);
        ob_session_destroy(fresh);

        /* The fast way feeds the same tokens; the sums may be others. */
        API_OK(ob_session_create(&fresh, stories, &(ob_session_desc){ .context = 100 }));
        API_OK(ob_session_restore(fresh, made.data, made.count, OB_RESTORE_FAST));
        assert_int_equal(ob_session_position(fresh), 48);
        ob_session_destroy(fresh);
        ob_session_destroy(session);
    }
    /* Nothing fed, and a score. */
    ob_session *session = session_of(samplings[0]), *fresh = session_of(samplings[0]);
    bytes made = saved(session);
    API_OK(ob_session_feed(fresh, prompt, 3));
    API_OK(ob_session_restore(fresh, made.data, made.count, 0));
    assert_int_equal(ob_session_position(fresh), 0);
    static double nll[LONG];
    API_OK(ob_session_score(session, prompt, LONG, nll));
    made = saved(session);
    API_OK(ob_session_restore(fresh, made.data, made.count, 0));
    API_OK(ob_session_feed(session, prompt, 2));
    API_OK(ob_session_feed(fresh, prompt, 2));
    expect_same(session, fresh);
    ob_session_destroy(session);
    ob_session_destroy(fresh);
}

/* What was chosen and not fed yet comes again, without another draw. */
static void test_a_choice_on_the_way(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLINGS; i++) {
        uint32_t chosen, again;
        ob_session *session = session_of(samplings[i]), *fresh = session_of(samplings[i]);
        API_OK(ob_session_feed(session, prompt, LONG));
        API_OK(ob_session_sample(session, &chosen));
        bytes made = saved(session);
        API_OK(ob_session_restore(fresh, made.data, made.count, 0));
        made = saved(fresh); /* it is still on its way */
        API_OK(ob_session_restore(fresh, made.data, made.count, 0));
        API_OK(ob_session_sample(fresh, &again));
        assert_int_equal(again, chosen);
        API_OK(ob_session_feed(session, &chosen, 1));
        API_OK(ob_session_feed(fresh, &chosen, 1));
        expect_same(session, fresh);
        ob_session_destroy(session);
        ob_session_destroy(fresh);
    }
}

typedef struct listener { char text[2048]; size_t length; } listener;

static bool listen(const char *text, size_t count, uint32_t id, void *user)
{
    (void)id;
    listener *own = user;
    memcpy(own->text + own->length, text, count);
    own->length += count;
    return true;
}

/* A text that moves to another session after every few tokens is the text of one session. */
static void test_generated_text(void **state)
{
    (void)state;
    static const char *const never[] = { "qqqq", " thf" };
    for (int i = 0; i < SAMPLINGS; i++) {
        listener whole = { .length = 0 }, parts = { .length = 0 };
        ob_generate_desc desc = { .prompt = "Once", .prompt_bytes = 4, .max_tokens = 30, .ignore_eos = true, .on_text = listen,
                                  .stop = never, .stop_count = 2, .user = &whole };
        ob_session *session = session_of(samplings[i]);
        API_OK(ob_session_generate(session, &desc, NULL));
        ob_session_destroy(session);
        session = session_of(samplings[i]);
        desc.user = &parts;
        desc.max_tokens = 3;
        for (int part = 0; part < 10; part++, desc.prompt = NULL) {
            API_OK(ob_session_generate(session, &desc, NULL));
            bytes made = saved(session);
            ob_session_destroy(session);
            session = session_of((ob_sampling){ 0 });
            API_OK(ob_session_restore(session, made.data, made.count, 0));
        }
        ob_session_destroy(session);
        assert_int_equal(parts.length, whole.length);
        assert_memory_equal(parts.text, whole.text, whole.length);
    }
}

static void test_refused(void **state)
{
    (void)state;
    ob_session *session = session_of(samplings[1]), *fresh;
    live(session);
    bytes made = saved(session), wrong;
    /* Every byte counts, and every length. */
    for (size_t i = 0; i < made.count; i++) {
        wrong = made;
        wrong.data[i] ^= (unsigned char)(1u << i % 8);
        ob_status status = ob_session_restore(session, wrong.data, wrong.count, 0);
        if (status != OB_ERROR_DATA) fail_msg("byte %zu: %d, %s", i, (int)status, ob_last_error());
        if (ob_session_restore(session, made.data, i, 0) != OB_ERROR_DATA) fail_msg("%zu bytes", i);
    }
    API_FAILS(ob_session_restore(session, NULL, 0, 0), OB_ERROR_DATA, "not a saved session");
    API_FAILS(ob_session_restore(session, made.data, made.count + 1, 0), OB_ERROR_DATA, "checksum");
    bytes after = saved(session); /* nothing has changed */
    assert_memory_equal(after.data, made.data, made.count);

    API_OK(ob_session_create(&fresh, other, &(ob_session_desc){ .context = 128, .batch = 16 }));
    API_FAILS(ob_session_restore(fresh, made.data, made.count, 0), OB_ERROR_DATA, "another model");
    ob_session_destroy(fresh);
    static const ob_session_desc small[] = { { .context = 40, .batch = 16 }, { .context = 100, .batch = 16 }, { .context = 128, .batch = 4 },
                                             { .context = 128, .batch = 16, .cache_type = OB_CACHE_F16 } };
    for (int i = 0; i < 4; i++) {
        API_OK(ob_session_create(&fresh, stories, &small[i]));
        API_FAILS(ob_session_restore(fresh, made.data, made.count, 0), OB_ERROR_ARGUMENT, i ? "fast" : "room for 40");
        if (i == 0) API_FAILS(ob_session_restore(fresh, made.data, made.count, OB_RESTORE_FAST), OB_ERROR_ARGUMENT, "room for 40");
        ob_session_destroy(fresh);
    }
    /* Cancelled while it feeds: empty, and none the worse. */
    fresh = session_of(samplings[0]);
    ob_session_cancel(fresh);
    API_FAILS(ob_session_restore(fresh, made.data, made.count, 0), OB_ERROR_CANCELLED, "cancelled");
    assert_int_equal(ob_session_position(fresh), 0);
    API_OK(ob_session_restore(fresh, made.data, made.count, 0));
    expect_same(session, fresh);
    ob_session_destroy(fresh);
    ob_session_destroy(session);
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_goes_on), cmocka_unit_test(test_a_choice_on_the_way),
                                        cmocka_unit_test(test_generated_text), cmocka_unit_test(test_refused) };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}

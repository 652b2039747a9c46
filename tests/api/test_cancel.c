/* test_cancel: ob_session_cancel from another thread, before a call and during one; the session goes on as if nothing had been. */
#include "api.h"

static ob_context *shared;
static ob_model *stories;
enum { PROMPT = 200, MORE = 8, V = API_STORIES_VOCABULARY };
static uint32_t prompt[PROMPT];

static int open_shared(void **state)
{
    if (scratch_open(state) != 0) return -1;
    shared = api_context();
    stories = api_model(shared, api_stories("stories.gguf"));
    for (uint32_t i = 0; i < PROMPT; i++) prompt[i] = i == 0 ? 1 : 259 + i * 37 % 250;
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

/* Many submissions: a call of a tenth of a second and more. */
static ob_session *slow_session(void)
{
    ob_session *session;
    API_OK(ob_session_create(&session, stories, &(ob_session_desc){ .batch = 1 }));
    return session;
}

/* What follows a prompt that nobody cancels. */
static const uint32_t *undisturbed(void)
{
    static uint32_t ids[MORE];
    static bool known;
    if (known) return ids;
    ob_session *session = slow_session();
    API_OK(api_generate(session, prompt, PROMPT, ids, MORE));
    ob_session_destroy(session);
    known = true;
    return ids;
}

/* A thread that cancels after some time. */
typedef struct canceller {
    ob_session *sessions[2];
    long microseconds;
    pthread_barrier_t start;
} canceller;

static void *cancel_later(void *user)
{
    canceller *own = user;
    pthread_barrier_wait(&own->start);
    nanosleep(&(struct timespec){ .tv_nsec = own->microseconds * 1000 }, NULL);
    for (int i = 0; i < 2; i++)
        if (own->sessions[i]) ob_session_cancel(own->sessions[i]);
    return NULL;
}

static pthread_t start_canceller(canceller *own)
{
    pthread_t thread;
    assert_int_equal(pthread_barrier_init(&own->start, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, cancel_later, own), 0);
    pthread_barrier_wait(&own->start);
    return thread;
}

static void expect_undisturbed(ob_session *session, const uint32_t *begin, size_t count)
{
    uint32_t ids[MORE];
    API_OK(api_generate(session, begin, count, ids, MORE));
    assert_memory_equal(ids, undisturbed(), sizeof ids);
}

/* What one round calls, on sessions that are as they were at its beginning. */
typedef ob_status (*work)(ob_session *session, ob_session *teacher);

/* Calls while the other thread cancels. On a busy machine it may come too late for that call: then the next ends so. */
static void expect_cancelled(work call, ob_session *session, ob_session *teacher, ob_session *cancelled)
{
    enum { ROUNDS = 4 };
    unsigned late = 0;
    for (int round = 0; round < ROUNDS; round++) {
        canceller other = { .sessions = { cancelled }, .microseconds = 1000 * round };
        uint32_t position = ob_session_position(session);
        pthread_t thread = start_canceller(&other);
        ob_status status = call(session, teacher);
        pthread_join(thread, NULL);
        pthread_barrier_destroy(&other.start);
        if (status == OB_OK) {
            late++;
            API_OK(ob_session_rewind(session, position));
            status = call(session, teacher);
        }
        API_FAILS(status, OB_ERROR_CANCELLED, "cancelled");
    }
    assert_true(late < ROUNDS);
}

static ob_status feed_rest(ob_session *session, ob_session *teacher)
{
    (void)teacher;
    return ob_session_feed(session, prompt + 3, PROMPT - 3);
}

static void test_long_prompt(void **state)
{
    (void)state;
    ob_session *session = slow_session();
    API_OK(ob_session_feed(session, prompt, 3));
    expect_cancelled(feed_rest, session, NULL, session);
    assert_int_equal(ob_session_position(session), 3);
    expect_undisturbed(session, prompt + 3, PROMPT - 3);
    ob_session_destroy(session);
}

static double nll[PROMPT];
static ob_agreement agreements[PROMPT];

static ob_status score(ob_session *session, ob_session *teacher)
{
    (void)teacher;
    return ob_session_score(session, prompt, PROMPT, nll);
}

static ob_status agree(ob_session *session, ob_session *teacher)
{
    return ob_session_agree(session, teacher, prompt, PROMPT, agreements);
}

static void test_scoring(void **state)
{
    (void)state;
    static double before[PROMPT];
    ob_session *session = slow_session(), *teacher = slow_session();
    API_OK(score(session, NULL));
    memcpy(before, nll, sizeof nll);
    API_OK(ob_session_rewind(session, 0));
    expect_cancelled(score, session, NULL, session);
    assert_int_equal(ob_session_position(session), 0);
    API_OK(score(session, NULL));
    assert_memory_equal(nll, before, sizeof *nll * (PROMPT - 1));
    API_OK(ob_session_rewind(session, 0));
    expect_cancelled(agree, session, teacher, session); /* either of two ends what both work at */
    expect_cancelled(agree, session, teacher, teacher);
    API_OK(agree(session, teacher)); /* nothing is left over in either */
    ob_session_destroy(session);
    ob_session_destroy(teacher);
}

/* Asked for while nothing runs: the next call ends at once, once, and its logits stay what they were. */
static void test_between_calls(void **state)
{
    (void)state;
    ob_session *session = slow_session();
    uint32_t before, after;
    API_OK(ob_session_feed(session, prompt, PROMPT));
    API_OK(ob_session_sample(session, &before));
    for (int i = 0; i < 3; i++) ob_session_cancel(session); /* three are one */
    API_OK(ob_session_sample(session, &after)); /* no such call */
    API_FAILS(ob_session_feed(session, prompt, 0), OB_ERROR_ARGUMENT, "no token"); /* what is refused does not use it up */
    API_FAILS(ob_session_feed(session, prompt, 1), OB_ERROR_CANCELLED, "cancelled");
    assert_int_equal(ob_session_position(session), PROMPT);
    API_OK(ob_session_sample(session, &after));
    assert_int_equal(after, before);
    API_OK(ob_session_feed(session, &after, 1));
    ob_session_cancel(session);
    API_FAILS(ob_session_score(session, prompt, 3, nll), OB_ERROR_CANCELLED, "cancelled");
    ob_session_cancel(session); /* too late for a call that has ended: taken back */
    API_OK(ob_session_rewind(session, 0));
    expect_undisturbed(session, prompt, PROMPT);
    ob_session_destroy(session);
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_long_prompt), cmocka_unit_test(test_scoring),
                                        cmocka_unit_test(test_between_calls) };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}

/* test_quiet: the library speaks through the log callback and through nothing else: not a byte on stdout or stderr, whatever
 * succeeds or fails, and no callback once it was taken away. */
#include "api.h"

#include <fcntl.h>
#include <signal.h>

static char stories_path[1024];

static int open_shared(void **state)
{
    if (scratch_open(state) != 0) return -1;
    snprintf(stories_path, sizeof stories_path, "%s", api_stories("stories.gguf"));
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    api_remove_tree(scratch_directory);
    return 0;
}

/* ---- what is printed --------------------------------------------------------------------------------------------------- */

/* Runs `work` with both streams in a file; returns what came there, to be freed with free(). */
static char *printed_by(void (*work)(void), size_t *bytes)
{
    char path[1024];
    snprintf(path, sizeof path, "%s", scratch_path("printed"));
    fflush(stdout);
    fflush(stderr);
    int kept[2] = { dup(1), dup(2) }, file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    assert_true(kept[0] >= 0 && kept[1] >= 0 && file >= 0);
    dup2(file, 1);
    dup2(file, 2);
    work();
    fflush(stdout);
    fflush(stderr);
    dup2(kept[0], 1);
    dup2(kept[1], 2);
    close(kept[0]);
    close(kept[1]);
    close(file);
    char *text = (char *)api_read_file(path, bytes);
    unlink(path);
    return text;
}

static void expect_silence(void (*work)(void))
{
    size_t bytes;
    char *text = printed_by(work, &bytes);
    if (bytes > 0) fail_msg("%zu bytes were printed: %s", bytes, text);
    free(text);
}

static void print_words(void)
{
    fputs("a word", stdout);
    fputs(" and another", stderr);
}

static void test_printing_would_be_seen(void **state)
{
    (void)state;
    size_t bytes;
    free(printed_by(print_words, &bytes));
    assert_int_equal(bytes, 18);
}

/* A life that succeeds: devices listed, kernels tested, a model made, loaded, asked and let go. No cmocka in here: the first
 * failure is kept and looked at afterwards. */
static ob_status first_failure;
static const char *failed_at;

static void note(ob_status status, const char *what)
{
    if (status == OB_OK || first_failure != OB_OK) return;
    first_failure = status;
    failed_at = what;
}
#define NOTE(call) note((call), #call)

static void live_well(void)
{
    ob_device_info info;
    uint32_t count;
    ob_context *context = NULL;
    ob_model *model = NULL;
    ob_session *session = NULL;
    ob_quantize_report *report = NULL;
    char output[1024], cache[1024];
    snprintf(output, sizeof output, "%s/onebit.gguf", scratch_directory);
    snprintf(cache, sizeof cache, "%s/cache", scratch_directory);
    NOTE(ob_device_list(&info, 1, &count));
    NOTE(ob_context_create(&context, &(ob_context_desc){ .cache_dir = cache, .tier = 'A' }));
    if (!context) return;
    NOTE(ob_quantize(context, &(ob_quantize_desc){ .input = stories_path, .output = output }, &report));
    NOTE(ob_model_load(&model, context, &(ob_model_desc){ .path = output }));
    if (model) NOTE(ob_session_create(&session, model, &(ob_session_desc){ .context = 32, .sampling = { .temperature = 1, .seed = 1 } }));
    if (session) {
        uint32_t ids[16];
        double nll[16];
        size_t prompt = 0;
        NOTE(ob_model_tokenize(model, "Once upon a time", 16, OB_TOKENIZE_BOS, ids, 16, &prompt));
        ob_session_profile(session, true);
        NOTE(api_generate(session, ids, prompt, ids + prompt, 8));
        NOTE(ob_session_score(session, ids, prompt + 8, nll));
    }
    ob_session_destroy(session);
    ob_model_destroy(model);
    ob_quantize_report_free(report);
    ob_context_destroy(context);
}

/* Each call fails, in as many layers as can be reached. */
static unsigned succeeded;
static void must_fail(ob_status status) { succeeded += status == OB_OK; }

static bool refuse(double fraction, const char *what, void *user)
{
    (void)fraction;
    (void)what;
    (void)user;
    return false;
}

static void live_badly(void)
{
    ob_context *context = NULL, *none;
    ob_model *model = NULL;
    ob_session *session = NULL;
    uint32_t id = UINT32_MAX;
    size_t count;
    char output[1024];
    snprintf(output, sizeof output, "%s/never.gguf", scratch_directory);
    must_fail(ob_context_create(&none, &(ob_context_desc){ .device = "no such device", .cache_dir = "" }));
    must_fail(ob_context_create(&none, &(ob_context_desc){ .tier = 'Z', .cache_dir = "" }));
    note(ob_context_create(&context, &(ob_context_desc){ .cache_dir = stories_path, .tier = 'A' }), "a cache that cannot be");
    if (!context) return;
    static const char *const paths[] = { NULL, "", "/nowhere", "/", "/dev/null", stories_path };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        ob_progress_function progress = paths[i] == stories_path ? refuse : NULL;
        must_fail(ob_model_load(&model, context, &(ob_model_desc){ .path = paths[i], .progress = progress }));
        must_fail(ob_quantize(context, &(ob_quantize_desc){ .input = paths[i], .output = output, .progress = progress }, NULL));
    }
    note(ob_model_load(&model, context, &(ob_model_desc){ .path = stories_path }), "loading");
    if (model) {
        must_fail(ob_session_create(&session, model, &(ob_session_desc){ .context = UINT32_MAX }));
        note(ob_session_create(&session, model, &(ob_session_desc){ .context = 8 }), "a session");
    }
    if (session) {
        must_fail(ob_session_sample(session, &id));
        must_fail(ob_session_feed(session, &(uint32_t){ UINT32_MAX }, 1));
        must_fail(ob_session_rewind(session, 1));
        must_fail(ob_session_score(session, &id, 1, NULL));
        (void)ob_model_piece(model, -1, UINT32_MAX, NULL, 0);
        note(ob_model_tokenize(model, "\xff\xfe", 2, 0, &id, 1, &count), "any bytes");
    }
    ob_session_destroy(session);
    ob_model_destroy(model);
    ob_context_destroy(context);
}

static void test_nothing_is_printed(void **state)
{
    (void)state;
    ob_set_log(NULL, NULL);
    first_failure = OB_OK;
    expect_silence(live_well);
    if (first_failure != OB_OK) fail_msg("%s: %d", failed_at, (int)first_failure);
    expect_silence(live_badly);
    if (first_failure != OB_OK) fail_msg("%s: %d", failed_at, (int)first_failure);
    assert_int_equal(succeeded, 0);
}

/* No signal is handled, ignored or blocked by the library. */
static void test_signals_are_left_alone(void **state)
{
    (void)state;
    static const int signals[] = { SIGINT, SIGTERM, SIGPIPE, SIGHUP, SIGALRM, SIGUSR1, SIGCHLD };
    enum { COUNT = sizeof signals / sizeof *signals };
    struct sigaction before[COUNT], after;
    sigset_t mask_before, mask_after;
    for (int i = 0; i < COUNT; i++) sigaction(signals[i], NULL, &before[i]);
    sigprocmask(SIG_BLOCK, NULL, &mask_before);
    first_failure = OB_OK;
    live_well();
    assert_int_equal(first_failure, OB_OK);
    sigprocmask(SIG_BLOCK, NULL, &mask_after);
    for (int i = 0; i < COUNT; i++) {
        sigaction(signals[i], NULL, &after);
        assert_true(after.sa_handler == before[i].sa_handler);
        assert_int_equal(sigismember(&mask_after, signals[i]), sigismember(&mask_before, signals[i]));
    }
}

/* ---- the log ------------------------------------------------------------------------------------------------------------- */

/* A cache that cannot be written is worth a warning each time a context ends. */
static void provoke_a_message(void)
{
    ob_context *context;
    API_OK(ob_context_create(&context, &(ob_context_desc){ .cache_dir = stories_path, .tier = 'A' }));
    ob_context_destroy(context);
}

static void test_log(void **state)
{
    (void)state;
    api_log *log = api_log_start();
    provoke_a_message();
    assert_true(log->count[OB_LOG_WARNING] >= 1 && log->length > 20);
    assert_non_null(strstr(log->text, stories_path));

    ob_set_log(NULL, NULL); /* silence, though `user` is given */
    memset(log->count, 0, sizeof log->count);
    provoke_a_message();
    ob_set_log(NULL, log);
    provoke_a_message();
    for (int level = OB_LOG_ERROR; level <= OB_LOG_DEBUG; level++) assert_int_equal(log->count[level], 0);

    log = api_log_start(); /* and back */
    provoke_a_message();
    assert_true(log->count[OB_LOG_WARNING] >= 1);
    ob_set_log(NULL, NULL);
}

/* A callback may change the callback: it is called without a lock held. */
static unsigned heard;
static void hear_once(ob_log_level level, const char *message, void *user)
{
    (void)level;
    (void)message;
    (void)user;
    heard++;
    ob_set_log(NULL, NULL);
}

static void test_log_that_silences_itself(void **state)
{
    (void)state;
    ob_set_log(hear_once, NULL);
    provoke_a_message();
    provoke_a_message();
    assert_int_equal(heard, 1);
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printing_would_be_seen),   cmocka_unit_test(test_nothing_is_printed),
        cmocka_unit_test(test_signals_are_left_alone),   cmocka_unit_test(test_log),
        cmocka_unit_test(test_log_that_silences_itself),
    };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}

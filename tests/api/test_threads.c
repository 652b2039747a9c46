/* test_threads: what onebit.h calls thread-safe, done by threads at once. Under ThreadSanitizer (preset tsan) a race in
 * our code fails the program; without it wrong ids and crashes do. */
#include "threads.h"

#include <stdatomic.h>

static ob_context *shared;
static ob_model *stories;
static char stories_path[1024];

static int open_shared(void **state)
{
    if (scratch_open(state) != 0) return -1;
    snprintf(stories_path, sizeof stories_path, "%s", api_stories("stories.gguf"));
    shared = api_context();
    stories = api_model(shared, stories_path);
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

static ob_status open_and_generate(job *own)
{
    ob_status status = ob_context_create(&own->context, &(ob_context_desc){ .cache_dir = own->cache_dir, .skip_selftest = true });
    if (status == OB_OK) status = ob_model_load(&own->model, own->context, &(ob_model_desc){ .path = stories_path });
    if (status == OB_OK) status = generate(own);
    ob_model_destroy(own->model);
    ob_context_destroy(own->context);
    own->model = NULL;
    own->context = NULL;
    return status;
}

static const job prompts[4] = {
    { .work = generate, .text = "Once upon a time" },
    { .work = generate, .text = "Lily had a red ball", .sampling = { .temperature = 0.9f, .top_k = 20, .seed = 7 } },
    { .work = generate, .text = "The dog", .sampling = { .temperature = 1, .top_p = 0.9f, .repeat_penalty = 1.1f, .seed = 8 } },
    { .work = generate,
      .text = "Tom and his mom went to the park to play with the big dog",
      .sampling = { .temperature = 0.5f, .seed = 9 } },
};

/* What each of the prompts gives when nothing else runs. */
static const job *alone(void)
{
    static job jobs[4];
    if (!jobs[0].model) {
        memcpy(jobs, prompts, sizeof jobs);
        for (int i = 0; i < 4; i++) {
            jobs[i].model = stories;
            API_OK(generate(&jobs[i]));
        }
        assert_int_not_equal(memcmp(jobs[0].ids, jobs[1].ids, sizeof jobs[0].ids), 0);
    }
    return jobs;
}

static void expect_same_ids(const job *jobs, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < IDS; k++)
            if (jobs[i].ids[k] != alone()[i].ids[k])
                fail_msg("\"%s\": id %u is %u, alone %u", jobs[i].text, k, jobs[i].ids[k], alone()[i].ids[k]);
}

static void test_sessions_of_one_model(void **state)
{
    (void)state;
    alone();
    for (int round = 0; round < 2; round++) {
        job jobs[4];
        memcpy(jobs, prompts, sizeof jobs);
        for (int i = 0; i < 4; i++) jobs[i].model = stories;
        run_jobs(jobs, 4);
        expect_same_ids(jobs, 4);
    }
}

/* Pipelines are compiled by whoever comes first; here all come first. */
static void test_sessions_of_a_fresh_context(void **state)
{
    (void)state;
    alone();
    ob_context *context = api_context();
    ob_model *model = api_model(context, stories_path);
    job jobs[2];
    memcpy(jobs, prompts, sizeof jobs);
    for (int i = 0; i < 2; i++) jobs[i].model = model;
    run_jobs(jobs, 2);
    expect_same_ids(jobs, 2);
    ob_model_destroy(model);
    ob_context_destroy(context);
}

/* Two contexts open, run and close side by side, with one cache directory between them. */
static void test_contexts_at_once(void **state)
{
    (void)state;
    alone();
    char cache[1024];
    snprintf(cache, sizeof cache, "%s", scratch_path("cache"));
    api_log *log = api_log_start();
    for (int round = 0; round < 2; round++) {
        job jobs[2];
        memcpy(jobs, prompts, sizeof jobs);
        for (int i = 0; i < 2; i++) {
            jobs[i].work = open_and_generate;
            jobs[i].cache_dir = cache;
        }
        run_jobs(jobs, 2);
        expect_same_ids(jobs, 2);
    }
    ob_set_log(NULL, NULL);
    api_log_expect_calm(log);
    assert_int_equal(api_entries(cache), 1); /* the pipelines, and no temporary file */
    api_remove_tree(cache);
}

static ob_status open_and_close(job *own)
{
    ob_status status = OB_OK;
    for (int i = 0; i < 4 && status == OB_OK; i++) {
        ob_device_info info;
        uint32_t count;
        ob_context *context = NULL;
        if (own->number % 2) status = ob_device_list(&info, 1, &count);
        else status = ob_context_create(&context, &(ob_context_desc){ .cache_dir = "", .skip_selftest = true });
        if (context) status = ob_context_info(context, &info);
        ob_context_destroy(context);
    }
    return status;
}

static void test_contexts_come_and_go(void **state)
{
    (void)state;
    job jobs[4] = { { .work = open_and_close }, { .work = open_and_close }, { .work = open_and_close }, { .work = open_and_close } };
    run_jobs(jobs, 4);
}

static ob_status load_and_drop(job *own)
{
    ob_status status = OB_OK;
    for (int i = 0; i < 3 && status == OB_OK; i++) {
        ob_model *model = NULL;
        ob_session *session = NULL;
        ob_model_info info;
        status = ob_model_load(&model, own->context, &(ob_model_desc){ .path = stories_path });
        if (status == OB_OK) status = ob_model_info_get(model, &info);
        if (status == OB_OK) status = ob_session_create(&session, model, &(ob_session_desc){ .context = 16 });
        ob_session_destroy(session);
        ob_model_destroy(model);
    }
    return status;
}

/* One thread loads and frees models while another generates on the same device. */
static void test_loading_beside_generating(void **state)
{
    (void)state;
    alone();
    job jobs[3];
    memcpy(jobs, prompts, sizeof jobs);
    jobs[0].model = jobs[1].model = stories;
    jobs[2] = (job){ .work = load_and_drop, .context = shared };
    run_jobs(jobs, 3);
    expect_same_ids(jobs, 2);
}

/* ---- the log: set by some threads while others speak ------------------------------------------------------------------ */

static char listener_a, listener_b; /* each belongs to one of the functions below */
static pthread_mutex_t heard_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned heard, mixed_up;
static atomic_int speakers; /* threads that still make messages */

static void hear(bool own)
{
    pthread_mutex_lock(&heard_lock);
    heard++;
    mixed_up += !own;
    pthread_mutex_unlock(&heard_lock);
}

static void on_message_a(ob_log_level level, const char *message, void *user)
{
    (void)level;
    hear(message[0] && user == &listener_a);
}

static void on_message_b(ob_log_level level, const char *message, void *user)
{
    (void)level;
    hear(message[0] && user == &listener_b);
}

static ob_status set_logs(job *own)
{
    (void)own;
    for (int i = 0; atomic_load(&speakers) > 0; i++) {
        if (i % 3 == 0) ob_set_log(on_message_a, &listener_a);
        else if (i % 3 == 1) ob_set_log(on_message_b, &listener_b);
        else ob_set_log(NULL, NULL);
    }
    ob_set_log(on_message_a, &listener_a);
    return OB_OK;
}

/* Each context says that the pipelines' file, put here by the test, is damaged. */
static ob_status make_messages(job *own)
{
    ob_status status = OB_OK;
    for (int i = 0; i < 3 && status == OB_OK; i++) {
        ob_context *context = NULL;
        status = ob_context_create(&context, &(ob_context_desc){ .cache_dir = own->cache_dir, .skip_selftest = true });
        ob_context_destroy(context);
    }
    atomic_fetch_sub(&speakers, 1);
    return status;
}

static void test_log_set_while_others_speak(void **state)
{
    (void)state;
    char cache[1024];
    snprintf(cache, sizeof cache, "%s", scratch_path("cache"));
    job first = prompts[0];
    first.cache_dir = cache;
    API_OK(open_and_generate(&first)); /* makes the file */
    DIR *directory = opendir(cache);
    assert_non_null(directory);
    char file[2048] = "";
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        if (entry->d_name[0] == 'p') snprintf(file, sizeof file, "%s/%s", cache, entry->d_name);
    closedir(directory);
    api_write_file(file, "damaged", 7);

    heard = mixed_up = 0;
    atomic_store(&speakers, 2);
    ob_set_log(on_message_a, &listener_a);
    job jobs[4] = { { .work = make_messages, .cache_dir = cache },
                    { .work = make_messages, .cache_dir = cache },
                    { .work = set_logs },
                    { .work = set_logs } };
    run_jobs(jobs, 4);
    API_OK(make_messages(&jobs[0]));
    ob_set_log(NULL, NULL);
    assert_true(heard >= 3);
    assert_int_equal(mixed_up, 0);
    api_remove_tree(cache);
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions_of_one_model),     cmocka_unit_test(test_sessions_of_a_fresh_context),
        cmocka_unit_test(test_contexts_at_once),          cmocka_unit_test(test_contexts_come_and_go),
        cmocka_unit_test(test_loading_beside_generating), cmocka_unit_test(test_log_set_while_others_speak),
    };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}

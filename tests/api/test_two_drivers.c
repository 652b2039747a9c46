/* test_two_drivers: one process, two contexts on two drivers at the same time, eight sessions from eight threads; and eight on one
 * model. Each generates what it does when nothing else runs. Under ThreadSanitizer (preset tsan) a race in our code fails the
 * program. It needs lavapipe and SwiftShader in VK_ICD_FILENAMES. */
#include "threads.h"

enum { DRIVERS = 2, SESSIONS = 8 };

static const char *const drivers[DRIVERS] = { "llvmpipe", "SwiftShader" };
static char stories_path[1024];
static ob_context *contexts[DRIVERS];
static ob_model *models[DRIVERS];

static const job prompts[SESSIONS] = {
    { .work = generate, .text = "Once upon a time" },
    { .work = generate, .text = "Lily had a red ball", .sampling = { .temperature = 0.9f, .top_k = 20, .seed = 7 } },
    { .work = generate, .text = "The dog", .sampling = { .temperature = 1, .top_p = 0.9f, .repeat_penalty = 1.1f, .seed = 8 } },
    { .work = generate, .text = "Tom and his mom went to the park to play with the big dog", .sampling = { .temperature = 0.5f, .seed = 9 } },
    { .work = generate, .text = "One day a cat" },
    { .work = generate, .text = "Ben saw a big tree", .sampling = { .temperature = 0.8f, .min_p = 0.05f, .seed = 10 } },
    { .work = generate, .text = "It was" , .sampling = { .temperature = 1.2f, .seed = 11 } },
    { .work = generate, .text = "The sun was hot and the little girl was sad", .sampling = { .repeat_penalty = 1.2f } },
};

/* What each gives alone, on each driver. */
static uint32_t alone[DRIVERS][SESSIONS][IDS];

static int open_all(void **state)
{
    ob_device_info infos[8];
    uint32_t count = 0;
    if (scratch_open(state) != 0) return -1;
    snprintf(stories_path, sizeof stories_path, "%s", api_stories("stories.gguf"));
    API_OK(ob_device_list(infos, 8, &count));
    for (int d = 0; d < DRIVERS; d++) {
        bool found = false;
        for (uint32_t i = 0; i < count && i < 8; i++) found |= strstr(infos[i].name, drivers[d]) != NULL;
        if (!found) fail_msg("there is no device of the driver %s among the %u here; this test needs two drivers", drivers[d], count);
        API_OK(ob_context_create(&contexts[d], &(ob_context_desc){ .device = drivers[d], .cache_dir = "", .skip_selftest = true }));
        models[d] = api_model(contexts[d], stories_path);
        for (int s = 0; s < SESSIONS; s++) {
            job own = prompts[s];
            own.model = models[d];
            API_OK(generate(&own));
            memcpy(alone[d][s], own.ids, sizeof own.ids);
        }
        ob_model_destroy(models[d]);
        ob_context_destroy(contexts[d]);
    }
    assert_int_not_equal(memcmp(alone[0][0], alone[0][1], sizeof alone[0][0]), 0);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    api_remove_tree(scratch_directory);
    return 0;
}

static ob_status open_context(job *own)
{
    ob_status status = ob_context_create(&contexts[own->number], &(ob_context_desc){ .device = drivers[own->number], .cache_dir = "",
                                                                                     .skip_selftest = true });
    if (status == OB_OK) status = ob_model_load(&models[own->number], contexts[own->number], &(ob_model_desc){ .path = stories_path });
    return status;
}

static ob_status close_context(job *own)
{
    ob_model_destroy(models[own->number]);
    ob_context_destroy(contexts[own->number]);
    return OB_OK;
}

static void expect_as_alone(const job *jobs, const int *driver, const int *prompt)
{
    for (int s = 0; s < SESSIONS; s++)
        for (int k = 0; k < IDS; k++)
            if (jobs[s].ids[k] != alone[driver[s]][prompt[s]][k])
                fail_msg("%s, \"%s\": id %d is %u, alone %u", drivers[driver[s]], jobs[s].text, k, jobs[s].ids[k],
                         alone[driver[s]][prompt[s]][k]);
}

/* Four sessions on each driver; the contexts, too, are opened and closed at once. */
static void test_two_drivers_at_once(void **state)
{
    (void)state;
    job both[DRIVERS] = { { .work = open_context }, { .work = open_context } }, jobs[SESSIONS];
    int driver[SESSIONS], prompt[SESSIONS];
    run_jobs(both, DRIVERS);
    for (int s = 0; s < SESSIONS; s++) {
        driver[s] = s % DRIVERS;
        prompt[s] = s;
        jobs[s] = prompts[s];
        jobs[s].model = models[driver[s]];
    }
    run_jobs(jobs, SESSIONS);
    expect_as_alone(jobs, driver, prompt);
    for (int d = 0; d < DRIVERS; d++) both[d].work = close_context;
    run_jobs(both, DRIVERS);
}

static void test_eight_sessions_on_one_model(void **state)
{
    (void)state;
    job one = { .work = open_context }, jobs[SESSIONS];
    int driver[SESSIONS] = { 0 }, prompt[SESSIONS];
    run_jobs(&one, 1);
    for (int s = 0; s < SESSIONS; s++) {
        prompt[s] = s;
        jobs[s] = prompts[s];
        jobs[s].model = models[0];
    }
    run_jobs(jobs, SESSIONS);
    expect_as_alone(jobs, driver, prompt);
    one.work = close_context;
    run_jobs(&one, 1);
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_drivers_at_once),
        cmocka_unit_test(test_eight_sessions_on_one_model),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

/* test_frame: generation inside a renderer's frames: a step waits for nothing and compiles nothing, a token spans several frames, and the
 * text is the one of ob_session_feed. */
#include "host.h"

#include <time.h>

#define IDS 12
#define FRAMES_MAX 20000
static const char model_path[] = OB_SOURCE_DIR "/models/stories-onebit.gguf";

typedef struct scene {
    host own;
    ob_context *context;
    ob_model *model;
    uint32_t prompt[64];
    size_t count;
} scene;

static void scene_open(scene *all)
{
    const char *text = "Lily and her cat went to the park. They saw a big dog and";
    host_make_instance(&all->own, VK_API_VERSION_1_2);
    host_make_device(&all->own, false);
    ob_vulkan_desc vulkan = host_desc(&all->own);
    API_OK(ob_context_create_vulkan(&all->context, &(ob_context_desc){ .cache_dir = scratch_directory, .skip_selftest = true }, &vulkan));
    API_OK(ob_model_load(&all->model, all->context, &(ob_model_desc){ .path = model_path }));
    API_OK(ob_model_tokenize(all->model, text, strlen(text), OB_TOKENIZE_BOS, all->prompt, 64, &all->count));
}

static void scene_close(scene *all)
{
    ob_model_destroy(all->model);
    ob_context_destroy(all->context);
    host_destroy(&all->own);
}

/* A frame of the host's own on the same queue, by which the test passes the time. */
static void render(host *own)
{
    VkSubmitInfo nothing = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO };
    host_lock(own);
    HOST_VK(vkQueueSubmit(own->queue, 1, &nothing, VK_NULL_HANDLE));
    host_unlock(own);
    nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

static void test_frames(void **state)
{
    (void)state;
    scene all;
    scene_open(&all);
    uint32_t want[IDS], got[IDS];
    ob_session *session;
    /* The first session of the device: whatever pipelines there are, this one made them. */
    const ob_session_desc desc = { .context = 128, .batch = 1, .stepped = true }; /* token by token there is one way to add up */
    API_OK(ob_session_create(&session, all.model, &desc));
    unsigned waits = host_waits, pipelines = host_pipelines, frames = 0, tokens = 0, busy = 0, timed = 0;
    API_OK(ob_session_push(session, all.prompt, all.count));
    while (tokens < IDS && frames++ < FRAMES_MAX) {
        ob_step step;
        unsigned submits = host_submits;
        render(&all.own);
        API_OK(ob_session_step(session, 100, &step));
        assert_true(host_submits - submits <= 1);
        busy += step.state == OB_STEP_BUSY;
        timed += step.device_seconds > 0;
        if (step.state == OB_STEP_TOKEN) got[tokens++] = step.id;
    }
    assert_int_equal(tokens, IDS);
    assert_int_equal(host_waits, waits);
    assert_int_equal(host_pipelines, pipelines);
    assert_true(busy > IDS && timed > IDS);
    assert_int_equal(ob_session_position(session), all.count + IDS - 1);
    ob_session_destroy(session); /* with a piece at work: this waits */
    assert_true(host_waits > waits);

    API_OK(ob_session_create(&session, all.model, &desc));
    API_OK(ob_session_feed(session, all.prompt, all.count));
    for (int i = 0; i < IDS; i++) {
        API_OK(ob_session_sample(session, &want[i]));
        API_OK(ob_session_feed(session, &want[i], 1));
    }
    ob_session_destroy(session);
    assert_memory_equal(got, want, sizeof want);
    scene_close(&all);
}

/* The cache directory is in there. */
static int close_scratch(void **state)
{
    (void)state;
    api_remove_tree(scratch_directory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_frames) };
    return cmocka_run_group_tests(tests, scratch_open, close_scratch);
}

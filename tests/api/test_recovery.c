/* test_recovery: onebit-run-vk when the device is lost: the same text, nothing twice; and when it is lost again and again. And when the
 * device has no memory for a session. */
#include "program.h"

/* The program with call number `call` of a Vulkan command failing; how: "lasting" or "". */
static program *run_failing(const char *command, unsigned call, int error, const char *how, const char *const *argv)
{
    static char plan[64], layer[1024], folder[1024], libraries[1024];
    snprintf(plan, sizeof plan, "FAULTS_PLAN=%s %u %d %s", command, call, error, how);
    snprintf(layer, sizeof layer, "FAULTS_LAYER=%s", OB_FAULTS_LAYER);
    snprintf(libraries, sizeof libraries, "LD_LIBRARY_PATH=%s", OB_FAULTS_FOLDER); /* LD_PRELOAD would end a path at a space */
    snprintf(folder, sizeof folder, "VK_ADD_LAYER_PATH=%s", OB_FAULTS_FOLDER);
    const char *const set[] = { plan, layer, "LD_PRELOAD=" OB_FAULTS_PRELOAD, libraries, folder, "VK_INSTANCE_LAYERS=VK_LAYER_onebit_faults",
                                "NODEVICE_SELECT=1", NULL };
    return program_run_with(argv, set, NULL);
}

static program *run_losing(unsigned call, const char *how, const char *const *argv)
{
    return run_failing("vkQueueSubmit", call, -4, how, argv);
}

static void test_same_text(void **state)
{
    (void)state;
    const char *const ways[][12] = {
        { "onebit-run-vk", "-m", program_model(), "-p", "Once upon a time", "-n", "24", "-s", "7", NULL },
        { "onebit-run-vk", "-m", program_model(), "-p", "Once upon a time", "-n", "24", "--temp", "0", "--ids", NULL },
        { "onebit-run-vk", "-m", program_model(), "-p", "Once upon a time", "-n", "0", "--ids", NULL },
    };
    static const unsigned calls[] = { 1, 8, 20 };
    static char expected[1 << 16];
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        const program *run = program_run_with(ways[way], NULL, NULL); /* the first also finds out what the device is like */
        program_expect_success(run);
        memcpy(expected, run->out, sizeof expected);
        unsigned lost = 0;
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
            run = run_losing(calls[i], "", ways[way]);
            program_expect_success(run);
            assert_string_equal(run->out, expected);
            lost += strstr(run->err, "try 1 of 3") != NULL;
            assert_null(strstr(run->err, "try 2 of 3"));
        }
        assert_true(lost >= (way < 2 ? 3u : 1u)); /* the short ones have no twentieth */
    }
}

static void test_lost_for_good(void **state)
{
    (void)state;
    const char *const argv[] = { "onebit-run-vk", "-m", program_model(), "-p", "Once upon a time", "-n", "24", "-s", "7", NULL };
    const program *run = run_losing(12, "lasting", argv);
    if (run->code != 6) fail_msg("exit code %d; stderr: %s", run->code, run->err);
    assert_int_equal(program_occurrences(run->err, " of 3"), 3);
    assert_int_equal(program_occurrences(run->err, ": error: "), 1);
}

#define RUN "onebit-run-vk", "-m", program_model(), "-p", "Once upon a time", "-n", "4", "--temp", "0"

static void test_no_memory(void **state)
{
    (void)state;
    const char *const free[] = { RUN, NULL };
    const char *const some[] = { RUN, "-c", "64", NULL };
    const char *const none[] = { RUN, "-c", "64", "-b", "8", NULL };
    unsigned call = 32; /* of the buffers, some of which are the model's */
    const program *run;
    do {
        call += 8;
        run = run_failing("vkCreateBuffer", call, -2, "", free);
    } while (run->code != 0 && call < 200);
    program_expect_success(run);
    assert_non_null(strstr(run->err, "trying it with half of the context and of the batch"));
    assert_string_equal(run->out, "Once upon a time, there was a\n");
    run = run_failing("vkCreateBuffer", call, -2, "", some);
    program_expect_success(run);
    assert_non_null(strstr(run->err, "trying it with half of the batch"));
    program_expect_failure(run_failing("vkCreateBuffer", call, -2, "", none), 4, "out of device memory"); /* all of it was asked for */
    run = run_failing("vkCreateBuffer", call, -2, "lasting", free);
    program_expect_failure(run, 4, "out of device memory");
    assert_int_equal(program_occurrences(run->err, "half of the context"), 1); /* once */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_text), cmocka_unit_test(test_lost_for_good),
                                        cmocka_unit_test(test_no_memory) };
    return cmocka_run_group_tests(tests, scratch_open, program_scratch_remove);
}

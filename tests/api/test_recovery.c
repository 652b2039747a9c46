/* test_recovery: onebit-run-vk when the device is lost: the same text, nothing twice; and when it is lost again and again. */
#include "program.h"

/* The program with its submission number `call` failing as if the device were lost; 0: none fails. */
static program *run_losing(unsigned call, const char *how, const char *const *argv)
{
    static char plan[64], layer[1024], preload[1024], folder[1024];
    snprintf(plan, sizeof plan, "FAULTS_PLAN=vkQueueSubmit %u -4 %s", call, how);
    snprintf(layer, sizeof layer, "FAULTS_LAYER=%s", OB_FAULTS_LAYER);
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", OB_FAULTS_PRELOAD);
    snprintf(folder, sizeof folder, "VK_ADD_LAYER_PATH=%s", OB_FAULTS_FOLDER);
    const char *const set[] = { plan, layer, preload, folder, "VK_INSTANCE_LAYERS=VK_LAYER_onebit_faults", "NODEVICE_SELECT=1", NULL };
    return program_run_with(argv, set, NULL);
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

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_text), cmocka_unit_test(test_lost_for_good) };
    return cmocka_run_group_tests(tests, scratch_open, program_scratch_remove);
}

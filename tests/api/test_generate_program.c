/* test_generate_program: `onebit-train-vk --stage generate` as a user has it: killed at any moment and started again it ends
 * with the same files, and it says what is wrong with its keys. */
#include "program.h"

static char directory[1024];

static int open_scratch(void **state)
{
    if (scratch_open(state) != 0) return -1;
    snprintf(directory, sizeof directory, "%s", scratch_path("texts"));
    return 0;
}

static program *start(const char *key, const char *value)
{
    const char *argv[] = { "onebit-train-vk",
                           "--stage",
                           "generate",
                           "--teacher_model_name_or_path",
                           test_data_path("models/stories260K/stories260K.bin"),
                           "--tokenizer_name_or_path",
                           test_data_path("models/stories260K/tok512.bin"),
                           "--output_dir",
                           directory,
                           "--num_samples",
                           "40",
                           "--per_device_train_batch_size",
                           "2",
                           "--cutoff_len",
                           "64",
                           key,
                           value,
                           NULL };
    return program_start_with(argv, NULL, NULL, -1);
}

static const char *path_in(const char *name)
{
    static char paths[4][1200];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void remove_run(void) { assert_int_equal(nftw(directory, program_remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0); }

/* Waits until the record has grown beyond `bytes`. */
static void wait_for_samples(off_t bytes)
{
    struct stat info;
    for (int i = 0; i < 3000; i++, program_sleep(10))
        if (stat(path_in("samples.jsonl"), &info) == 0 && info.st_size > bytes) return;
    fail_msg("the record does not grow");
}

static void test_killed_runs(void **state)
{
    (void)state;
    size_t text_bytes, again_bytes;
    program *run = start("--seed", "5");
    program_wait(run);
    if (run->code != 0) fail_msg("%s", run->err);
    assert_non_null(strstr(run->err, "sample 40/40"));
    uint8_t *text = program_file(path_in("generated.txt"), &text_bytes);
    text[text_bytes] = 0; /* there is room for it */
    assert_int_equal(program_occurrences((const char *)text, "<|endoftext|>\n"), 40);
    remove_run();
    off_t kept = 0;
    for (int i = 0; i < 2; i++) {
        struct stat info;
        run = start("--seed", "5");
        wait_for_samples(kept);
        kill(run->pid, SIGKILL);
        program_wait(run);
        assert_true(run->code == 128 + SIGKILL || run->code == 0); /* it may have been done already */
        assert_int_equal(stat(path_in("samples.jsonl"), &info), 0);
        kept = info.st_size;
    }
    run = start("--seed", "5");
    program_wait(run);
    if (run->code != 0) fail_msg("%s", run->err);
    uint8_t *again = program_file(path_in("generated.txt"), &again_bytes);
    assert_int_equal(again_bytes, text_bytes);
    assert_memory_equal(again, text, text_bytes);
    free(text);
    free(again);
    /* Nothing is left to do; other settings are refused. */
    run = start("--seed", "5");
    program_wait(run);
    assert_int_equal(run->code, 0);
    run = start("--seed", "6");
    program_wait(run);
    assert_int_equal(run->code, 2);
    assert_non_null(strstr(run->err, "other settings"));
    run = start("--greedy_tokens_min", "6");
    program_wait(run);
    assert_int_equal(run->code, 2);
    assert_non_null(strstr(run->err, "greedy_tokens_min: 6 is more than greedy_tokens_max, 5"));
    remove_run();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_killed_runs) };
    return cmocka_run_group_tests(tests, open_scratch, scratch_close);
}

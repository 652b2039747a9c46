/* test_train_program: onebit-train-vk as a user has it: its lines, signals, exit codes, and what it leaves in a directory. What
 * training computes is shown by tests/engine/test_train.c. */
#include "program.h"

#include <dirent.h>

#define WAITS 12000 /* of 10 ms: a busy machine takes its time */

static char directory[1024], text_path[1024];
static program *running; /* the last one started */

static int open_texts(void **state)
{
    if (scratch_open(state) != 0) return -1;
    size_t bytes;
    uint8_t *text = program_file(test_data_path("text/tinystories_train_v1.txt"), &bytes);
    snprintf(text_path, sizeof text_path, "%s", program_write_file("text.txt", text, 32768));
    snprintf(directory, sizeof directory, "%s", scratch_path("run"));
    free(text);
    return 0;
}

/* A new model from nothing; `steps` and further words up to a NULL. */
static program *start(const char *steps, const char *const *more)
{
    const char *argv[64] = { "onebit-train-vk",
                             "--stage",
                             "pretrain",
                             "--tokenizer_name_or_path",
                             test_data_path("models/stories260K/tok512.bin"),
                             "--dataset",
                             text_path,
                             "--output_dir",
                             directory,
                             "--hidden_size",
                             "32",
                             "--intermediate_size",
                             "64",
                             "--num_hidden_layers",
                             "1",
                             "--num_attention_heads",
                             "2",
                             "--num_key_value_heads",
                             "2",
                             "--max_position_embeddings",
                             "64",
                             "--cutoff_len",
                             "64",
                             "--per_device_train_batch_size",
                             "2",
                             "--logging_steps",
                             "1",
                             "--max_steps",
                             steps };
    size_t count = 0;
    while (argv[count]) count++;
    for (; *more; more++) argv[count++] = *more;
    return running = program_start_with(argv, NULL, NULL, -1);
}

#define WORDS(...)                                                                                                                         \
    (const char *const[]) { __VA_ARGS__, NULL }
#define NO_WORDS                                                                                                                           \
    (const char *const[]) { NULL }

static const char *path_in(const char *name)
{
    static char path[1200];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void remove_run(void)
{
    if (access(directory, F_OK) == 0) assert_int_equal(nftw(directory, program_remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Waits until the log has `lines` lines. */
static void wait_for_steps(size_t lines)
{
    for (int i = 0; i < WAITS; i++, program_sleep(10)) {
        size_t count = 0;
        FILE *log = fopen(path_in("log.jsonl"), "r");
        for (int c; log && (c = fgetc(log)) != EOF;) count += c == '\n';
        if (log) fclose(log);
        if (count >= lines) return;
    }
    if (running) kill(running->pid, SIGKILL);
    fail_msg("there are not %zu steps in two minutes", lines);
}

static size_t count_files(const char *prefix)
{
    size_t count = 0;
    DIR *entries = opendir(directory);
    for (struct dirent *entry; entries && (entry = readdir(entries));) count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    if (entries) closedir(entries);
    return count;
}

static void test_whole_run(void **state)
{
    (void)state;
    program *run = start("3", WORDS("--eval_dataset", text_path));
    program_wait(run);
    program_expect_success(run);
    static const char *const words[] = { "step 3/3", "loss ", "lr ", "grad ", "tokens/s", "MiB", "held-out loss", "best so far" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strstr(run->err, words[i])) fail_msg("no '%s' in: %s", words[i], run->err);
    assert_null(strchr(run->err, '\r')); /* no terminal: plain lines */
    assert_null(strstr(run->err, "flips"));
    static const char *const files[] = { "model.gguf", "best.gguf", "log.jsonl", "loss.svg", "resolved.yaml", "latest/state.gguf" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) assert_int_equal(access(path_in(files[i]), R_OK), 0);
    assert_int_equal(count_files("events.out.tfevents."), 1);
    run = start("3", NO_WORDS); /* there is nothing left to do */
    program_wait(run);
    program_expect_success(run);
    assert_int_equal(count_files("events.out.tfevents."), 1);
    remove_run();
}

/* The first signal saves and ends with 128 + its number; the same command goes on. */
static void test_stopped(void **state)
{
    (void)state;
    static const int signals[] = { SIGINT, SIGTERM };
    for (int i = 0; i < 2; i++) {
        program *run = start("1000000", NO_WORDS);
        wait_for_steps(2);
        kill(run->pid, signals[i]);
        program_wait(run);
        if (run->code != 128 + signals[i]) fail_msg("exit code %d; stderr: %s", run->code, run->err);
        assert_non_null(strstr(run->err, "the same command goes on from there"));
        assert_null(strstr(run->err, "error: "));
        assert_int_equal(access(path_in("latest/state.gguf"), R_OK), 0);
        assert_int_equal(count_files("checkpoint-"), 1);
        assert_int_equal(access(path_in("model.gguf"), F_OK), -1);
        run = start("1000000", NO_WORDS);
        size_t bytes, lines = 0;
        uint8_t *log = program_file(path_in("log.jsonl"), &bytes);
        for (size_t at = 0; at < bytes; at++) lines += log[at] == '\n';
        free(log);
        wait_for_steps(lines + 1);
        kill(run->pid, SIGINT);
        program_wait(run);
        assert_int_equal(run->code, 130);
        assert_non_null(strstr(run->err, "going on from step"));
        remove_run();
    }
}

/* A step of seconds: the second signal does not wait for its end, and nothing is saved. */
static void test_second_signal(void **state)
{
    (void)state;
    program *run = start("1000000", WORDS("--gradient_accumulation_steps", "60000"));
    for (int i = 0; i < WAITS && access(path_in("log.jsonl"), F_OK) != 0; i++) program_sleep(10);
    program_sleep(300);
    kill(run->pid, SIGINT);
    program_sleep(300);
    assert_int_equal(kill(run->pid, 0), 0); /* still in its step */
    kill(run->pid, SIGTERM);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    program_wait(run);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_int_equal(run->code, 143);
    assert_true(after.tv_sec - before.tv_sec <= 2);
    assert_int_equal(count_files("checkpoint-"), 0);
    remove_run();
}

static void test_save_on_request(void **state)
{
    (void)state;
    program *run = start("1000000", NO_WORDS);
    wait_for_steps(2);
    assert_int_equal(count_files("checkpoint-"), 0);
    kill(run->pid, SIGUSR1);
    static const char *const made[] = { "latest/state.gguf", "loss.svg" }; /* one after the other */
    for (int file = 0; file < 2; file++) {
        for (int i = 0; i < WAITS && access(path_in(made[file]), R_OK) != 0; i++) program_sleep(10);
        assert_int_equal(access(path_in(made[file]), R_OK), 0);
    }
    size_t bytes, lines = 0;
    uint8_t *log = program_file(path_in("log.jsonl"), &bytes);
    for (size_t at = 0; at < bytes; at++) lines += log[at] == '\n';
    free(log);
    wait_for_steps(lines + 3); /* it goes on */
    kill(run->pid, SIGTERM);
    program_wait(run);
    assert_int_equal(run->code, 143);
    assert_int_equal(count_files("checkpoint-"), 2);
    remove_run();
}

/* What is missing is noticed before anything is made. */
static void test_missing_inputs(void **state)
{
    (void)state;
    static const char *const wrong[][2] = { { "--dataset", "no_such.txt" },
                                            { "--eval_dataset", "no_such_held_out.txt" },
                                            { "--tokenizer_name_or_path", "no_such.model" },
                                            { "--model_name_or_path", "no_such_model" },
                                            { "--cutoff_len", "128" } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        program *run = start("3", WORDS(wrong[i][0], wrong[i][1]));
        program_wait(run);
        program_expect_failure(run, i == 4 ? 2 : 5, i == 4 ? "cutoff_len" : "no_such");
        assert_int_equal(access(directory, F_OK), -1);
    }
}

static void test_dry_run(void **state)
{
    (void)state;
    program *run = start("50", WORDS("--dry-run"));
    program_wait(run);
    program_expect_success(run);
    static const char *const words[] = { "device memory\n", "weights",        "gradients", "optimiser state",
                                         "activations",     "tile of logits", "in all",    "taken by one step",
                                         "% of the plan",   "a step",         "50 times",  "the whole run" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strstr(run->out, words[i])) fail_msg("no '%s' in: %s", words[i], run->out);
    assert_non_null(strstr(run->err, "step 1/50"));
    assert_int_equal(access(directory, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_whole_run),      cmocka_unit_test(test_stopped),
                                        cmocka_unit_test(test_second_signal),  cmocka_unit_test(test_save_on_request),
                                        cmocka_unit_test(test_missing_inputs), cmocka_unit_test(test_dry_run) };
    return cmocka_run_group_tests(tests, open_texts, program_scratch_remove);
}

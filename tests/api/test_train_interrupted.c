/* test_train_interrupted: onebit-train-vk as a user runs and interrupts it: signals, a directory that is taken, a full disk, a
 * sequence that memory does not hold. */
#include "program.h"

#include <sys/resource.h>

#define WORDS_MAX 64

static char text_path[1024], run_path[1024];

static int open_text(void **state)
{
    if (scratch_open(state) != 0) return -1;
    size_t bytes;
    uint8_t *text = program_file(test_data_path("text/tinystories_train_v1.txt"), &bytes);
    snprintf(text_path, sizeof text_path, "%s", program_write_file("text.txt", text, 16384));
    snprintf(run_path, sizeof run_path, "%s", scratch_path("run"));
    free(text);
    return 0;
}

static void remove_run(void)
{
    if (access(run_path, F_OK) == 0) assert_int_equal(nftw(run_path, program_remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static const char *in_run(const char *name)
{
    static char path[1200];
    snprintf(path, sizeof path, "%s/%s", run_path, name);
    return path;
}

/* A model of 16 numbers a token, made from nothing; `more` are keys and values up to a NULL. */
static const char *const *words(const char *const *more)
{
    static const char *argv[WORDS_MAX];
    const char *const common[] = { "onebit-train-vk",
                                   "--stage",
                                   "pretrain",
                                   "--tokenizer_name_or_path",
                                   test_data_path("models/stories260K/tok512.bin"),
                                   "--dataset",
                                   text_path,
                                   "--output_dir",
                                   run_path,
                                   "--hidden_size",
                                   "16",
                                   "--intermediate_size",
                                   "24",
                                   "--num_hidden_layers",
                                   "1",
                                   "--num_attention_heads",
                                   "2",
                                   "--num_key_value_heads",
                                   "1",
                                   "--cutoff_len",
                                   "64",
                                   "--per_device_train_batch_size",
                                   "2",
                                   "--logging_steps",
                                   "1",
                                   "--lr_scheduler_type",
                                   "constant" };
    size_t count = sizeof common / sizeof *common;
    memcpy(argv, common, sizeof common);
    for (; *more && count + 1 < WORDS_MAX; more++) argv[count++] = *more;
    argv[count] = NULL;
    return argv;
}

#define WORDS(...) words((const char *const[]){ __VA_ARGS__, NULL })
#define TRAIN(...) program_run_with(WORDS(__VA_ARGS__), NULL, NULL)

/* Starts it beside this program, without a word from it. */
static pid_t begin(const char *const *argv)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", OB_BIN_DIR, argv[0]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; i++) posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, path, &actions, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/* Its exit code, once it has ended; it has `seconds` for that. */
static int end(pid_t pid, int seconds)
{
    int status;
    for (int i = 0; i < seconds * 100; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
        program_sleep(10);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    fail_msg("it did not end within %d seconds", seconds);
    return -1;
}

static void await_file(const char *name, size_t bytes)
{
    struct stat info;
    for (int i = 0; i < PROGRAM_SECONDS * 100; i++) {
        if (stat(in_run(name), &info) == 0 && (size_t)info.st_size >= bytes) return;
        program_sleep(10);
    }
    fail_msg("%s did not come", in_run(name));
}

/* Without end until a signal comes; then it saves. Meanwhile the directory is its own. */
static void test_a_signal_saves(void **state)
{
    (void)state;
    static const struct {
        int number, code;
    } signals[] = { { SIGINT, 130 }, { SIGTERM, 143 } };
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        pid_t pid = begin(WORDS("--max_steps", "1000000"));
        await_file("log.jsonl", 20);
        program_expect_failure(TRAIN("--max_steps", "2"), 2, "another training run");
        kill(pid, signals[i].number);
        assert_int_equal(end(pid, PROGRAM_SECONDS), signals[i].code);
        assert_int_equal(access(in_run("latest/state.gguf"), F_OK), 0);
        assert_int_equal(access(in_run("model.gguf"), F_OK), -1);
        remove_run();
    }
}

/* A step of hours: the first signal waits for its end, the second does not. */
static void test_a_second_signal_ends_at_once(void **state)
{
    (void)state;
    pid_t pid = begin(WORDS("--max_steps", "2", "--gradient_accumulation_steps", "65536"));
    await_file("log.jsonl", 0);
    program_sleep(500);
    kill(pid, SIGTERM);
    program_sleep(500);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    kill(pid, SIGTERM);
    assert_int_equal(end(pid, 10), 143);
    assert_int_equal(access(in_run("latest"), F_OK), -1);
    remove_run();
}

static void expect_same(const char *left, const char *right)
{
    size_t a_bytes, b_bytes;
    uint8_t *a = program_file(left, &a_bytes), *b = program_file(right, &b_bytes);
    assert_int_equal(a_bytes, b_bytes);
    assert_memory_equal(a, b, a_bytes);
    free(a);
    free(b);
}

/* The disk takes 64 KiB of a checkpoint and no more: the run ends and says so, the checkpoint before is as it was, and once
 * there is room the run goes on to the bits of one that had it all the time. */
static void test_a_full_disk(void **state)
{
    (void)state;
    char whole[1024], before[1024];
    snprintf(whole, sizeof whole, "%s", scratch_path("whole.gguf"));
    snprintf(before, sizeof before, "%s", scratch_path("before.gguf"));
    program_expect_success(TRAIN("--max_steps", "4"));
    assert_int_equal(rename(in_run("model.gguf"), whole), 0);
    remove_run();
    program_expect_success(TRAIN("--max_steps", "2"));
    size_t bytes;
    uint8_t *state_file = program_file(in_run("checkpoint-2/state.gguf"), &bytes);
    assert_true(bytes > 65536);
    program_write_file("before.gguf", state_file, bytes);
    free(state_file);

    struct rlimit old, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = (struct rlimit){ 65536, old.rlim_max };
    signal(SIGXFSZ, SIG_IGN); /* the program inherits both: its write fails, as one to a full disk does */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const program *run = TRAIN("--max_steps", "4");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    program_expect_failure(run, 1, "step 4 is not saved, earlier checkpoints are whole: cannot write ");
    assert_non_null(strstr(run->err, "File too large"));
    expect_same(in_run("checkpoint-2/state.gguf"), before);
    assert_int_equal(access(in_run("checkpoint-4"), F_OK), -1);
    assert_int_equal(access(in_run("checkpoint-4.partial"), F_OK), -1);

    run = TRAIN("--max_steps", "4");
    program_expect_success(run);
    assert_non_null(strstr(run->err, "going on from step 2 of 4"));
    expect_same(in_run("model.gguf"), whole);
    remove_run();
}

/* What a killed process leaves goes at the next start; what others put there stays. */
static void test_leftovers_go(void **state)
{
    (void)state;
    static const char *const left[] = { "model.gguf.tmp-12-0", "checkpoint-3.partial", "latest.tmp-7-0" };
    static const char *const kept[] = { "notes.tmp", "my.tmp-file", "checkpoint-x.partial" };
    program_expect_success(TRAIN("--max_steps", "1"));
    assert_int_equal(mkdir(in_run("checkpoint-3.partial"), 0755), 0);
    static const char *const files[] = { "model.gguf.tmp-12-0", "checkpoint-3.partial/state.gguf.tmp-12-1",
                                         "latest.tmp-7-0",      "notes.tmp",
                                         "my.tmp-file",         "checkpoint-x.partial" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        FILE *file = fopen(in_run(files[i]), "w");
        assert_non_null(file);
        fclose(file);
    }
    program_expect_success(TRAIN("--max_steps", "2"));
    for (size_t i = 0; i < 3; i++) {
        if (access(in_run(left[i]), F_OK) == 0) fail_msg("%s is still there", left[i]);
        if (access(in_run(kept[i]), F_OK) != 0) fail_msg("%s is gone", kept[i]);
    }
    remove_run();
}

/* 262144 tokens of 160 numbers in one buffer are 160 MiB, and 128 can be bound. */
static void test_one_sequence_is_too_much(void **state)
{
    (void)state;
    const program *run = TRAIN("--dataset", test_data_path("text/tinystories_train_v1.txt"), "--max_steps", "2", "--cutoff_len", "262144",
                               "--max_position_embeddings", "262144", "--intermediate_size", "160", "--gradient_accumulation_steps", "3");
    program_expect_failure(run, 4, "not even one sequence of 262144 tokens fits into memory");
    assert_non_null(strstr(run->err, "gradient_checkpointing: true, a smaller cutoff_len"));
    assert_non_null(strstr(run->err, "going on with 1, 6 times a step"));
    remove_run();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_signal_saves), cmocka_unit_test(test_a_second_signal_ends_at_once), cmocka_unit_test(test_a_full_disk),
        cmocka_unit_test(test_leftovers_go),   cmocka_unit_test(test_one_sequence_is_too_much),
    };
    return cmocka_run_group_tests(tests, open_text, program_scratch_remove);
}

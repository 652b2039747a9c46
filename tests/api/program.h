/* program: runs one of the built programs as a user would and keeps what it printed. The build says where they are
 * (OB_BIN_DIR). Include in cmocka tests only. */
#ifndef OB_TESTS_PROGRAM_H
#define OB_TESTS_PROGRAM_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "data.h"
#include "scratch.h"

#ifndef OB_BIN_DIR
#error "the build must define OB_BIN_DIR, the directory of the programs"
#endif

extern char **environ;

#define PROGRAM_SECONDS 300 /* a program that takes longer hangs */

typedef struct program {
    pid_t pid;
    int code;           /* 128 + the signal that killed it */
    char out[1 << 16];  /* stdout and stderr, cut to what fits */
    char err[1 << 16];
} program;

static pid_t program_alive; /* started and not waited for; 0: none */

static inline void program_sleep(long milliseconds)
{
    struct timespec pause = { milliseconds / 1000, milliseconds % 1000 * 1000000 };
    nanosleep(&pause, NULL);
}

/* The number behind "key": in JSON text. */
static inline double json_number(const char *text, const char *key)
{
    char quoted[128];
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *at = strstr(text, quoted);
    if (!at) fail_msg("no %s in: %s", key, text);
    return strtod(at + strlen(quoted), NULL);
}

/* Starts argv[0] (a program's name) with argv up to a NULL. `set` are "NAME=value"s for its environment, or NULL. stdin
 * comes from the file `input`, or is empty; stdout goes to `output`, a descriptor that is closed here, or if -1 to a file. */
static inline program *program_start_with(const char *const *argv, const char *const *set, const char *input, int output)
{
    static program run;
    memset(&run, 0, sizeof run);
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", OB_BIN_DIR, argv[0]);
    if (access(path, X_OK) != 0) fail_msg("%s is not built", path);

    size_t count = 0, sets = 0, kept = 0;
    while (environ[count]) count++;
    while (set && set[sets]) sets++;
    const char **environment = calloc(count + sets + 1, sizeof *environment);
    assert_non_null(environment);
    for (size_t i = 0; i < sets; i++) environment[kept++] = set[i];
    for (size_t i = 0; i < count; i++) {
        bool replaced = false;
        for (size_t k = 0; k < sets; k++) replaced = replaced || strncmp(environ[i], set[k], strcspn(set[k], "=") + 1) == 0;
        if (!replaced) environment[kept++] = environ[i];
    }

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, input ? input : "/dev/null", O_RDONLY, 0);
    if (output >= 0) posix_spawn_file_actions_adddup2(&actions, output, 1);
    else posix_spawn_file_actions_addopen(&actions, 1, scratch_path("stdout"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_addopen(&actions, 2, scratch_path("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    int error = posix_spawn(&run.pid, path, &actions, NULL, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)environment);
    posix_spawn_file_actions_destroy(&actions);
    free(environment);
    if (output >= 0) close(output);
    if (error) fail_msg("cannot start %s: %s", path, strerror(error));
    program_alive = run.pid;
    return &run;
}

static inline void program_read(const char *name, char *text, size_t room)
{
    FILE *file = fopen(scratch_path(name), "rb");
    size_t length = file ? fread(text, 1, room - 1, file) : 0;
    text[length] = 0;
    if (file) fclose(file);
    unlink(scratch_path(name));
}

static inline void program_wait(program *run)
{
    int status = 0;
    pid_t ended = 0;
    for (int i = 0; i < PROGRAM_SECONDS * 200 && ended == 0; i++) {
        ended = waitpid(run->pid, &status, WNOHANG);
        if (ended == 0) program_sleep(5);
    }
    if (ended == 0) {
        kill(run->pid, SIGKILL);
        waitpid(run->pid, &status, 0);
    }
    program_alive = 0;
    run->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    program_read("stdout", run->out, sizeof run->out);
    program_read("stderr", run->err, sizeof run->err);
    if (ended == 0) fail_msg("the program hangs; stderr: %s", run->err);
}

/* The result is overwritten by the next program. */
static inline program *program_run_with(const char *const *argv, const char *const *set, const char *input)
{
    program *run = program_start_with(argv, set, input, -1);
    program_wait(run);
    return run;
}

#define program_run(...) program_run_with((const char *const[]){ __VA_ARGS__, NULL }, NULL, NULL)

static inline size_t program_occurrences(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part)) count++;
    return count;
}

/* It failed with this code, said so in one sentence that contains `part`, and printed nothing on stdout. */
static inline void program_expect_failure(const program *run, int code, const char *part)
{
    if (run->code != code) fail_msg("exit code %d instead of %d; stderr: %s", run->code, code, run->err);
    if (run->out[0]) fail_msg("something was printed on stdout: %s", run->out);
    if (program_occurrences(run->err, ": error: ") != 1) fail_msg("not one error sentence: %s", run->err);
    if (!strstr(run->err, part)) fail_msg("'%s' does not occur in: %s", part, run->err);
}

static inline void program_expect_success(const program *run)
{
    if (run->code != 0) fail_msg("exit code %d; stderr: %s", run->code, run->err);
    assert_null(strstr(run->err, "error: "));
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

static inline int program_remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

/* Group teardown that takes everything in the scratch directory along. */
static inline int program_scratch_remove(void **state)
{
    if (program_alive > 0) kill(program_alive, SIGKILL); /* a test failed before it waited: nothing may run on */
    (void)state;
    return nftw(scratch_directory, program_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* stories260K as an F32 GGUF file in the scratch directory; made by the first call. */
static inline const char *program_model(void)
{
    static char path[1024];
    if (!path[0]) {
        char made[1024];
        snprintf(made, sizeof made, "%s", scratch_path("stories260K.gguf"));
        program *run = program_run("onebit-quant-vk", test_data_path("models/stories260K/stories260K.bin"), "--tokenizer",
                                   test_data_path("models/stories260K/tok512.bin"), "--form", "f32", "-o", made);
        program_expect_success(run);
        memcpy(path, made, sizeof path);
    }
    return path;
}

/* The whole file; to be freed with free(). */
static inline uint8_t *program_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("cannot open %s", path);
    struct stat info;
    assert_int_equal(fstat(fileno(file), &info), 0);
    *bytes = (size_t)info.st_size;
    uint8_t *data = malloc(*bytes + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *bytes, file), *bytes);
    fclose(file);
    return data;
}

static inline const char *program_write_file(const char *name, const void *data, size_t bytes)
{
    FILE *file = fopen(scratch_path(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    return scratch_path(name);
}

#endif

/* test_ranks: two processes that train together learn what one learns with twice the accumulation: with threads of this process
 * as the ranks, and with mpirun. They stop together, and run out of memory together. */
#include "api/program.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>

#include "core/alloc.h"
#include "model/gguf.h"
#include "onebit/onebit_train.h"

#define RANKS 2u
#define STEPS 4u

static char text_path[1024], held_path[1024];

static int open_texts(void **state)
{
    if (scratch_open(state) != 0) return -1;
    size_t bytes;
    uint8_t *text = program_file(test_data_path("text/tinystories_train_v1.txt"), &bytes);
    snprintf(text_path, sizeof text_path, "%s", program_write_file("text.txt", text, 49152));
    snprintf(held_path, sizeof held_path, "%s", program_write_file("held.txt", text + 65536, 4096));
    free(text);
    return 0;
}

/* ---- ranks that are threads -------------------------------------------------------------------------------------------- */

static pthread_barrier_t barrier;
static void *slots[RANKS];

typedef struct member {
    ob_ranks ranks;
    const char *keys[2 * 32];          /* up to a NULL */
    uint32_t stop_after, refuse_after; /* 0: never */
    uint32_t asked;                    /* how often `stop` was */
    ob_status status;
    double losses[STEPS], held_out;
    uint64_t first_step, tokens;
} member;

#define SUM(type)                                                                                                                          \
    static bool sum_##type(type *values, size_t count, void *user)                                                                         \
    {                                                                                                                                      \
        const member *self = user;                                                                                                         \
        type *sums = calloc(count, sizeof *sums);                                                                                          \
        slots[self->ranks.rank] = values;                                                                                                  \
        pthread_barrier_wait(&barrier);                                                                                                    \
        for (size_t i = 0; i < count; i++)                                                                                                 \
            for (uint32_t rank = 0; rank < RANKS; rank++) sums[i] += ((type *)slots[rank])[i];                                             \
        pthread_barrier_wait(&barrier);                                                                                                    \
        memcpy(values, sums, count * sizeof *sums);                                                                                        \
        free(sums);                                                                                                                        \
        return true;                                                                                                                       \
    }
SUM(float)
SUM(double)

static bool broadcast(void *bytes, size_t count, void *user)
{
    const member *self = user;
    slots[self->ranks.rank] = bytes;
    pthread_barrier_wait(&barrier);
    if (self->ranks.rank > 0) memcpy(bytes, slots[0], count);
    pthread_barrier_wait(&barrier);
    return true;
}

static void on_plan(const ob_train_plan *plan, void *user) { ((member *)user)->first_step = plan->first_step; }

static void on_step(const ob_train_step *step, void *user)
{
    member *self = user;
    if (step->step >= 1 && step->step <= STEPS) self->losses[step->step - 1] = step->loss;
    self->tokens = step->tokens;
}

static void on_evaluation(uint64_t step, double nll, double kl, bool best, void *user)
{
    (void)step;
    (void)kl;
    (void)best;
    ((member *)user)->held_out = nll;
}

static _Thread_local bool refuse; /* the next allocation of this thread */
static unsigned smaller;          /* batches that memory did not hold */

static bool on_stop(void *user)
{
    member *self = user;
    self->asked++;
    if (self->asked == self->refuse_after) refuse = true;
    return self->asked == self->stop_after;
}

static void *train(void *user)
{
    member *self = user;
    ob_context *context = NULL;
    size_t count = 0;
    while (self->keys[2 * count]) count++;
    self->status = ob_context_create(&context, &(ob_context_desc){ .skip_selftest = true });
    if (self->status == OB_OK)
        self->status = ob_train(context, &(ob_train_desc){ .overrides = self->keys,
                                                           .override_count = count,
                                                           .plan = on_plan,
                                                           .step = on_step,
                                                           .evaluation = on_evaluation,
                                                           .stop = on_stop,
                                                           .user = self,
                                                           .ranks = self->ranks.size > 1 ? &self->ranks : NULL });
    if (self->status != OB_OK && self->status != OB_ERROR_CANCELLED) {
        fprintf(stderr, "rank %u: %s\n", self->ranks.rank, ob_last_error());
        exit(1); /* the other would wait for ever */
    }
    ob_context_destroy(context);
    return NULL;
}

/* A small distillation; a NULL ends the keys. */
static void set_keys(member *self, const char *directory, const char *batch, const char *accumulation)
{
    const char *const keys[] = { "stage",
                                 "kd",
                                 "teacher_model_name_or_path",
                                 test_data_path("models/stories260K/stories260K.bin"),
                                 "tokenizer_name_or_path",
                                 test_data_path("models/stories260K/tok512.bin"),
                                 "dataset",
                                 text_path,
                                 "eval_dataset",
                                 held_path,
                                 "output_dir",
                                 directory,
                                 "cutoff_len",
                                 "64",
                                 "per_device_train_batch_size",
                                 batch,
                                 "gradient_accumulation_steps",
                                 accumulation,
                                 "max_steps",
                                 "4",
                                 "eval_steps",
                                 "2",
                                 "logging_steps",
                                 "1",
                                 "learning_rate",
                                 "1e-3",
                                 "latent_init",
                                 "rowmean",
                                 "latent_scale",
                                 "0.02",
                                 "trainable",
                                 "all",
                                 NULL };
    memcpy(self->keys, keys, sizeof keys);
}

static void run_members(member members[RANKS])
{
    pthread_t threads[RANKS];
    assert_int_equal(pthread_barrier_init(&barrier, NULL, RANKS), 0);
    for (uint32_t i = 0; i < RANKS; i++) {
        members[i].ranks = (ob_ranks){ i, RANKS, sum_float, sum_double, broadcast, &members[i] };
        assert_int_equal(pthread_create(&threads[i], NULL, train, &members[i]), 0);
    }
    for (uint32_t i = 0; i < RANKS; i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
}

/* ---- what must agree --------------------------------------------------------------------------------------------------- */

static member alone; /* two batches of two, one after the other */
static char alone_path[1024];

static void train_alone(void)
{
    if (alone_path[0]) return;
    snprintf(alone_path, sizeof alone_path, "%s", scratch_path("alone"));
    alone.ranks.size = 1;
    set_keys(&alone, alone_path, "2", "2");
    train(&alone);
    assert_int_equal(alone.status, OB_OK);
}

/* Gradients of f32 sums in another order differ by about 2^-22 of their size, and so do losses after them. */
static void compare_losses(const double *got, double held_out, uint64_t tokens)
{
    for (uint32_t i = 0; i < STEPS; i++) {
        print_message("step %u: loss %.9g, alone %.9g\n", i + 1, got[i], alone.losses[i]);
        assert_true(fabs(got[i] - alone.losses[i]) < 2e-6 * alone.losses[i]);
    }
    assert_true(fabs(held_out - alone.held_out) < 2e-6 * alone.held_out);
    assert_int_equal(tokens, alone.tokens);
}

/* AdamW divides a gradient by its own size, so that where that is all rounding a step may go either way: no value is further
 * off than two steps of the learning rate (1e-3) each time; and as few are, all together are within a hundredth of one. */
static void compare_states(const char *left, const char *right)
{
    char paths[2][1200];
    obi_gguf files[2];
    snprintf(paths[0], sizeof paths[0], "%s/checkpoint-4/state.gguf", left);
    snprintf(paths[1], sizeof paths[1], "%s/checkpoint-4/state.gguf", right);
    for (int i = 0; i < 2; i++)
        if (obi_gguf_open(&files[i], paths[i]) != OBI_OK) fail_msg("%s", obi_last_error());
    assert_int_equal(files[0].tensor_count, files[1].tensor_count);
    double squares = 0, worst = 0;
    uint64_t count = 0, same = 0;
    for (uint64_t t = 0; t < files[0].tensor_count; t++) {
        const obi_gguf_tensor *a = &files[0].tensors[t], *b = &files[1].tensors[t];
        assert_string_equal(a->name, b->name);
        if (strncmp(a->name, "w.", 2) != 0) continue;
        const float *x = (const float *)(const void *)a->data, *y = (const float *)(const void *)b->data;
        for (uint64_t i = 0; i < a->shape[0] * a->shape[1]; i++, count++) {
            double off = fabs((double)x[i] - (double)y[i]);
            squares += off * off;
            if (off > worst) worst = off;
            same += off == 0;
        }
    }
    for (int i = 0; i < 2; i++) obi_gguf_close(&files[i]);
    print_message("%llu parameters, %llu the same; largest difference %.2g, root of the mean square %.2g\n", (unsigned long long)count,
                  (unsigned long long)same, worst, sqrt(squares / (double)count));
    assert_true(count > 200000);
    assert_true(worst < 2e-3 * STEPS);
    assert_true(sqrt(squares / (double)count) < 1e-5);
}

static void remove_directory(const char *path) { assert_int_equal(nftw(path, program_remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0); }

static void test_threads(void **state)
{
    (void)state;
    member members[RANKS] = { 0 };
    char directory[1024];
    train_alone();
    snprintf(directory, sizeof directory, "%s", scratch_path("threads"));
    for (uint32_t i = 0; i < RANKS; i++) set_keys(&members[i], directory, "2", "1");
    run_members(members);
    assert_int_equal(members[0].status, OB_OK);
    assert_int_equal(members[1].status, OB_OK);
    assert_int_equal(members[1].tokens, 0); /* rank 0 reports */
    compare_losses(members[0].losses, members[0].held_out, members[0].tokens);
    compare_states(directory, alone_path);
    remove_directory(directory);
}

/* The second rank is asked to stop; both do, and one process goes on with what they left. */
static void test_stop_and_resume(void **state)
{
    (void)state;
    member members[RANKS] = { 0 }, rest = { .ranks.size = 1 };
    char directory[1024];
    train_alone();
    snprintf(directory, sizeof directory, "%s", scratch_path("stopped"));
    for (uint32_t i = 0; i < RANKS; i++) set_keys(&members[i], directory, "2", "1");
    members[1].stop_after = 2;
    run_members(members);
    assert_int_equal(members[0].status, OB_ERROR_CANCELLED);
    assert_int_equal(members[1].status, OB_ERROR_CANCELLED);
    assert_int_equal(members[0].asked, 2);
    set_keys(&rest, directory, "2", "2");
    train(&rest);
    assert_int_equal(rest.status, OB_OK);
    assert_int_equal(rest.first_step, 2);
    for (uint32_t i = 0; i < 2; i++) rest.losses[i] = members[0].losses[i];
    compare_losses(rest.losses, rest.held_out, rest.tokens);
    compare_states(directory, alone_path);
    remove_directory(directory);
}

/* ---- one rank's memory ------------------------------------------------------------------------------------------------- */

static void *allocate(size_t bytes, void *user)
{
    (void)user;
    bool fails = refuse;
    refuse = false;
    return fails ? NULL : malloc(bytes);
}

static void *reallocate(void *old, size_t bytes, void *user)
{
    (void)user;
    return realloc(old, bytes);
}

static void release(void *block, void *user)
{
    (void)user;
    free(block);
}

static void on_log(ob_log_level level, const char *message, void *user)
{
    (void)level;
    (void)user;
    if (strstr(message, "going on with 1, 2 times a step")) __atomic_add_fetch(&smaller, 1, __ATOMIC_RELAXED);
}

/* In its second step an allocation of the second rank is refused: both take half, and nothing else changes. */
static void test_out_of_memory_together(void **state)
{
    (void)state;
    member members[RANKS] = { 0 };
    char directory[1024];
    train_alone();
    snprintf(directory, sizeof directory, "%s", scratch_path("memory"));
    for (uint32_t i = 0; i < RANKS; i++) set_keys(&members[i], directory, "2", "1");
    members[1].refuse_after = 1;
    ob_set_log(on_log, NULL);
    obi_alloc_set_hooks(&(obi_alloc_hooks){ allocate, reallocate, release, NULL });
    run_members(members);
    obi_alloc_set_hooks(&(obi_alloc_hooks){ 0 });
    ob_set_log(NULL, NULL);
    assert_int_equal(smaller, 2);
    compare_losses(members[0].losses, members[0].held_out, members[0].tokens);
    compare_states(directory, alone_path);
    remove_directory(directory);
}

/* ---- MPI ----------------------------------------------------------------------------------------------------------------- */

#ifdef OB_MPIRUN

/* mpirun with the keys behind the program; as root too, and more processes than cores. */
static const char *const *mpi_words(const member *self, const char *more, const char *value)
{
    static const char *argv[96];
    static char program_path[1024], keys[32][64];
    const char *const front[] = { OB_MPIRUN, "--oversubscribe", "--bind-to", "none", "-n", "2" };
    size_t count = sizeof front / sizeof *front;
    snprintf(program_path, sizeof program_path, "%s/onebit-train-vk", OB_BIN_DIR);
    memcpy(argv, front, sizeof front);
    argv[count++] = program_path;
    for (size_t i = 0; self->keys[2 * i]; i++) {
        snprintf(keys[i], sizeof keys[i], "--%s", self->keys[2 * i]);
        argv[count++] = keys[i];
        argv[count++] = self->keys[2 * i + 1];
    }
    argv[count++] = more;
    argv[count++] = value;
    argv[count] = NULL;
    return argv;
}

static pid_t begin(const char *const *argv)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 1); /* they share cores with the drivers that they wait for */
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1); /* what MPI leaks is not ours */
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static int end(pid_t pid)
{
    int status;
    for (int i = 0; i < PROGRAM_SECONDS * 100; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
        program_sleep(10);
    }
    kill(pid, SIGKILL);
    fail_msg("mpirun did not end");
    return -1;
}

/* The last process that `parent` has started. */
static pid_t child_of(pid_t parent)
{
    DIR *directory = opendir("/proc");
    pid_t last = 0;
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        char path[300];
        int pid, its_parent;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%d (%*[^)]) %*c %d", &pid, &its_parent) == 2 && its_parent == parent && pid > last) last = pid;
        fclose(file);
    }
    closedir(directory);
    return last;
}

/* The numbers behind a key in a run's log, in order. */
static size_t logged(const char *directory, const char *key, double *values, size_t room)
{
    char path[1200], mark[64];
    size_t bytes, count = 0;
    snprintf(path, sizeof path, "%s/log.jsonl", directory);
    snprintf(mark, sizeof mark, "\"%s\": ", key);
    char *text = (char *)program_file(path, &bytes);
    text[bytes] = 0;
    for (const char *at = strstr(text, mark); at && count < room; at = strstr(at + 1, mark))
        values[count++] = strtod(at + strlen(mark), NULL);
    free(text);
    return count;
}

static void test_mpirun(void **state)
{
    (void)state;
    member keys = { 0 };
    char directory[1024];
    double losses[STEPS], held_out[2];
    train_alone();
    snprintf(directory, sizeof directory, "%s", scratch_path("mpi"));
    set_keys(&keys, directory, "2", "1");
    assert_int_equal(end(begin(mpi_words(&keys, NULL, NULL))), 0);
    assert_int_equal(logged(directory, "loss", losses, STEPS), STEPS);
    assert_int_equal(logged(directory, "eval_loss", held_out, 2), 2);
    compare_losses(losses, held_out[1], alone.tokens);
    compare_states(directory, alone_path);
    remove_directory(directory);
}

/* A signal to one rank stops all, after a checkpoint; a directory that is taken ends all. */
static void test_mpirun_is_stopped(void **state)
{
    (void)state;
    member keys = { 0 };
    char directory[1024], path[1200];
    snprintf(directory, sizeof directory, "%s", scratch_path("mpi"));
    snprintf(path, sizeof path, "%s/log.jsonl", directory);
    set_keys(&keys, directory, "2", "1");
    pid_t pid = begin(mpi_words(&keys, "--max_steps", "100000"));
    struct stat info;
    for (int i = 0; i < PROGRAM_SECONDS * 100 && (stat(path, &info) != 0 || info.st_size == 0); i++) program_sleep(10);
    assert_int_not_equal(end(begin(mpi_words(&keys, NULL, NULL))), 0);
    kill(child_of(pid), SIGTERM);
    assert_int_equal(end(pid), 143);
    snprintf(path, sizeof path, "%s/latest/state.gguf", directory);
    assert_int_equal(access(path, F_OK), 0);
    remove_directory(directory);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads), cmocka_unit_test(test_stop_and_resume),   cmocka_unit_test(test_out_of_memory_together),
#ifdef OB_MPIRUN
        cmocka_unit_test(test_mpirun),  cmocka_unit_test(test_mpirun_is_stopped),
#endif
    };
    return cmocka_run_group_tests(tests, open_texts, program_scratch_remove);
}

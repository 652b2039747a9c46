/* test_report: what a run says about itself: signs flipped, the log, TensorBoard's events and the curve, of a run in one go and of
 * one that was stopped, killed and taken up again. */
#include "device.h"
#include "run_files.h"

#include <dirent.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "data.h"
#include "model/gguf.h"
#include "quant/import/source.h"
#include "quant/train/history.h"
#include "quant/train/run.h"

#define STEPS 6

typedef struct watcher {
    uint64_t first_step, last_step, stop_at;
    obi_step_report reports[STEPS + 1]; /* by step */
} watcher;

static void on_plan(const obi_run_plan *plan, void *user) { ((watcher *)user)->first_step = plan->first_step; }

static void on_step(uint64_t step, uint64_t steps, const obi_step_report *report, double seconds, void *user)
{
    (void)seconds;
    watcher *seen = user;
    assert_true(step <= steps && steps == STEPS);
    seen->last_step = step;
    seen->reports[step] = *report;
}

static bool on_stop(void *user)
{
    const watcher *seen = user;
    return seen->stop_at > 0 && seen->last_step >= seen->stop_at;
}

/* A small distillation of stories260K; `more` are further keys and values, up to a NULL. */
static obi_status train_with(const char *directory, watcher *seen, const char *const *more)
{
    obi_train_options options;
    const char *const keys[][2] = { { "teacher_model_name_or_path", test_data_path("models/stories260K/stories260K.bin") },
                                    { "tokenizer_name_or_path", test_data_path("models/stories260K/tok512.bin") },
                                    { "dataset", text_file("text.txt", 65536) },
                                    { "eval_dataset", text_file("held.txt", 2048) },
                                    { "output_dir", path_in(directory, "") },
                                    { "cutoff_len", "64" },
                                    { "per_device_train_batch_size", "4" },
                                    { "max_steps", "6" },
                                    { "save_steps", "1" },
                                    { "save_total_limit", "10" },
                                    { "eval_steps", "2" },
                                    { "logging_steps", "1" },
                                    { "learning_rate", "4e-3" },
                                    { "latent_init", "rowmean" },
                                    { "latent_scale", "0.02" },
                                    { "trainable", "all" } };
    obi_run_hooks hooks = { .plan = on_plan, .step = on_step, .stop = on_stop, .user = seen };
    TEST_OK(obi_train_options_init(&options));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) TEST_OK(obi_train_options_set(&options, keys[i][0], keys[i][1]));
    for (; more[0]; more += 2) TEST_OK(obi_train_options_set(&options, more[0], more[1]));
    TEST_OK(obi_train_options_check(&options));
    obi_status status = obi_train_run(test_device(), &options, &hooks);
    obi_train_options_clear(&options);
    return status;
}

static obi_status train(const char *directory, watcher *seen) { return train_with(directory, seen, (const char *const[]){ NULL }); }

/* Appends the sign bits of all linears' weights, one byte each, in the order of the layers and roles. */
static size_t signs_of_checkpoint(const char *directory, uint64_t step, const obi_config *config, unsigned char *signs)
{
    char name[80];
    size_t count = 0;
    obi_gguf gguf;
    snprintf(name, sizeof name, "checkpoint-%u/state.gguf", (unsigned)step);
    TEST_OK(obi_gguf_open(&gguf, path_in(directory, name)));
    for (uint32_t layer = 0; layer < config->layers; layer++)
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
            snprintf(name, sizeof name, "w.blk.%u.%s.weight", layer, obi_linear_roles[kind]);
            const obi_gguf_tensor *tensor = obi_gguf_find_tensor(&gguf, name);
            assert_non_null(tensor);
            uint64_t elements = tensor->shape[0] * tensor->shape[1];
            for (uint64_t i = 0; i < elements; i++) {
                float value;
                memcpy(&value, (const char *)tensor->data + i * 4, 4);
                signs[count++] = value < 0;
            }
        }
    obi_gguf_close(&gguf);
    return count;
}

static size_t signs_of_teacher(const obi_source *source, unsigned char *signs)
{
    char name[80];
    size_t count = 0;
    for (uint32_t layer = 0; layer < source->config.layers; layer++)
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
            uint32_t rows, columns;
            obi_config_linear_shape(&source->config, kind, &rows, &columns);
            snprintf(name, sizeof name, "blk.%u.%s.weight", layer, obi_linear_roles[kind]);
            const obi_source_tensor *tensor = obi_source_find(source, name);
            assert_non_null(tensor);
            float *values = calloc((size_t)rows * columns, sizeof *values);
            TEST_OK(obi_source_read(tensor, 0, rows, values));
            for (size_t i = 0; i < (size_t)rows * columns; i++) signs[count++] = values[i] < 0;
            free(values);
        }
    return count;
}

static uint64_t differing(const unsigned char *a, const unsigned char *b, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += a[i] != b[i];
    return sum;
}

/* The counts are those of the latent weights that the checkpoints hold, and of the teacher's weights that all began with. */
static void test_flips(void **state)
{
    (void)state;
    watcher seen = { 0 };
    TEST_OK(train("whole", &seen));
    obi_source *source;
    TEST_OK(
        obi_source_open(&source, test_data_path("models/stories260K/stories260K.bin"), test_data_path("models/stories260K/tok512.bin")));
    size_t room = (size_t)seen.reports[1].signs;
    unsigned char *first = calloc(room, 1), *before = calloc(room, 1), *now = calloc(room, 1);
    assert_int_equal(signs_of_teacher(source, first), room);
    memcpy(before, first, room);
    uint64_t all = 0;
    for (uint64_t step = 1; step <= STEPS; step++) {
        const obi_step_report *report = &seen.reports[step];
        assert_int_equal(signs_of_checkpoint("whole", step, &source->config, now), room);
        assert_int_equal(report->signs, room);
        assert_int_equal(report->flipped, differing(before, now, room));
        assert_int_equal(report->moved, differing(first, now, room));
        memcpy(before, now, room);
        all += report->flipped;
    }
    print_message("%zu signs, %llu flips, %llu moved\n", room, (unsigned long long)all, (unsigned long long)seen.reports[STEPS].moved);
    assert_true(all > 100 && seen.reports[STEPS].moved > 0 && seen.reports[STEPS].moved < all);
    free(first);
    free(before);
    free(now);
    obi_source_close(source);
    test_device_check();
}

static size_t count_events(const char *directory)
{
    size_t count = 0;
    DIR *entries = opendir(path_in(directory, ""));
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries));) count += strncmp(entry->d_name, "events.out.tfevents.", 20) == 0;
    closedir(entries);
    return count;
}

/* A run that was stopped, and whose process was killed later in the middle of a line, reports the same as one in one go. */
static void test_resumed_run(void **state)
{
    (void)state;
    watcher whole = { 0 }, seen = { .stop_at = 3 };
    TEST_OK(train("again", &whole));
    remove_run("again");
    assert_int_equal(train("again", &seen), OBI_ERROR_CANCELLED);
    FILE *log = fopen(path_in("again", "log.jsonl"), "a");
    fputs("{\"step\": 4, \"loss\": 99, \"kl\": 99, \"hidden\": 0, \"skipped\": false}\n{\"step\": 5, \"lo", log);
    fclose(log);
    seen.stop_at = 0;
    TEST_OK(train("again", &seen));
    assert_int_equal(seen.first_step, 3);
    for (uint64_t step = 1; step <= STEPS; step++) {
        assert_int_equal(seen.reports[step].flipped, whole.reports[step].flipped);
        assert_int_equal(seen.reports[step].moved, whole.reports[step].moved);
    }
    obi_history history;
    TEST_OK(obi_history_read(&history, path_in("again", "log.jsonl")));
    assert_int_equal(history.step_count, STEPS);
    assert_int_equal(history.evaluation_count, 3);
    for (size_t i = 0; i < STEPS; i++) {
        assert_int_equal(history.steps[i].step, i + 1);
        assert_true(fabs(history.steps[i].loss - whole.reports[i + 1].loss) < 1e-6 * whole.reports[i + 1].loss);
    }
    obi_history_clear(&history);
    assert_int_equal(count_events("again"), 2);
    assert_int_equal(access(path_in("again", "loss.svg"), R_OK), 0);
    remove_run("again");
}

/* ---- the best evaluation ----------------------------------------------------------------------------------------- */

static bool same_file(const char *a, const char *b)
{
    obi_mapping left, right;
    TEST_OK(obi_mapping_open(&left, a));
    TEST_OK(obi_mapping_open(&right, b));
    bool same = left.size == right.size && memcmp(left.data, right.data, left.size) == 0;
    obi_mapping_close(&left);
    obi_mapping_close(&right);
    return same;
}

/* Each evaluation in the log that is marked as best is the smallest KL so far, and no other is. Returns how many are not. */
static size_t check_best_marks(const char *directory)
{
    char line[1024];
    double smallest = INFINITY;
    size_t worse = 0;
    FILE *log = fopen(path_in(directory, "log.jsonl"), "r");
    assert_non_null(log);
    while (fgets(line, sizeof line, log)) {
        const char *kl = strstr(line, "\"eval_kl\": ");
        if (!kl) continue;
        double value = strtod(kl + 11, NULL);
        assert_int_equal(strstr(line, "\"best\": true") != NULL, value < smallest);
        worse += value >= smallest;
        smallest = fmin(value, smallest);
    }
    fclose(log);
    return worse;
}

/* Learning that goes wrong at once: the first evaluation is the best, also for a run that was stopped behind it, and patience
 * runs out where it would have. */
static void test_best_model(void **state)
{
    (void)state;
    static const char *const diverging[] = { "learning_rate", "0.5", "lr_scheduler_type",      "constant", "eval_steps", "1",
                                             "max_grad_norm", "0",   "load_best_model_at_end", "true",     NULL };
    static const char *const patient[] = { "learning_rate", "0.5", "lr_scheduler_type",       "constant", "eval_steps", "1",
                                           "max_grad_norm", "0",   "early_stopping_patience", "3",        NULL };
    watcher seen = { .stop_at = 2 }, again = { .stop_at = 0 };
    assert_int_equal(train_with("best", &seen, diverging), OBI_ERROR_CANCELLED);
    TEST_OK(train_with("best", &again, diverging));
    size_t worse = check_best_marks("best");
    print_message("%zu evaluations without a better result\n", worse);
    assert_true(worse >= 4);
    assert_true(same_file(path_in("best", "model.gguf"), path_in("best", "best.gguf")));
    remove_run("best");

    seen = again = (watcher){ .stop_at = 2 };
    assert_int_equal(train_with("best", &seen, patient), OBI_ERROR_CANCELLED);
    again.stop_at = 0;
    TEST_OK(train_with("best", &again, patient));
    assert_true(again.last_step < STEPS);
    assert_int_equal(check_best_marks("best"), 3);
    assert_false(same_file(path_in("best", "model.gguf"), path_in("best", "best.gguf")));
    again = (watcher){ .stop_at = 0 };
    TEST_OK(train_with("best", &again, patient)); /* it stays stopped */
    assert_int_equal(again.last_step, 0);
    remove_run("best");
}

static size_t lines_with(const char *directory, const char *words)
{
    char line[1024], path[64];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/log.jsonl", directory);
    FILE *log = fopen(path_in("", path), "r");
    assert_non_null(log);
    while (fgets(line, sizeof line, log)) count += strstr(line, words) != NULL;
    fclose(log);
    return count;
}

/* A teacher that has lost a number: the embedding of bos, behind the seven words of llama2.c's header. */
static const char *broken_teacher(void)
{
    static char path[1024];
    size_t size;
    FILE *file = fopen(test_data_path("models/stories260K/stories260K.bin"), "rb");
    char *data = malloc(4u << 20);
    assert_true(file && data);
    size = fread(data, 1, 4u << 20, file);
    fclose(file);
    memcpy(data + 28 + 64 * sizeof(float), &(float){ NAN }, sizeof(float));
    snprintf(path, sizeof path, "%s", path_in("", "broken.bin"));
    file = fopen(path, "wb");
    assert_true(file && fwrite(data, 1, size, file) == size);
    fclose(file);
    free(data);
    return path;
}

/* No step has a finite loss: the run ends with a sentence, and with a line of its log that a program can look for. With checkpoints
 * it goes back to the last of them first. */
static void test_divergence(void **state)
{
    (void)state;
    const char *teacher = broken_teacher();
    char student[1024];
    snprintf(student, sizeof student, "%s", test_data_path("models/stories260K/stories260K.bin"));
    const char *const keys[] = {
        "teacher_model_name_or_path", teacher, "model_name_or_path", student, "method", "xnor", "eval_dataset", "", "save_steps", "0", NULL
    };
    const char *const saved[] = {
        "teacher_model_name_or_path", teacher, "model_name_or_path", student, "method", "xnor", "eval_dataset", "", "save_steps", "2", NULL
    };
    watcher seen = { 0 };
    assert_int_equal(train_with("lost", &seen, keys), OBI_ERROR_RUNTIME);
    assert_non_null(strstr(obi_last_error(), "the training diverged at step 3: "));
    assert_int_equal(seen.last_step, 3);
    assert_int_equal(lines_with("lost", "\"skipped\": true"), 3);
    assert_int_equal(lines_with("lost", "{\"step\": 3, \"diverged\": true}"), 1);
    assert_int_equal(access(path_in("lost", "model.gguf"), F_OK), -1);
    remove_run("lost");
    TEST_OK(train_with("lost", &seen, saved));
    assert_int_equal(lines_with("lost", "\"back_to_step\": "), 2);
    assert_int_equal(lines_with("lost", "{\"step\": 6, \"back_to_step\": 4}"), 1);
    assert_int_equal(lines_with("lost", "diverged"), 0);
    remove_run("lost");
    unlink(teacher);
    test_device_check();
}

static void test_latest(void **state)
{
    (void)state;
    char target[64] = "";
#ifdef _WIN32 /* a file with the name: links take a privilege there */
    FILE *latest = fopen(path_in("whole", "latest"), "r");
    assert_non_null(latest);
    assert_int_equal(fread(target, 1, sizeof target - 1, latest), 12);
    fclose(latest);
    assert_string_equal(target, "checkpoint-6");
#else
    assert_int_equal(readlink(path_in("whole", "latest"), target, sizeof target - 1), 12);
    assert_string_equal(target, "checkpoint-6");
    assert_int_equal(access(path_in("whole", "latest/state.gguf"), R_OK), 0);
#endif
}

static int close_scratch(void **state)
{
    remove_run("whole");
    unlink(path_in("", "text.txt"));
    unlink(path_in("", "held.txt"));
    return scratch_close(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_flips), cmocka_unit_test(test_latest), cmocka_unit_test(test_resumed_run),
                                        cmocka_unit_test(test_best_model), cmocka_unit_test(test_divergence) };
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, close_scratch));
}

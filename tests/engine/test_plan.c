/* test_plan: the memory plan of a run, made from shapes alone, against what the run then takes of the device's memory; and the
 * estimate of a run's time. */
#include "device.h"
#include "scratch.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "data.h"
#include "quant/train/run.h"

typedef struct watcher {
    obi_memory_plan memory;
    obi_run_plan plan;
    obi_estimate estimate;
    uint64_t peak; /* of a dry run */
    bool told;
} watcher;

static void on_memory(const obi_memory_plan *plan, void *user)
{
    watcher *seen = user;
    assert_int_equal(test_device()->memory.used_bytes, 0); /* it comes before anything is made */
    seen->memory = *plan;
}

static void on_plan(const obi_run_plan *plan, void *user) { ((watcher *)user)->plan = *plan; }

static void on_estimate(const obi_estimate *estimate, uint64_t peak_bytes, void *user)
{
    watcher *seen = user;
    seen->estimate = *estimate;
    seen->peak = peak_bytes;
    seen->told = true;
}

static const char *path_of(const char *name)
{
    static char paths[4][1024];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_directory, name);
    return path;
}

/* Runs with keys and values up to a NULL. */
static void run(watcher *seen, const char *const *keys)
{
    obi_train_options options;
    obi_run_hooks hooks = { .memory = on_memory, .plan = on_plan, .estimate = on_estimate, .user = seen };
    TEST_OK(obi_train_options_init(&options));
    TEST_OK(obi_train_options_set(&options, "dataset", test_data_path("text/tinystories_valid_head.txt")));
    TEST_OK(obi_train_options_set(&options, "tokenizer_name_or_path", test_data_path("models/stories260K/tok512.bin")));
    TEST_OK(obi_train_options_set(&options, "output_dir", path_of("run")));
    TEST_OK(obi_train_options_set(&options, "max_steps", "1"));
    for (; keys[0]; keys += 2) TEST_OK(obi_train_options_set(&options, keys[0], keys[1]));
    TEST_OK(obi_train_options_check(&options));
    TEST_OK(obi_train_run(test_device(), &options, &hooks));
    obi_train_options_clear(&options);
    assert_int_equal(test_device()->memory.reserved_bytes, 0);
    test_device_check();
}

static double mebibytes(uint64_t bytes) { return (double)bytes / 1048576; }

static void expect_near(const char *what, uint64_t taken, const obi_memory_plan *plan)
{
    double share = (double)taken / (double)plan->total;
    print_message("%s: planned %.1f MiB, taken %.1f MiB (%.0f %%)\n", what, mebibytes(plan->total), mebibytes(taken), 100 * share);
    uint64_t parts = plan->weights + plan->gradients + plan->optimiser + plan->activations + plan->logits + plan->teacher +
                     plan->teacher_activations + plan->other + plan->transfers;
    assert_int_equal(parts, plan->total);
    assert_true(share > 0.9 && share < 1.1);
}

#define TINY_TEACHER "teacher_model_name_or_path", test_data_path("models/stories260K/stories260K.bin")

static void test_distillation(void **state)
{
    (void)state;
    watcher seen = { .told = false };
    run(&seen, (const char *const[]){ TINY_TEACHER, "cutoff_len", "64", "per_device_train_batch_size", "2", "dry_run", "true", NULL });
    assert_true(seen.told && access(path_of("run"), F_OK) != 0);
    expect_near("a tiny student", seen.peak, &seen.memory);
    assert_true(seen.memory.teacher > 1000000 && seen.memory.teacher < 1100000); /* 260 K numbers */

    run(&seen, (const char *const[]){ TINY_TEACHER, "cutoff_len", "256", "per_device_train_batch_size", "4", "trainable", "all", "dry_run",
                                      "true", NULL });
    expect_near("a larger batch", seen.peak, &seen.memory);
    uint64_t kept = seen.memory.activations;
    run(&seen, (const char *const[]){ TINY_TEACHER, "cutoff_len", "256", "per_device_train_batch_size", "4", "trainable", "all",
                                      "gradient_checkpointing", "true", "dry_run", "true", NULL });
    expect_near("the same, recomputed", seen.peak, &seen.memory);
    assert_true(seen.memory.activations < kept / 2);
}

/* Mostly weights: buffers of many sizes, some with an arena of their own. */
static void test_pretraining(void **state)
{
    (void)state;
    watcher seen = { .told = false };
    run(&seen, (const char *const[]){ "stage", "pretrain", "hidden_size", "512", "intermediate_size", "1408", "num_hidden_layers", "2",
                                      "num_attention_heads", "8", "num_key_value_heads", "8", "cutoff_len", "64",
                                      "per_device_train_batch_size", "1", "dry_run", "true", NULL });
    expect_near("two wide layers", seen.peak, &seen.memory);
    uint64_t numbers = 512 * 512 + 512 + 2 * (2 * 512 + 4 * 512 * 512 + 3 * 512 * 1408);
    assert_int_equal(seen.plan.parameters, numbers);
    assert_true(fabs((double)seen.memory.weights / (double)(numbers * 4) - 1) < 1e-3);
    assert_int_equal(seen.memory.gradients, seen.memory.weights);
    assert_int_equal(seen.memory.optimiser, 2 * seen.memory.weights);
}

/* A run that saves, and one that goes on from there: peak_bytes is of the whole run. */
static uint64_t peak_seen;

static void keep_peak(uint64_t step, uint64_t steps, const obi_step_report *report, double seconds, void *user)
{
    (void)step, (void)steps, (void)report, (void)seconds, (void)user;
    peak_seen = test_device()->memory.peak_bytes;
}

static void test_going_on(void **state)
{
    (void)state;
    static const char *const steps[] = { "1", "2" };
    for (int i = 0; i < 2; i++) {
        obi_train_options options;
        watcher seen = { .told = false };
        obi_run_hooks hooks = { .memory = on_memory, .step = keep_peak, .user = &seen };
        const char *const keys[][2] = { { TINY_TEACHER },
                                        { "tokenizer_name_or_path", test_data_path("models/stories260K/tok512.bin") },
                                        { "dataset", test_data_path("text/tinystories_valid_head.txt") },
                                        { "output_dir", path_of("run") },
                                        { "max_steps", steps[i] },
                                        { "cutoff_len", "128" },
                                        { "per_device_train_batch_size", "2" } };
        TEST_OK(obi_train_options_init(&options));
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) TEST_OK(obi_train_options_set(&options, keys[k][0], keys[k][1]));
        TEST_OK(obi_train_options_check(&options));
        TEST_OK(obi_train_run(test_device(), &options, &hooks));
        obi_train_options_clear(&options);
        expect_near(i == 0 ? "a run" : "gone on with", peak_seen, &seen.memory);
    }
    assert_int_equal(scratch_remove_tree(path_of("run")), 0);
}

static void test_estimate(void **state)
{
    (void)state;
    watcher seen = { .told = false };
    run(&seen, (const char *const[]){ TINY_TEACHER, "cutoff_len", "64", "per_device_train_batch_size", "2", "max_steps", "250",
                                      "eval_dataset", test_data_path("text/tinystories_valid_head.txt"), "eval_steps", "100", "save_steps",
                                      "50", "trainable", "all", "dry_run", "true", NULL });
    const obi_estimate *estimate = &seen.estimate;
    assert_int_equal(estimate->steps, 250);
    assert_int_equal(estimate->evaluations, 3); /* 100, 200 and the end */
    assert_int_equal(estimate->checkpoints, 5);
    assert_true(estimate->step_seconds > 1e-4 && estimate->evaluation_seconds > estimate->step_seconds);
    assert_int_equal(estimate->checkpoint_bytes, 3 * 4 * seen.plan.trained);
    double seconds = 250 * estimate->step_seconds + 3 * estimate->evaluation_seconds + 5 * estimate->checkpoint_seconds;
    assert_true(fabs(estimate->seconds - seconds) < 1e-9 * seconds);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_distillation), cmocka_unit_test(test_pretraining),
                                        cmocka_unit_test(test_going_on), cmocka_unit_test(test_estimate) };
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, scratch_close));
}

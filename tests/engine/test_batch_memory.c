/* test_batch_memory: when device memory does not hold a batch the trainer takes fewer sequences at once and more of them in a
 * step, and learns the same; nothing of the failed attempt stays. The limit is real: the address space of this process. */
#include "device.h"

#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/alloc.h"
#include "core/log.h"
#include "data.h"
#include "quant/train/trainer.h"

#define TOKENS 64u
#define BLOCKS 96u

static obi_source *source;
static obi_dataset data;
static char logged[1024];

static void on_log(obi_log_level level, const char *message, void *user)
{
    (void)user;
    if (level <= OBI_LOG_WARNING) print_message("%s\n", message);
    if (level == OBI_LOG_WARNING) snprintf(logged, sizeof logged, "%s", message);
}

static int open_source(void **state)
{
    (void)state;
    TEST_OK(
        obi_source_open(&source, test_data_path("models/stories260K/stories260K.bin"), test_data_path("models/stories260K/tok512.bin")));
    data = (obi_dataset){ .blocks = BLOCKS, .length = TOKENS, .ids = obi_calloc(BLOCKS * TOKENS, sizeof(uint32_t)) };
    obi_rng rng = obi_rng_seed(3);
    for (uint32_t i = 0; i < BLOCKS * TOKENS; i++) data.ids[i] = (uint32_t)(obi_rng_next(&rng) % 512);
    return 0;
}

static int close_source(void **state)
{
    (void)state;
    obi_dataset_close(&data);
    obi_source_close(source);
    return 0;
}

typedef struct learner {
    obi_train_options options;
    obi_train_model *teacher, *student;
    obi_trainer *trainer;
} learner;

static void open_learner(learner *l, uint32_t sequences, uint32_t batches)
{
    TEST_OK(obi_train_options_init(&l->options));
    l->options.per_device_train_batch_size = sequences;
    l->options.gradient_accumulation_steps = batches;
    l->options.cutoff_len = TOKENS;
    l->options.learning_rate = l->options.scales_learning_rate = l->options.other_learning_rate = 1e-3;
    l->options.trainable = OBI_TRAIN_ALL;
    l->options.latent_init = OBI_LATENT_RAW;
    l->options.lr_scheduler_type = OBI_SCHEDULE_CONSTANT;
    l->trainer = NULL;
    TEST_OK(obi_train_model_from_source(test_device(), source, NULL, &l->teacher));
    TEST_OK(obi_train_model_student(test_device(), source, &l->options, &l->student));
}

static void close_learner(learner *l)
{
    obi_trainer_destroy(l->trainer);
    obi_train_model_free(l->student);
    obi_train_model_free(l->teacher);
    obi_train_options_clear(&l->options);
}

static obi_status make_trainer(learner *l)
{
    return obi_trainer_create(test_device(), &l->options, l->student, l->teacher, &data, 2, &l->trainer);
}

static uint64_t address_space(void)
{
    char line[128];
    unsigned long long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmSize: %llu kB", &kilobytes) == 1) break;
    fclose(file);
    assert_true(kilobytes > 0);
    return kilobytes * 1024;
}

/* Other sums in another order: f32 sums of 384 tokens' terms, each within 2^-24 of the sum of their sizes. */
static void compare(const obi_step_report *got, const obi_step_report *want)
{
    print_message("KL %.9g and %.9g, hidden %.9g and %.9g, gradient %.9g and %.9g\n", got->kl, want->kl, got->hidden, want->hidden,
                  got->gradient_norm, want->gradient_norm);
    assert_false(got->skipped || want->skipped);
    assert_int_equal(got->tokens, want->tokens);
    assert_true(fabs(got->kl - want->kl) < 1e-6 * want->kl);
    assert_true(fabs(got->hidden - want->hidden) < 1e-6 * want->hidden);
    assert_true(fabs(got->gradient_norm - want->gradient_norm) < 1e-5 * want->gradient_norm);
}

/* Makes no step: 16384 tokens would take long. What the smaller batches come to is shown below. */
static void test_creation_under_a_limit(void **state)
{
    (void)state;
    learner l;
    test_device();
    obi_log_set(on_log, NULL);
    open_learner(&l, 256, 1);
    TEST_OK(make_trainer(&l)); /* its kernels are compiled now */
    uint64_t needed = obi_trainer_bytes(l.trainer);
    close_learner(&l);
    open_learner(&l, 128, 2);
    uint64_t before = test_device()->memory.used_bytes;
    TEST_OK(make_trainer(&l));
    uint64_t half = test_device()->memory.used_bytes - before;
    close_learner(&l);

    for (uint64_t sixteenths = 9; sixteenths < 15; sixteenths++) { /* it fails sooner and later; malloc has some MiB at hand */
        open_learner(&l, 256, 1);
        before = test_device()->memory.used_bytes;
        struct rlimit old, limit;
        assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
        limit = (struct rlimit){ address_space() + needed / 16 * sixteenths, old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
        obi_status status = make_trainer(&l);
        assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
        TEST_OK(status);
        assert_int_equal(l.trainer->sequences, 128);
        assert_int_equal(l.trainer->batches, 2);
        assert_non_null(strstr(logged, "going on with 128, 2 times a step"));
        assert_int_equal(test_device()->memory.used_bytes - before, half); /* nothing is left of the first attempt */
        close_learner(&l);
    }
    print_message("%.0f MiB did not fit, %.0f do\n", (double)needed / 1048576, (double)half / 1048576);
    test_device_check();
}

/* ---- later ---------------------------------------------------------------------------------------------------------- */

static struct {
    size_t calls, fail_at;
} memory;

static void *allocate(size_t bytes, void *user)
{
    (void)user;
    return ++memory.calls == memory.fail_at ? NULL : malloc(bytes);
}

static void *reallocate(void *old, size_t bytes, void *user)
{
    (void)user;
    return ++memory.calls == memory.fail_at ? NULL : realloc(old, bytes);
}

static void release(void *block, void *user)
{
    (void)user;
    free(block);
}

/* One of the second step's allocations is refused, sooner and later: the step is made with less at once, once, and comes to
 * the same. */
static void test_in_the_middle_of_a_run(void **state)
{
    (void)state;
    learner l;
    obi_step_report want, got;
    open_learner(&l, 6, 1);
    TEST_OK(make_trainer(&l));
    TEST_OK(obi_trainer_step(l.trainer, &got));
    TEST_OK(obi_trainer_step(l.trainer, &want));
    close_learner(&l);
    size_t refused = 0;
    for (size_t i = 1;; i = i * 4 + 1) {
        open_learner(&l, 6, 1);
        TEST_OK(make_trainer(&l));
        TEST_OK(obi_trainer_step(l.trainer, &got));
        memory.calls = 0;
        memory.fail_at = i;
        obi_alloc_set_hooks(&(obi_alloc_hooks){ allocate, reallocate, release, NULL });
        obi_status status = obi_trainer_step(l.trainer, &got);
        obi_alloc_set_hooks(&(obi_alloc_hooks){ 0 });
        bool reached = memory.calls >= i;
        TEST_OK(status);
        compare(&got, &want);
        assert_int_equal(l.trainer->sequences, reached ? 3 : 6);
        assert_int_equal(l.trainer->batches, reached ? 2 : 1);
        close_learner(&l);
        if (!reached) break;
        refused++;
    }
    print_message("%zu allocations refused\n", refused);
    assert_true(refused > 0);
    test_device_check();
}

/* 16777216 x 172 numbers are 11 GiB in one buffer: more than drivers bind, which is 4 GiB at most. */
static void test_one_sequence_is_too_much(void **state)
{
    (void)state;
    learner l;
    open_learner(&l, 4, 1);
    uint64_t before = test_device()->memory.used_bytes;
    l.options.cutoff_len = 1u << 24;
    assert_int_equal(make_trainer(&l), OBI_ERROR_MEMORY);
    print_message("%s\n", obi_last_error());
    assert_non_null(strstr(obi_last_error(), "not even one sequence of 16777216 tokens"));
    assert_non_null(strstr(obi_last_error(), "gradient_checkpointing"));
    assert_non_null(strstr(obi_last_error(), "cutoff_len"));
    assert_int_equal(test_device()->memory.used_bytes, before);
    close_learner(&l);
    test_device_check();
}

int main(void)
{
    mallopt(M_MMAP_THRESHOLD, 1 << 20); /* what is freed leaves the address space */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_creation_under_a_limit),
        cmocka_unit_test(test_in_the_middle_of_a_run),
        cmocka_unit_test(test_one_sequence_is_too_much),
    };
    return test_device_finish(cmocka_run_group_tests(tests, open_source, close_source));
}

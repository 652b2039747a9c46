/* test_recompute: a training step that keeps one layer's activations and makes the others again gives the bits of one that
 * keeps them all, in less memory. */
#include "device.h"

#include <string.h>

#include "core/alloc.h"
#include "data.h"
#include "quant/train/trainer.h"

#define SEQUENCES 2u
#define TOKENS 64u

static obi_source *source; /* 5 layers */
static obi_dataset data;

static int open_source(void **state)
{
    (void)state;
    TEST_OK(obi_source_open(&source, test_data_path("models/stories260K/stories260K.bin"), test_data_path("models/stories260K/tok512.bin")));
    data = (obi_dataset){ .blocks = 2 * SEQUENCES, .length = TOKENS, .ids = obi_calloc(2 * SEQUENCES * TOKENS, sizeof(uint32_t)) };
    obi_rng rng = obi_rng_seed(3);
    for (uint32_t i = 0; i < 2 * SEQUENCES * TOKENS; i++) data.ids[i] = (uint32_t)(obi_rng_next(&rng) % 512);
    return 0;
}

static int close_source(void **state)
{
    (void)state;
    obi_dataset_close(&data);
    obi_source_close(source);
    return 0;
}

/* Every gradient of the model behind one another; to be freed. */
static float *gradients(const obi_train_model *model, uint64_t *floats)
{
    *floats = 0;
    for (uint32_t i = 0; i < model->param_count; i++) *floats += (uint64_t)model->params[i].w.rows * model->params[i].w.row_words;
    float *all = obi_calloc(*floats, sizeof *all), *at = all;
    for (uint32_t i = 0; i < model->param_count; i++) {
        const obi_weight *gradient = &model->params[i].gradient;
        assert_int_equal(gradient->block_count, 1);
        TEST_OK(obi_download_bytes(test_device(), obi_view_of(gradient->blocks[0]), at, (uint64_t)gradient->rows * gradient->row_words * 4));
        at += (uint64_t)gradient->rows * gradient->row_words;
    }
    return all;
}

/* One step of two batches that changes nothing. */
static float *step(obi_train_options *options, obi_train_model *model, const obi_train_model *teacher, bool checkpointing,
                   obi_step_report *report, uint64_t *bytes, uint64_t *floats)
{
    obi_trainer *trainer;
    options->gradient_checkpointing = checkpointing;
    TEST_OK(obi_trainer_create(test_device(), options, model, teacher, &data, 1, &trainer));
    TEST_OK(obi_trainer_step(trainer, report));
    assert_false(report->skipped);
    *bytes = trainer->pass->bytes;
    obi_trainer_destroy(trainer);
    return gradients(model, floats);
}

static void compare(obi_train_model *model, const obi_train_model *teacher, obi_train_options *options)
{
    obi_step_report kept, made;
    uint64_t kept_bytes, made_bytes, count;
    float *want = step(options, model, teacher, false, &kept, &kept_bytes, &count);
    float *got = step(options, model, teacher, true, &made, &made_bytes, &count);
    assert_true(kept.gradient_norm > 0);
    assert_memory_equal(&kept, &made, sizeof kept);
    for (uint64_t i = 0; i < count; i++)
        if (memcmp(&want[i], &got[i], 4) != 0)
            fail_msg("gradient number %llu is %g, kept %g", (unsigned long long)i, (double)got[i], (double)want[i]);
    print_message("%llu gradients agree; activations %.2f MiB instead of %.2f\n", (unsigned long long)count,
                  (double)made_bytes / 1048576, (double)kept_bytes / 1048576);
    assert_true(made_bytes < kept_bytes * 2 / 3);
    obi_free(want);
    obi_free(got);
}

static void set_options(obi_train_options *options)
{
    TEST_OK(obi_train_options_init(options));
    options->per_device_train_batch_size = SEQUENCES;
    options->gradient_accumulation_steps = 2;
    options->cutoff_len = TOKENS;
    options->learning_rate = options->scales_learning_rate = options->other_learning_rate = 0;
    options->weight_decay = 0;
    options->trainable = OBI_TRAIN_ALL;
    options->latent_init = OBI_LATENT_RAW;
}

static void test_ordinary(void **state)
{
    (void)state;
    obi_train_options options;
    obi_train_model *model;
    set_options(&options);
    TEST_OK(obi_train_model_from_source(test_device(), source, &options, &model));
    compare(model, NULL, &options);
    obi_train_model_free(model);
    obi_train_options_clear(&options);
    test_device_check();
}

static void test_onebit(void **state)
{
    (void)state;
    for (int post_norm = 0; post_norm < 2; post_norm++) {
        obi_train_options options;
        obi_train_model *teacher, *student;
        set_options(&options);
        options.post_norm = post_norm == 1;
        TEST_OK(obi_train_model_from_source(test_device(), source, NULL, &teacher));
        TEST_OK(obi_train_model_student(test_device(), source, &options, &student));
        compare(student, teacher, &options);
        obi_train_model_free(student);
        obi_train_model_free(teacher);
        obi_train_options_clear(&options);
    }
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_ordinary), cmocka_unit_test(test_onebit) };
    return test_device_finish(cmocka_run_group_tests(tests, open_source, close_source));
}

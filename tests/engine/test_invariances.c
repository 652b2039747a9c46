/* test_invariances: what a step of distillation must give whatever the numbers are: nothing for a student that is its teacher,
 * and a hidden-state term of 4 for each layer whose output is the teacher's turned round. (That the gradients of g and h are
 * at right angles to them behind a LayerNorm is in test_gradients.) */
#include "device.h"

#include <math.h>

#include "core/alloc.h"
#include "data.h"
#include "quant/train/trainer.h"

#define SEQUENCES 2u
#define TOKENS 64u

static obi_source *source; /* 5 layers */
static obi_dataset data;
static obi_train_options options;

static int open_source(void **state)
{
    (void)state;
    TEST_OK(
        obi_source_open(&source, test_data_path("models/stories260K/stories260K.bin"), test_data_path("models/stories260K/tok512.bin")));
    data = (obi_dataset){ .blocks = SEQUENCES, .length = TOKENS, .ids = obi_calloc(SEQUENCES * TOKENS, sizeof(uint32_t)) };
    obi_rng rng = obi_rng_seed(4);
    for (uint32_t i = 0; i < SEQUENCES * TOKENS; i++) data.ids[i] = (uint32_t)(obi_rng_next(&rng) % 512);
    TEST_OK(obi_train_options_init(&options));
    options.per_device_train_batch_size = SEQUENCES;
    options.cutoff_len = TOKENS;
    options.learning_rate = options.scales_learning_rate = options.other_learning_rate = 0;
    options.weight_decay = 0;
    options.trainable = OBI_TRAIN_ALL;
    return 0;
}

static int close_source(void **state)
{
    (void)state;
    obi_train_options_clear(&options);
    obi_dataset_close(&data);
    obi_source_close(source);
    return 0;
}

static void step(obi_train_model *student, const obi_train_model *teacher, obi_step_report *report)
{
    obi_trainer *trainer;
    TEST_OK(obi_trainer_create(test_device(), &options, student, teacher, &data, 1, &trainer));
    TEST_OK(obi_trainer_step(trainer, report));
    obi_trainer_destroy(trainer);
    print_message("KL %.3g, hidden %.9g, gradient %.3g\n", report->kl, report->hidden, report->gradient_norm);
    assert_false(report->skipped);
}

/* The same kernels on the same numbers: logits and hidden states have the same bits, so that their differences are 0. What is
 * left is how far a sum of f32 probabilities is from 1: a few 2^-24. */
static void test_a_student_that_is_its_teacher(void **state)
{
    (void)state;
    obi_train_model *teacher, *student;
    obi_step_report report;
    TEST_OK(obi_train_model_from_source(test_device(), source, NULL, &teacher));
    TEST_OK(obi_train_model_from_source(test_device(), source, &options, &student));
    step(student, teacher, &report);
    assert_true(fabs(report.kl) < 1e-6);
    assert_true(fabs(report.hidden) < 1e-6 * (student->config.layers - 1));
    assert_true(report.gradient_norm < 1e-5);
    obi_train_model_free(student);
    obi_train_model_free(teacher);
    test_device_check();
}

static void scale_weight(const obi_train_model *model, uint32_t index, float factor)
{
    const obi_weight *weight = &model->params[index].w;
    uint64_t count = (uint64_t)weight->rows * weight->row_words;
    float *values = obi_calloc(count, sizeof *values);
    obi_upload *upload;
    assert_int_equal(weight->block_count, 1);
    TEST_OK(obi_download_bytes(test_device(), obi_view_of(weight->blocks[0]), values, count * 4));
    for (uint64_t i = 0; i < count; i++) values[i] *= factor;
    TEST_OK(obi_upload_create(test_device(), &upload));
    TEST_OK(obi_weight_upload(upload, weight, 0, weight->rows, (const uint32_t *)(const void *)values));
    TEST_OK(obi_upload_finish(upload));
    obi_upload_destroy(upload);
    obi_free(values);
}

/* Without the feed-forward part a layer is an odd function (norm and attention are), so that a student with the opposite
 * embeddings has the opposite states: a cosine of -1, 2 - 2 cos = 4 for each of the outputs of layers 0 .. L-2. */
static void test_a_student_turned_round(void **state)
{
    (void)state;
    obi_train_model *models[2];
    obi_step_report report;
    for (int i = 0; i < 2; i++) {
        TEST_OK(obi_train_model_from_source(test_device(), source, i == 1 ? &options : NULL, &models[i]));
        for (uint32_t layer = 0; layer < models[i]->config.layers; layer++)
            scale_weight(models[i], models[i]->layers[layer].linear[OBI_LINEAR_DOWN].weight, 0);
    }
    scale_weight(models[1], models[1]->embedding, -1);
    step(models[1], models[0], &report);
    assert_true(fabs(report.hidden - 4.0 * (models[1]->config.layers - 1)) < 1e-5);
    for (int i = 0; i < 2; i++) obi_train_model_free(models[i]);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_a_student_that_is_its_teacher),
                                        cmocka_unit_test(test_a_student_turned_round) };
    return test_device_finish(cmocka_run_group_tests(tests, open_source, close_source));
}

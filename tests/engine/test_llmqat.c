/* test_llmqat: the layers that LLM-QAT trains: levels against a host's, planes that hold them, gradients of a step against the
 * ordinary model that has the levels as its weights, the memory plan. test_form_runs has whole runs. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "quant/train/plan.h"
#include "quant/train/quantiser.h"

#define DIRECTORY OB_SOURCE_DIR "/tests/data/gradients" /* a model of two layers, odd sizes and all */
#define SEQUENCES 2u
#define TOKENS 64u
#define FLOATS_MAX 4096u
#define FAR 3.0f /* a weight that the clip of min-max leaves without a gradient */

static obi_source *source;
static obi_train_model *teacher;
static obi_dataset data;

static int open_model(void **state)
{
    (void)state;
    TEST_OK(obi_source_open(&source, DIRECTORY, NULL));
    TEST_OK(obi_train_model_from_source(test_device(), source, NULL, &teacher));
    data = (obi_dataset){ .blocks = SEQUENCES, .length = TOKENS, .ids = obi_calloc(SEQUENCES * TOKENS, sizeof(uint32_t)) };
    obi_rng rng = obi_rng_seed(1);
    for (uint32_t i = 0; i < SEQUENCES * TOKENS; i++) data.ids[i] = (uint32_t)(obi_rng_next(&rng) % source->config.vocabulary);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    obi_dataset_close(&data);
    obi_train_model_free(teacher);
    obi_source_close(source);
    return 0;
}

typedef struct llmqat_form {
    const char *method, *bits;
} llmqat_form;

static const llmqat_form forms[] = { { "llmqat", "1" },     { "llmqat", "2" },     { "llmqat", "3" },
                                     { "llmqat_sym", "2" }, { "llmqat_sym", "3" }, { "llmqat_sym", "4" } };

static void set_form(obi_train_options *options, const llmqat_form *form)
{
    TEST_OK(obi_train_options_init(options));
    const char *const keys[][2] = { { "method", form->method },
                                    { "bits", form->bits },
                                    { "dataset", "x" },
                                    { "output_dir", "x" },
                                    { "teacher_model_name_or_path", "x" },
                                    { "cutoff_len", "64" },
                                    { "per_device_train_batch_size", "2" },
                                    { "trainable", "all" },
                                    { "weight_decay", "0" },
                                    { "max_grad_norm", "0" } };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) TEST_OK(obi_train_options_set(options, keys[i][0], keys[i][1]));
    TEST_OK(obi_train_options_check(options));
    options->learning_rate = options->other_learning_rate = options->scales_learning_rate = 0;
}

static void download(const obi_weight *weight, float out[FLOATS_MAX])
{
    assert_int_equal(weight->block_count, 1);
    assert_true((uint64_t)weight->rows * weight->row_words <= FLOATS_MAX);
    TEST_OK(obi_download_bytes(test_device(), obi_view_of(weight->blocks[0]), out, (uint64_t)weight->rows * weight->row_words * 4));
}

/* A level must be one of the form's and the nearest, in another way of saying it: no other is nearer, by more than rounding. */
static void check_level(const llmqat_form *form, double w, double step, double level)
{
    unsigned bits = (unsigned)(form->bits[0] - '0');
    bool by_mean = strcmp(form->method, "llmqat") == 0 && bits <= 2;
    int most = by_mean ? (1 << bits) - 1 : 2 * ((1 << (bits - 1)) - 1); /* in halves of a step, every other one */
    double nearest = INFINITY;
    bool known = false;
    for (int k = -most; k <= most; k += 2) {
        nearest = fmin(nearest, fabs(w - k * step / 2));
        known = known || fabs(level - k * step / 2) < 1e-7 * step;
    }
    if (!known || fabs(w - level) > nearest + 1e-6 * step)
        fail_msg("%s %s: level %g of %g, step %g", form->method, form->bits, level, w, step);
}

static void check_row(const llmqat_form *form, const float *w, const float *levels, uint32_t columns, double step)
{
    unsigned bits = (unsigned)(form->bits[0] - '0');
    double most = 0, mean = 0;
    for (uint32_t j = 0; j < columns; j++) {
        most = fmax(most, fabs((double)w[j]));
        mean += fabs((double)w[j]) / columns;
    }
    bool by_mean = strcmp(form->method, "llmqat") == 0 && bits <= 2;
    double want = !by_mean ? most / ((1 << (bits - 1)) - 1) : bits == 1 ? 2 * mean : mean;
    assert_true(fabs(step - want) <= want * 0x1p-11 * 1.001);
    assert_true(obi_planes_step((float)step, bits) == (float)step); /* a file can hold it */
    for (uint32_t j = 0; j < columns; j++) check_level(form, (double)w[j], step, (double)levels[j]);
}

/* What the planes of a file say is what the layer multiplies with, to the bit. */
static void check_planes(const obi_quantiser *quantiser, uint32_t m, uint32_t n, const float *levels, const float *steps)
{
    static uint32_t words[FLOATS_MAX];
    static uint16_t scale[FLOATS_MAX], offset[FLOATS_MAX];
    static float again[FLOATS_MAX];
    obi_config config = source->config;
    obi_quantiser_config(quantiser, &config);
    obi_planes planes = { words, scale, config.offset ? offset : NULL };
    assert_true(obi_planes_words(obi_config_planes(&config), m, n) <= FLOATS_MAX);
    TEST_OK(obi_quantiser_pack(quantiser, m, n, levels, steps, &planes));
    obi_planes_unpack(obi_config_planes(&config), m, n, &planes, again);
    for (uint32_t i = 0; i < m * n; i++) assert_true(again[i] == levels[i]);
}

static void test_levels(void **state)
{
    (void)state;
    static float w[FLOATS_MAX], latent[FLOATS_MAX], levels[FLOATS_MAX], steps[FLOATS_MAX];
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        obi_train_options options;
        obi_train_model *model;
        set_form(&options, &forms[f]);
        TEST_OK(obi_train_model_student(test_device(), source, &options, &model));
        for (uint32_t layer = 0; layer < model->config.layers; layer++)
            for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
                const obi_train_linear *linear = &model->layers[layer].linear[kind];
                const obi_param *param = &model->params[linear->weight];
                uint32_t m = param->w.rows, n = param->w.columns;
                TEST_OK(obi_source_read(obi_source_find(source, param->name), 0, m, w));
                download(&param->w, latent);
                assert_memory_equal(w, latent, (size_t)m * n * 4); /* it starts at the teacher's weights */
                download(&linear->levels, levels);
                download(&linear->steps, steps);
                for (uint32_t i = 0; i < m; i++) check_row(&forms[f], w + i * n, levels + i * n, n, (double)steps[i]);
                check_planes(&model->quantiser, m, n, levels, steps);
            }
        obi_train_model_free(model);
        obi_train_options_clear(&options);
    }
    test_device_check();
}

/* Weights that have gone astray make no file. */
static void test_astray(void **state)
{
    (void)state;
    static uint32_t words[8];
    static uint16_t scale[8], offset[8];
    static const float astray[] = { NAN, INFINITY, -INFINITY, 40000 };
    obi_planes planes = { words, scale, offset };
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        obi_train_options options;
        set_form(&options, &forms[f]);
        obi_quantiser quantiser = obi_quantiser_of(&options);
        float half = quantiser.kind == OBI_FAKE_QUANT_MEAN ? 0.5f : 1, steps[1] = { 1 }, levels[2] = { half, -half };
        TEST_OK(obi_quantiser_pack(&quantiser, 1, 2, levels, steps, &planes));
        for (size_t i = 0; i < sizeof astray / sizeof *astray; i++) {
            levels[1] = astray[i];
            assert_int_equal(obi_quantiser_pack(&quantiser, 1, 2, levels, steps, &planes), OBI_ERROR_RUNTIME);
            assert_non_null(strstr(obi_last_error(), "the training diverged: ")); /* programs look for the words */
        }
        obi_train_options_clear(&options);
    }
}

/* One weight of the model is far out. */
static void put_far(obi_train_model *model, obi_upload *upload)
{
    static float w[FLOATS_MAX];
    const obi_weight *weight = &model->params[model->layers[1].linear[OBI_LINEAR_UP].weight].w;
    download(weight, w);
    w[weight->columns + 3] = FAR;
    TEST_OK(obi_weight_upload(upload, weight, 0, weight->rows, (const uint32_t *)(const void *)w));
    TEST_OK(obi_upload_finish(upload));
}

/* The gradient is that of an ordinary model whose weights are the levels: the same kernels, so the same bits. Where min-max meets
 * a weight of 2 or more it is 0. */
static void check_gradient(const llmqat_form *form)
{
    static float levels[FLOATS_MAX], got[FLOATS_MAX], want[FLOATS_MAX];
    obi_train_options options;
    obi_train_model *model, *ordinary;
    obi_trainer *trainer, *ordinary_trainer;
    obi_step_report report, ordinary_report;
    obi_upload *upload;
    set_form(&options, form);
    TEST_OK(obi_upload_create(test_device(), &upload));
    TEST_OK(obi_train_model_student(test_device(), source, &options, &model));
    put_far(model, upload);
    TEST_OK(obi_trainer_create(test_device(), &options, model, teacher, &data, 1, &trainer));
    TEST_OK(obi_trainer_step(trainer, &report));
    assert_int_equal(report.signs, 0);
    TEST_OK(obi_train_model_from_source(test_device(), source, &options, &ordinary));
    for (uint32_t layer = 0; layer < model->config.layers; layer++)
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
            const obi_train_linear *linear = &model->layers[layer].linear[kind];
            download(&linear->levels, levels);
            TEST_OK(obi_weight_upload(upload, &ordinary->params[ordinary->layers[layer].linear[kind].weight].w, 0, linear->levels.rows,
                                      (const uint32_t *)(const void *)levels));
            TEST_OK(obi_upload_finish(upload));
        }
    TEST_OK(obi_trainer_create(test_device(), &options, ordinary, teacher, &data, 1, &ordinary_trainer));
    TEST_OK(obi_trainer_step(ordinary_trainer, &ordinary_report));
    assert_true(!report.skipped && report.kl > 0 && report.kl == ordinary_report.kl && report.hidden == ordinary_report.hidden);
    assert_int_equal(model->param_count, ordinary->param_count);
    bool clipped = options.estimator == OBI_ESTIMATOR_CLIP;
    const obi_train_linear *far = &model->layers[1].linear[OBI_LINEAR_UP];
    for (uint32_t i = 0; i < model->param_count; i++) {
        const obi_weight *gradient = &model->params[i].gradient;
        download(gradient, got);
        download(&ordinary->params[i].gradient, want);
        uint32_t at = i == far->weight ? gradient->columns + 3 : UINT32_MAX;
        if (at != UINT32_MAX) assert_true(want[at] != 0);
        for (uint32_t j = 0; j < gradient->rows * gradient->columns; j++)
            if (!(got[j] == (j == at && clipped ? 0 : want[j]))) fail_msg("gradient %u of %s", j, model->params[i].name);
    }
    obi_trainer_destroy(trainer);
    obi_trainer_destroy(ordinary_trainer);
    obi_train_model_free(model);
    obi_train_model_free(ordinary);
    obi_upload_destroy(upload);
    obi_train_options_clear(&options);
    test_device_check();
}

static void test_gradient(void **state)
{
    (void)state;
    check_gradient(&forms[1]); /* by the mean */
    check_gradient(&forms[3]); /* min-max */
}

/* Steps move the weights, and their levels are made anew. */
static void test_steps(void **state)
{
    (void)state;
    static float before[FLOATS_MAX], after[FLOATS_MAX], w[FLOATS_MAX], steps[FLOATS_MAX];
    obi_train_options options;
    obi_train_model *model;
    obi_trainer *trainer;
    obi_step_report report;
    double first = 0;
    set_form(&options, &forms[1]);
    options.learning_rate = 1e-2;
    TEST_OK(obi_train_model_student(test_device(), source, &options, &model));
    const obi_train_linear *linear = &model->layers[0].linear[OBI_LINEAR_DOWN];
    download(&linear->levels, before);
    TEST_OK(obi_trainer_create(test_device(), &options, model, teacher, &data, 8, &trainer));
    for (int i = 0; i < 8; i++) {
        TEST_OK(obi_trainer_step(trainer, &report));
        if (i == 0) first = report.loss;
    }
    assert_true(report.loss < 0.9 * first);
    download(&linear->levels, after);
    download(&linear->steps, steps);
    download(&model->params[linear->weight].w, w);
    assert_memory_not_equal(before, after, (size_t)linear->levels.rows * linear->levels.columns * 4);
    for (uint32_t i = 0; i < linear->levels.rows; i++)
        check_row(&forms[1], w + i * linear->levels.columns, after + i * linear->levels.columns, linear->levels.columns, (double)steps[i]);
    obi_trainer_destroy(trainer);
    obi_train_model_free(model);
    obi_train_options_clear(&options);
    test_device_check();
}

/* The plan counts the levels: beyond an ordinary student's weights by one copy of the linears and a step a row. */
static void test_plan(void **state)
{
    (void)state;
    obi_train_options options;
    obi_train_model *model;
    obi_memory_plan plan;
    obi_config config = source->config;
    set_form(&options, &forms[1]);
    TEST_OK(obi_train_model_student(test_device(), source, &options, &model));
    TEST_OK(obi_plan_memory(test_device(), &options, &config, &source->config, &plan));
    uint64_t made = obi_train_model_bytes(model), planned = plan.weights + plan.gradients + plan.optimiser;
    uint64_t tensors = 4ull * model->param_count + 2ull * model->config.layers * OBI_LINEAR_COUNT;
    assert_true(planned >= made && planned <= made + tensors * OBI_BUFFER_ALIGNMENT); /* each is rounded up */
    obi_train_model_free(model);
    obi_train_options_clear(&options);
    test_device_check();
}

static void test_options(void **state)
{
    (void)state;
    obi_train_options options;
    set_form(&options, &(llmqat_form){ "llmqat_sym", "2" });
    assert_true(options.latent_init == OBI_LATENT_RAW && !options.post_norm && options.estimator == OBI_ESTIMATOR_CLIP);
    assert_true(options.estimator_alpha == 2);
    TEST_OK(obi_train_options_set(&options, "bits", "1"));
    assert_int_equal(obi_train_options_check(&options), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "no levels with 1 bit"));
    assert_int_equal(obi_train_options_set(&options, "bits", "5"), OBI_ERROR_ARGUMENT);
    obi_train_options_clear(&options);
    TEST_OK(obi_train_options_init(&options));
    TEST_OK(obi_train_options_set(&options, "preset", "llmqat"));
    assert_true(options.method == OBI_METHOD_LLMQAT && options.bits == 2 && options.kd_beta == 0 && options.learning_rate == 2e-5);
    assert_true(options.weight_decay == 0 && options.trainable == OBI_TRAIN_ALL);
    obi_train_options_clear(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels), cmocka_unit_test(test_astray), cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_steps),  cmocka_unit_test(test_plan),   cmocka_unit_test(test_options),
    };
    return test_device_finish(cmocka_run_group_tests(tests, open_model, close_model));
}

/* test_forms: the forms of a 1-bit layer (method) and the starts of g and h (scales_init): first values against a host's, what
 * stays and what moves in training, tied gradients and their norm. test_form_runs has whole runs. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "quant/train/trainer.h"

#define DIRECTORY OB_SOURCE_DIR "/tests/data/gradients" /* a model of two layers, odd sizes and all */
#define SEQUENCES 2u
#define TOKENS 64u
#define FLOATS_MAX 4096u

/* ---- starts ----------------------------------------------------------------------------------------- */

static obi_source *source;
static obi_dataset data;

static int open_model(void **state)
{
    (void)state;
    TEST_OK(obi_source_open(&source, DIRECTORY, NULL));
    data = (obi_dataset){ .blocks = SEQUENCES, .length = TOKENS, .ids = obi_calloc(SEQUENCES * TOKENS, sizeof(uint32_t)) };
    obi_rng rng = obi_rng_seed(1);
    for (uint32_t i = 0; i < SEQUENCES * TOKENS; i++) data.ids[i] = (uint32_t)(obi_rng_next(&rng) % source->config.vocabulary);
    return 0;
}

static void set_method(obi_train_options *options, obi_method method, obi_scales_init start)
{
    TEST_OK(obi_train_options_init(options));
    options->method = method;
    options->scales_init = start;
    options->per_device_train_batch_size = SEQUENCES;
    options->cutoff_len = TOKENS;
    options->latent_init = OBI_LATENT_RAW;
    options->trainable = OBI_TRAIN_ALL;
    options->learning_rate = options->scales_learning_rate = options->other_learning_rate = 1e-2;
}

static void download(const obi_weight *weight, float out[FLOATS_MAX])
{
    assert_int_equal(weight->block_count, 1);
    assert_true((uint64_t)weight->rows * weight->row_words <= FLOATS_MAX);
    TEST_OK(obi_download_bytes(test_device(), obi_view_of(weight->blocks[0]), out, (uint64_t)weight->rows * weight->row_words * 4));
}

/* A linear's latent weight and scales. */
typedef struct layer_values {
    uint32_t rows, columns;
    const char *name;
    float w[FLOATS_MAX], scales[FLOATS_MAX];
    const float *g, *h;
} layer_values;

static void read_layer(const obi_train_model *model, uint32_t layer, int kind, layer_values *out)
{
    const obi_train_linear *linear = &model->layers[layer].linear[kind];
    const obi_param *weight = &model->params[linear->weight];
    out->rows = weight->w.rows;
    out->columns = weight->w.columns;
    out->name = weight->name;
    download(&weight->w, out->w);
    download(&model->params[linear->scales].w, out->scales);
    out->g = out->scales;
    out->h = out->scales + obi_scales_h_offset(out->columns);
}

/* The mean of a matrix, of its absolute values around `center`, and of those of each row. */
static double measure(const float *w, uint32_t rows, uint32_t columns, double center, double *row_means)
{
    double sum = 0;
    for (uint32_t i = 0; i < rows; i++) {
        double row = 0;
        for (uint32_t j = 0; j < columns; j++) row += fabs((double)w[i * columns + j] - center);
        if (row_means) row_means[i] = row / columns;
        sum += row;
    }
    return sum / rows / columns;
}

static void assert_close(double got, double want)
{
    if (!(fabs(got - want) <= 1e-6 * fabs(want))) fail_msg("%.9g instead of %.9g", got, want);
}

/* Every layer's first g, h and latent weights, from the source's weights in another way. */
static void check_start(const obi_train_model *model, obi_method method)
{
    static layer_values got;
    static float w[FLOATS_MAX];
    static double row_means[FLOATS_MAX];
    for (uint32_t layer = 0; layer < model->config.layers; layer++)
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
            read_layer(model, layer, kind, &got);
            uint64_t count = (uint64_t)got.rows * got.columns;
            TEST_OK(obi_source_read(obi_source_find(source, got.name), 0, got.rows, w));
            double center = 0;
            for (uint64_t i = 0; method == OBI_METHOD_BITNET_B1 && i < count; i++) center += (double)w[i] / (double)count;
            double mean = measure(w, got.rows, got.columns, center, row_means);
            uint32_t distinct = 0;
            for (uint32_t j = 0; j < got.columns; j++) assert_true(got.g[j] == 1.0f);
            for (uint32_t i = 0; i < got.rows; i++) {
                assert_close((double)got.h[i], method == OBI_METHOD_XNOR ? row_means[i] : mean);
                distinct += got.h[i] != got.h[0];
            }
            assert_true(method == OBI_METHOD_XNOR ? distinct > 0 : distinct == 0);
            uint64_t other_signs = 0;
            for (uint64_t i = 0; i < count; i++) {
                assert_true(fabs((double)got.w[i] - ((double)w[i] - center)) <= 1e-7);
                other_signs += (got.w[i] < 0) != (w[i] < 0);
            }
            if (method != OBI_METHOD_BITNET_B1) assert_int_equal(other_signs, 0);
        }
}

static void test_first_values(void **state)
{
    (void)state;
    static const struct {
        obi_method method;
        obi_scales_init start;
    } forms[] = { { OBI_METHOD_XNOR, OBI_SCALES_SVID },
                  { OBI_METHOD_BITNET_B1, OBI_SCALES_SVID },
                  { OBI_METHOD_ONEBIT, OBI_SCALES_PLAIN } };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        obi_train_options options;
        obi_train_model *model;
        set_method(&options, forms[i].method, forms[i].start);
        TEST_OK(obi_train_model_student(test_device(), source, &options, &model));
        check_start(model, forms[i].method);
        obi_train_model_free(model);
        obi_train_options_clear(&options);
    }
    test_device_check();
}

/* BitNet's latent weights take their form from W - mean W too. */
static void test_centred_latent_form(void **state)
{
    (void)state;
    static layer_values raw, scaled;
    obi_train_options options;
    obi_train_model *model;
    set_method(&options, OBI_METHOD_BITNET_B1, OBI_SCALES_SVID);
    TEST_OK(obi_train_model_student(test_device(), source, &options, &model));
    read_layer(model, 0, OBI_LINEAR_UP, &raw);
    obi_train_model_free(model);
    options.latent_init = OBI_LATENT_CONSTANT;
    TEST_OK(obi_train_model_student(test_device(), source, &options, &model));
    read_layer(model, 0, OBI_LINEAR_UP, &scaled);
    for (uint32_t i = 0; i < raw.rows * raw.columns; i++) assert_true(scaled.w[i] == (raw.w[i] < 0 ? -0.01f : 0.01f));
    for (uint32_t i = 0; i < raw.rows; i++) assert_true(scaled.h[i] == raw.h[i]);
    obi_train_model_free(model);
    obi_train_options_clear(&options);
}

static void test_random_start(void **state)
{
    (void)state;
    static layer_values first, again, other, neighbour;
    obi_train_options options;
    obi_train_model *model;
    set_method(&options, OBI_METHOD_ONEBIT, OBI_SCALES_RANDOM);
    TEST_OK(obi_train_model_student(test_device(), source, &options, &model));
    read_layer(model, 0, OBI_LINEAR_GATE, &first);
    read_layer(model, 0, OBI_LINEAR_UP, &neighbour);
    double sum = 0, expected = 0, products = 0;
    for (uint32_t layer = 0; layer < model->config.layers; layer++)
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) { /* all together, as one has few values */
            read_layer(model, layer, kind, &other);
            double g = 0, h = 0;
            for (uint32_t j = 0; j < other.columns; j++) {
                assert_true(other.g[j] >= 0);
                g += (double)other.g[j] / other.columns;
            }
            for (uint32_t i = 0; i < other.rows; i++) h += (double)other.h[i] / other.rows;
            double mean = measure(other.w, other.rows, other.columns, 0, NULL);
            sum += g * h / mean;
            expected += 1;
            products += g * g / mean;
        }
    print_message("mean g h / mean |W|: %.3f, g and h alike: %.3f\n", sum / expected, products / expected);
    assert_true(fabs(sum / expected - 1) < 0.15 && fabs(products / expected - 1) < 0.15);
    obi_train_model_free(model);
    TEST_OK(obi_train_model_student(test_device(), source, &options, &model));
    read_layer(model, 0, OBI_LINEAR_GATE, &again);
    assert_memory_equal(first.scales, again.scales, (obi_scales_h_offset(first.columns) + first.rows) * 4);
    assert_memory_not_equal(first.scales, neighbour.scales, first.columns * 4);
    obi_train_model_free(model);
    options.seed++;
    TEST_OK(obi_train_model_student(test_device(), source, &options, &model));
    read_layer(model, 0, OBI_LINEAR_GATE, &other);
    assert_memory_not_equal(first.scales, other.scales, first.columns * 4);
    obi_train_model_free(model);
    obi_train_options_clear(&options);
    test_device_check();
}

/* Random weights are drawn more than once for the other forms; those behind them must not notice. */
static void test_random_student_has_its_teachers_weights(void **state)
{
    (void)state;
    static layer_values got;
    static float w[FLOATS_MAX];
    static const obi_method methods[] = { OBI_METHOD_ONEBIT, OBI_METHOD_XNOR, OBI_METHOD_BITNET_B1 };
    for (size_t m = 0; m < 3; m++) {
        obi_train_options options;
        obi_train_model *model, *teacher;
        set_method(&options, methods[m], OBI_SCALES_SVID);
        options.hidden_size = 32;
        options.intermediate_size = 48;
        options.num_hidden_layers = 2;
        options.num_attention_heads = options.num_key_value_heads = 2;
        TEST_OK(obi_train_model_random_teacher(test_device(), &options, 70, &teacher));
        TEST_OK(obi_train_model_random_student(test_device(), &options, 70, &model));
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
            read_layer(model, 1, kind, &got);
            download(&teacher->params[teacher->layers[1].linear[kind].weight].w, w);
            double center = 0;
            uint32_t count = got.rows * got.columns;
            for (uint32_t i = 0; methods[m] == OBI_METHOD_BITNET_B1 && i < count; i++) center += (double)w[i] / count;
            for (uint32_t i = 0; i < count; i++) assert_true(fabs((double)got.w[i] - ((double)w[i] - center)) < 1e-8);
            if (methods[m] == OBI_METHOD_BITNET_B1) assert_close((double)got.h[0], measure(w, got.rows, got.columns, center, NULL));
        }
        obi_train_model_free(model);
        obi_train_model_free(teacher);
        obi_train_options_clear(&options);
    }
    test_device_check();
}

/* ---- steps --------------------------------------------------------------------------------------------------------- */

/* A step without effect, from the form's start; its gradients stay on the device. `free_scales`: as if g and h were all free. */
static void look_at_gradient(obi_method method, bool free_scales, obi_train_options *options, obi_train_model **model,
                             obi_train_model *teacher, obi_trainer **trainer, obi_step_report *report)
{
    set_method(options, method, OBI_SCALES_SVID);
    options->learning_rate = options->scales_learning_rate = options->other_learning_rate = 0;
    options->weight_decay = 0;
    TEST_OK(obi_train_model_student(test_device(), source, options, model));
    for (uint32_t i = 0; free_scales && i < (*model)->param_count; i++) {
        (*model)->params[i].count = 0;
        (*model)->params[i].tied = false;
    }
    TEST_OK(obi_trainer_create(test_device(), options, *model, teacher, &data, 1, trainer));
    TEST_OK(obi_trainer_step(*trainer, report));
    assert_false(report->skipped);
}

/* The tied gradient is the sum of the free ones; in the norm it counts once, and what is fixed does not count. */
static void check_gradient(obi_method method)
{
    static float free_gradient[FLOATS_MAX], gradient[FLOATS_MAX];
    obi_train_options options, free_options;
    obi_train_model *teacher, *model, *free_model;
    obi_trainer *trainer, *free_trainer;
    obi_step_report report, free_report;
    TEST_OK(obi_train_model_from_source(test_device(), source, NULL, &teacher));
    look_at_gradient(method, true, &free_options, &free_model, teacher, &free_trainer, &free_report);
    look_at_gradient(method, false, &options, &model, teacher, &trainer, &report);
    assert_true(report.loss == free_report.loss);
    double square = 0, g_square = 0;
    for (uint32_t i = 0; i < model->param_count; i++) {
        const obi_param *param = &model->params[i];
        download(&free_model->params[i].gradient, free_gradient);
        if (param->group != OBI_GROUP_SCALES) {
            for (uint32_t j = 0; j < param->w.rows * param->w.columns; j++) square += (double)free_gradient[j] * (double)free_gradient[j];
            continue;
        }
        assert_true(param->count > 0 && param->tied == (method == OBI_METHOD_BITNET_B1));
        download(&param->gradient, gradient);
        double sum = 0, size = 0;
        const float *h = free_gradient + param->first;
        for (uint32_t j = 0; j < param->first; j++) g_square += (double)free_gradient[j] * (double)free_gradient[j];
        for (uint32_t j = 0; j < param->count; j++) {
            sum += (double)h[j];
            size += fabs((double)h[j]);
            if (!param->tied) square += (double)h[j] * (double)h[j];
        }
        if (param->tied) square += sum * sum;
        for (uint32_t j = 0; j < param->count; j++) {
            double want = param->tied ? sum : (double)h[j];
            if (!(fabs((double)gradient[param->first + j] - want) <= 1e-6 * size)) fail_msg("%s: gradient of h", param->name);
            assert_true(!param->tied || gradient[param->first + j] == gradient[param->first]);
        }
    }
    print_message("norm of the gradient: %.6f, of free scales %.6f\n", report.gradient_norm, free_report.gradient_norm);
    assert_true(g_square > 1e-4 * square); /* or the next line would not notice it */
    assert_true(fabs(report.gradient_norm / sqrt(square) - 1) < 1e-5);
    obi_trainer_destroy(trainer);
    obi_trainer_destroy(free_trainer);
    obi_train_model_free(model);
    obi_train_model_free(free_model);
    obi_train_model_free(teacher);
    obi_train_options_clear(&options);
    obi_train_options_clear(&free_options);
    test_device_check();
}

static void test_tied_gradient(void **state)
{
    (void)state;
    check_gradient(OBI_METHOD_BITNET_B1);
}

static void test_gradient_of_rows(void **state)
{
    (void)state;
    check_gradient(OBI_METHOD_XNOR);
}

/* A few steps, decay and clipping on: g is 1, h has moved, and BitNet's is one number. */
static void check_steps(obi_method method)
{
    static layer_values before, after;
    obi_train_options options;
    obi_train_model *teacher, *model;
    obi_trainer *trainer;
    obi_step_report report;
    set_method(&options, method, OBI_SCALES_SVID);
    options.scales_weight_decay = 0.1;
    options.max_grad_norm = 0.1;
    TEST_OK(obi_train_model_from_source(test_device(), source, NULL, &teacher));
    TEST_OK(obi_train_model_student(test_device(), source, &options, &model));
    TEST_OK(obi_trainer_create(test_device(), &options, model, teacher, &data, 4, &trainer));
    read_layer(model, 1, OBI_LINEAR_DOWN, &before);
    for (int i = 0; i < 4; i++) {
        TEST_OK(obi_trainer_step(trainer, &report));
        assert_true(!report.skipped && report.gradient_norm > 0.1);
    }
    for (uint32_t layer = 0; layer < model->config.layers; layer++)
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
            read_layer(model, layer, kind, &after);
            for (uint32_t j = 0; j < after.columns; j++) assert_true(after.g[j] == 1.0f);
            for (uint32_t i = 1; method == OBI_METHOD_BITNET_B1 && i < after.rows; i++) assert_true(after.h[i] == after.h[0]);
        }
    read_layer(model, 1, OBI_LINEAR_DOWN, &after);
    for (uint32_t i = 0; i < after.rows; i++) assert_true(fabs((double)after.h[i] - (double)before.h[i]) > 1e-4);
    assert_true(method == OBI_METHOD_BITNET_B1 || after.h[1] - before.h[1] != after.h[0] - before.h[0]);
    obi_trainer_destroy(trainer);
    obi_train_model_free(model);
    obi_train_model_free(teacher);
    obi_train_options_clear(&options);
    test_device_check();
}

static void test_steps_of_xnor(void **state)
{
    (void)state;
    check_steps(OBI_METHOD_XNOR);
}

static void test_steps_of_bitnet(void **state)
{
    (void)state;
    check_steps(OBI_METHOD_BITNET_B1);
}

static int close_model(void **state)
{
    (void)state;
    obi_dataset_close(&data);
    obi_source_close(source);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_values),  cmocka_unit_test(test_centred_latent_form),
        cmocka_unit_test(test_random_start),  cmocka_unit_test(test_random_student_has_its_teachers_weights),
        cmocka_unit_test(test_tied_gradient), cmocka_unit_test(test_gradient_of_rows),
        cmocka_unit_test(test_steps_of_xnor), cmocka_unit_test(test_steps_of_bitnet),
    };
    return test_device_finish(cmocka_run_group_tests(tests, open_model, close_model));
}

/* test_gradients: one whole training step of a two-layer model against an independent autograd (PyTorch in float64,
 * scripts/golden_gradients.py and golden_gradients_opt.py): losses and the gradient of every tensor, ordinary and 1-bit, of a
 * LLaMA and of OPT with norms first and last; and what the equations say of the 1-bit gradients whatever the numbers are. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "quant/import/safetensors.h"
#include "quant/train/pass_views.h"
#include "quant/train/trainer.h"

#define DATA OB_SOURCE_DIR "/tests/data/"
#define SEQUENCES 2u
#define TOKENS 64u

/* f32 against float64: sums of up to 64 * 33 products through two layers. The relative error of a whole tensor's gradient,
 * ||got - want|| / ||want||, as the issue asks for it. */
#define TOLERANCE 1e-4

static const char *directory; /* of the model and its golden file */
static obi_mapping golden_file;
static obi_safetensors golden;
static obi_dataset data;

static const float *values(const char *prefix, const char *name, uint64_t count)
{
    char full[96];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const obi_safetensors_tensor *tensor = obi_safetensors_find(&golden, full);
    if (!tensor || tensor->bytes != count * 4) fail_msg("golden.safetensors: %s is missing or has another size", full);
    return (const float *)(const void *)tensor->data;
}

static int open_golden(void **state)
{
    char path[1024];
    directory = *state;
    snprintf(path, sizeof path, "%s/golden.safetensors", directory);
    TEST_OK(obi_mapping_open(&golden_file, path));
    TEST_OK(obi_safetensors_open(&golden, &golden_file));
    const float *ids = values("", "ids", SEQUENCES * TOKENS);
    data = (obi_dataset){ .blocks = SEQUENCES, .length = TOKENS, .ids = obi_calloc(SEQUENCES * TOKENS, sizeof(uint32_t)) };
    for (uint32_t i = 0; i < SEQUENCES * TOKENS; i++) data.ids[i] = (uint32_t)ids[i];
    return 0;
}

static int close_golden(void **state)
{
    (void)state;
    obi_dataset_close(&data);
    obi_safetensors_close(&golden);
    obi_mapping_close(&golden_file);
    return 0;
}

/* A step that changes nothing: the learning rate is 0. */
static void set_options(obi_train_options *options)
{
    TEST_OK(obi_train_options_init(options));
    options->per_device_train_batch_size = SEQUENCES;
    options->cutoff_len = TOKENS;
    options->learning_rate = options->scales_learning_rate = options->other_learning_rate = 0;
    options->weight_decay = 0;
    options->max_grad_norm = 0;
    options->trainable = OBI_TRAIN_ALL;
    options->latent_init = OBI_LATENT_RAW;
}

static void download(const obi_weight *weight, float *out) /* one block */
{
    assert_int_equal(weight->block_count, 1);
    TEST_OK(obi_download_bytes(test_device(), obi_view_of(weight->blocks[0]), out, (uint64_t)weight->rows * weight->row_words * 4));
}

static double worst;

/* A bias of the keys moves all scores of a query alike, and softmax does not see it: its gradient is 0 but for rounding, which is
 * measured by that of the queries' bias. */
static double size_beside_keys(const char *prefix, const char *name, uint64_t count)
{
    char other[96];
    double size = 0;
    snprintf(other, sizeof other, "%.*sattn_q.bias", (int)(strlen(name) - strlen("attn_k.bias")), name);
    const float *queries = values(prefix, other, count);
    for (uint64_t i = 0; i < count; i++) size += (double)queries[i] * (double)queries[i];
    return size;
}

static void compare(const char *prefix, const char *name, const float *got, uint64_t count)
{
    const float *want = values(prefix, name, count);
    double difference = 0, size = 0;
    for (uint64_t i = 0; i < count; i++) {
        difference += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        size += (double)want[i] * (double)want[i];
    }
    if (strstr(name, "attn_k.bias")) size = size_beside_keys(prefix, name, count);
    double relative = sqrt(difference / size);
    if (relative > worst) worst = relative;
    if (!(relative < TOLERANCE)) fail_msg("gradient of %s%s: relative error %.3g", prefix, name, relative);
}

static void compare_loss(const char *what, double got, int index)
{
    double want = (double)values("", "losses", 5)[index];
    if (!(fabs(got - want) < 1e-5 * (1 + fabs(want)))) fail_msg("%s is %.8f, golden %.8f", what, got, want);
}

static void test_dense(void **state)
{
    (void)state;
    obi_train_options options;
    obi_source *source;
    obi_train_model *model;
    obi_trainer *trainer;
    obi_step_report report;
    float gradient[4096];
    set_options(&options);
    TEST_OK(obi_source_open(&source, directory, NULL));
    TEST_OK(obi_train_model_from_source(test_device(), source, &options, &model));
    TEST_OK(obi_trainer_create(test_device(), &options, model, NULL, &data, 1, &trainer));
    TEST_OK(obi_trainer_step(trainer, &report));
    assert_false(report.skipped);
    compare_loss("the next-token loss", report.nll, 0);
    worst = 0;
    for (uint32_t i = 0; i < model->param_count; i++) {
        download(&model->params[i].gradient, gradient);
        compare("dense.", model->params[i].name, gradient, (uint64_t)model->params[i].w.rows * model->params[i].w.columns);
    }
    print_message("%u tensors, largest relative error %.2g\n", model->param_count, worst);
    obi_trainer_destroy(trainer);
    obi_train_model_free(model);
    obi_source_close(source);
    obi_train_options_clear(&options);
    test_device_check();
}

/* Puts the golden student's latent weights and scales in place of what SVID gave. */
static void load_student(obi_train_model *model, obi_upload *upload)
{
    for (uint32_t layer = 0; layer < model->config.layers; layer++)
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
            if (!obi_config_has_linear(&model->config, kind)) continue;
            const obi_train_linear *linear = &model->layers[layer].linear[kind];
            const obi_weight *weight = &model->params[linear->weight].w, *scales = &model->params[linear->scales].w;
            char role[48];
            snprintf(role, sizeof role, "blk.%u.%s", layer, obi_linear_roles[kind]);
            uint64_t m = weight->rows, n = weight->columns;
            float *both = obi_calloc(scales->columns, sizeof *both);
            char name[64];
            snprintf(name, sizeof name, "%s.weight", role);
            TEST_OK(obi_weight_upload(upload, weight, 0, (uint32_t)m, (const uint32_t *)(const void *)values("student.", name, m * n)));
            snprintf(name, sizeof name, "%s.input_factor", role);
            memcpy(both, values("student.", name, n), n * sizeof *both);
            snprintf(name, sizeof name, "%s.weight_scale", role);
            memcpy(both + obi_scales_h_offset((uint32_t)n), values("student.", name, m), m * sizeof *both);
            TEST_OK(obi_weight_upload(upload, scales, 0, 1, (const uint32_t *)(const void *)both));
            TEST_OK(obi_upload_finish(upload));
            obi_free(both);
        }
}

/* sum x dx = 0: a LayerNorm behind the layer makes the loss indifferent to the length of g and of h. */
static void check_invariance(const char *what, const float *x, const float *dx, uint64_t count)
{
    double sum = 0, sizes = 0;
    for (uint64_t i = 0; i < count; i++) {
        sum += (double)x[i] * (double)dx[i];
        sizes += fabs((double)x[i] * (double)dx[i]);
    }
    if (!(fabs(sum) <= 1e-4 * sizes)) fail_msg("%s: sum x dx = %g of terms that sum to %g", what, sum, sizes);
}

static void check_linear(const obi_train_model *model, uint32_t layer, int kind)
{
    const obi_train_linear *linear = &model->layers[layer].linear[kind];
    const obi_weight *weight = &model->params[linear->weight].w;
    uint32_t m = weight->rows, n = weight->columns, h = obi_scales_h_offset(n);
    float gradient[4096], scales[512];
    char role[48], name[64];
    snprintf(role, sizeof role, "blk.%u.%s", layer, obi_linear_roles[kind]);
    snprintf(name, sizeof name, "%s.weight", role);
    download(&model->params[linear->weight].gradient, gradient);
    compare("onebit.", name, gradient, (uint64_t)m * n);
    download(&model->params[linear->scales].gradient, gradient);
    download(&model->params[linear->scales].w, scales);
    snprintf(name, sizeof name, "%s.input_factor", role);
    compare("onebit.", name, gradient, n);
    check_invariance(name, scales, gradient, n);
    snprintf(name, sizeof name, "%s.weight_scale", role);
    compare("onebit.", name, gradient + h, m);
    check_invariance(name, scales + h, gradient + h, m);
}

static void test_onebit(void **state)
{
    (void)state;
    obi_train_options options;
    obi_source *source;
    obi_train_model *teacher, *student;
    obi_trainer *trainer;
    obi_upload *upload;
    obi_step_report report;
    float gradient[4096];
    set_options(&options);
    options.kd_alpha = (double)values("", "losses", 5)[3];
    options.kd_beta = (double)values("", "losses", 5)[4];
    TEST_OK(obi_source_open(&source, directory, NULL));
    TEST_OK(obi_train_model_from_source(test_device(), source, NULL, &teacher));
    TEST_OK(obi_train_model_student(test_device(), source, &options, &student));
    TEST_OK(obi_upload_create(test_device(), &upload));
    load_student(student, upload);
    TEST_OK(obi_trainer_create(test_device(), &options, student, teacher, &data, 1, &trainer));
    TEST_OK(obi_trainer_step(trainer, &report));
    assert_false(report.skipped);
    compare_loss("the KL", report.kl, 1);
    compare_loss("the hidden-state term", report.hidden, 2);
    worst = 0;
    for (uint32_t layer = 0; layer < student->config.layers; layer++)
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++)
            if (obi_config_has_linear(&student->config, kind)) check_linear(student, layer, kind);
    for (uint32_t i = 0; i < student->param_count; i++) {
        const obi_param *param = &student->params[i];
        if (param->group == OBI_GROUP_WEIGHT || param->group == OBI_GROUP_SCALES) continue;
        download(&param->gradient, gradient);
        compare("onebit.", param->name, gradient, (uint64_t)param->w.rows * param->w.columns);
    }
    print_message("%u parameters, largest relative error %.2g\n", student->param_count, worst);
    obi_trainer_destroy(trainer);
    obi_upload_destroy(upload);
    obi_train_model_free(student);
    obi_train_model_free(teacher);
    obi_source_close(source);
    obi_train_options_clear(&options);
    test_device_check();
}

/* Layers computed again give the same bits: the norms that come last read what only the forward pass makes. */
static void test_recomputed(void **state)
{
    (void)state;
    static float kept[4096], again[4096];
    obi_train_options options;
    obi_source *source;
    obi_train_model *model[2];
    obi_trainer *trainer;
    obi_step_report report;
    set_options(&options);
    TEST_OK(obi_source_open(&source, directory, NULL));
    for (int i = 0; i < 2; i++) {
        options.gradient_checkpointing = i == 1;
        TEST_OK(obi_train_model_from_source(test_device(), source, &options, &model[i]));
        TEST_OK(obi_trainer_create(test_device(), &options, model[i], NULL, &data, 1, &trainer));
        TEST_OK(obi_trainer_step(trainer, &report));
        obi_trainer_destroy(trainer);
    }
    for (uint32_t i = 0; i < model[0]->param_count; i++) {
        const obi_weight *weight = &model[0]->params[i].gradient;
        download(weight, kept);
        download(&model[1]->params[i].gradient, again);
        assert_memory_equal(kept, again, (size_t)weight->rows * weight->columns * 4);
    }
    obi_train_model_free(model[0]);
    obi_train_model_free(model[1]);
    obi_source_close(source);
    obi_train_options_clear(&options);
    test_device_check();
}

/* The test on the files of a directory. */
#define ON(test, path)                                                                                                                     \
    {                                                                                                                                      \
#test " on " path, test, open_golden, close_golden, (void *)(uintptr_t)(DATA path)                                                 \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(test_dense, "gradients"),
        ON(test_onebit, "gradients"),
        ON(test_dense, "gradients_opt/first"),
        ON(test_onebit, "gradients_opt/first"),
        ON(test_dense, "gradients_opt/last"),
        ON(test_onebit, "gradients_opt/last"),
        ON(test_recomputed, "gradients_opt/first"),
        ON(test_recomputed, "gradients_opt/last"),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

/* test_ptq: GPTQ and OmniQuant against an independent implementation (PyTorch in float64, scripts/reference_ptq.py), and what they say of
 * inputs that they cannot use. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "quant/import/safetensors.h"
#include "quant/ptq/calibrated.h"
#include "quant/ptq/gptq.h"
#include "quant/ptq/omniquant.h"

#define MODELS OB_SOURCE_DIR "/tests/data/"
#define GOLDEN OB_SOURCE_DIR "/tests/data/ptq/golden.safetensors"
#define WINDOWS 2u
#define TOKENS 64u
#define LAYERS 2u

/* Codes are chosen from numbers in f32 here and in float64 there: now and then one goes to the other side, and what comes behind it
 * goes another way. That moves a linear's errors by some 0.1 %; a wrong equation moves them by far more. */
#define TOLERANCE 0.01

static obi_source *source;
static char ids_path[1024];

static const float *values(const char *path, const char *name, uint64_t count, float *room)
{
    obi_mapping file;
    obi_safetensors tensors;
    TEST_OK(obi_mapping_open(&file, path));
    TEST_OK(obi_safetensors_open(&tensors, &file));
    const obi_safetensors_tensor *tensor = obi_safetensors_find(&tensors, name);
    if (!tensor || tensor->bytes != count * 4) fail_msg("%s: %s is missing or has another size", path, name);
    memcpy(room, tensor->data, count * 4);
    obi_safetensors_close(&tensors);
    obi_mapping_close(&file);
    return room;
}

/* The test's state is the name of its model's directory. */
static int open_source(void **state)
{
    char path[1024];
    snprintf(path, sizeof path, "%s%s", MODELS, (const char *)*state);
    snprintf(ids_path, sizeof ids_path, "%s%s/golden.safetensors", MODELS, (const char *)*state);
    TEST_OK(obi_source_open(&source, path, NULL));
    return 0;
}

static int close_source(void **state)
{
    (void)state;
    obi_source_close(source);
    return 0;
}

static void expect_near(const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * fabs(want))) fail_msg("%s is %g and not %g", what, got, want);
}

/* ---- a linear by itself ------------------------------------------------------------------------------------------ */

/* Numbers of -1 to 1, as scripts/reference_ptq.py makes them. */
static float noise(uint64_t i, uint32_t salt)
{
    uint32_t x = (uint32_t)(i + salt) * 2654435761u;
    x = (x ^ x >> 15) * 2246822519u;
    return (float)(x >> 16) / 32768 - 1;
}

static const obi_part nobody = { NULL, NULL };

enum { M = 16, N = 288, INPUTS = 640 };

static void fill_inputs(float *x)
{
    for (uint32_t t = 0; t < INPUTS; t++)
        for (uint32_t j = 0; j < N; j++) {
            float together = noise((uint64_t)t * (N / 8) + j / 8, 500000);
            x[t * N + j] = (noise((uint64_t)t * N + j, 100000) + 2 * together) * (float)(1 + j % 5);
            if (j == 7) x[t * N + j] = 0;
        }
}

static void make_hessian(const float *x, uint32_t inputs, obi_weight *hessian, obi_upload *upload)
{
    obi_buffer *buffer;
    obi_cmd *cmd;
    TEST_OK(obi_weight_create(test_device(), OBI_WEIGHT_F32, N, N, 0, hessian));
    TEST_OK(obi_buffer_create(test_device(), (uint64_t)inputs * N * 4, OBI_MEMORY_DEVICE, &buffer));
    TEST_OK(obi_upload_bytes(upload, obi_view_of(buffer), x, (uint64_t)inputs * N * 4));
    TEST_OK(obi_cmd_create(test_device(), &cmd));
    obi_cmd_begin(cmd);
    for (uint32_t i = 0; i < hessian->block_count; i++) obi_cmd_fill(cmd, obi_view_of(hessian->blocks[i]), 0);
    obi_gptq_observe(cmd, hessian, obi_view_of(buffer), inputs);
    TEST_OK(obi_cmd_run(cmd));
    obi_cmd_destroy(cmd);
    obi_buffer_destroy(test_device(), buffer);
}

static void test_wide_linear(void **state)
{
    (void)state;
    static const obi_gptq_options cases[] = { { .bits = 2, .damping = 0.01 },
                                              { .bits = 3, .group = 64, .damping = 0.01 },
                                              { .bits = 4, .group = 256, .damping = 0.01, .natural_order = true },
                                              { .bits = 1, .damping = 0.01 } };
    float want[8], *w = calloc(M * N, sizeof *w), *x = calloc(INPUTS * N, sizeof *x), row[N];
    obi_upload *upload;
    obi_weight hessian;
    TEST_OK(obi_upload_create(test_device(), &upload));
    for (uint32_t i = 0; i < M * N; i++) w[i] = noise(i, 1);
    fill_inputs(x);
    make_hessian(x, INPUTS, &hessian, upload);
    values(GOLDEN, "wide", 8, want);
    for (int c = 0; c < 4; c++) {
        obi_gptq_result result;
        TEST_OK(obi_gptq_run(test_device(), upload, w, M, N, &hessian, INPUTS, &cases[c], nobody, &result));
        expect_near("the weight's error", result.error / result.norm2, (double)want[2 * c], TOLERANCE);
        expect_near("the output's error", result.output_error / result.output_norm2, (double)want[2 * c + 1], TOLERANCE);
        for (uint32_t i = 0; i < M; i++) { /* the input that is always 0 has no weight; the rest are the codes' numbers */
            obi_codes_row(&result.codes, i, row);
            assert_true(row[7] == 0);
        }
        obi_codes_free(&result.codes);
    }
    obi_weight_destroy(test_device(), &hessian);

    /* Fewer inputs than columns, and no damping: there is no such Hessian to invert. */
    obi_gptq_result result;
    make_hessian(x, 40, &hessian, upload);
    obi_gptq_options none = { .bits = 2 };
    assert_int_equal(obi_gptq_run(test_device(), upload, w, M, N, &hessian, 40, &none, nobody, &result), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "singular"));
    none.damping = 0.01;
    TEST_OK(obi_gptq_run(test_device(), upload, w, M, N, &hessian, 40, &none, nobody, &result)); /* with it there is */
    obi_codes_free(&result.codes);
    none.group = 48;
    assert_int_equal(obi_gptq_run(test_device(), upload, w, M, N, &hessian, 40, &none, nobody, &result), OBI_ERROR_ARGUMENT);
    obi_weight_destroy(test_device(), &hessian);
    obi_upload_destroy(upload);
    free(w);
    free(x);
}

/* Ends the work when it has been asked `left` times. */
static obi_status end_after(void *user, double part, const char *what)
{
    uint32_t *left = user;
    assert_true(part >= 0 && part <= 1 && what[0]);
    return (*left)-- > 0 ? OBI_OK : OBI_ERROR_CANCELLED;
}

static obi_status fail_to_tell(void *user, double part, const char *what)
{
    (void)user, (void)part, (void)what;
    return obi_fail(OBI_ERROR_DATA, "the listener's own reason");
}

/* Whoever waits is asked in the inversion, before each block of columns and while the errors are measured, and ends it at once. */
static void test_ended_linear(void **state)
{
    (void)state;
    enum { INVERSION = 2 * N, BLOCKS = 3, ERRORS = 2 };
    static const uint32_t ends[] = { 0, 1, N, INVERSION - 1, INVERSION, INVERSION + 1, INVERSION + BLOCKS,
                                     INVERSION + BLOCKS + ERRORS - 1 };
    float *w = calloc(M * N, sizeof *w), *x = calloc(INPUTS * N, sizeof *x);
    const obi_gptq_options options = { .bits = 2, .damping = 0.01 };
    obi_upload *upload;
    obi_weight hessian;
    obi_gptq_result result;
    TEST_OK(obi_upload_create(test_device(), &upload));
    for (uint32_t i = 0; i < M * N; i++) w[i] = noise(i, 1);
    fill_inputs(x);
    make_hessian(x, INPUTS, &hessian, upload);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        uint32_t left = ends[i];
        assert_int_equal(obi_gptq_run(test_device(), upload, w, M, N, &hessian, INPUTS, &options, (obi_part){ end_after, &left }, &result),
                         OBI_ERROR_CANCELLED);
        assert_true(left == UINT32_MAX && !result.codes.codes); /* it was not asked once more */
    }
    const obi_part failing = { fail_to_tell, NULL };
    assert_int_equal(obi_gptq_run(test_device(), upload, w, M, N, &hessian, INPUTS, &options, failing, &result), OBI_ERROR_DATA);
    assert_string_equal(obi_last_error(), "the listener's own reason"); /* and not that the Hessian is singular */
    uint32_t left = INVERSION + BLOCKS + ERRORS;
    TEST_OK(obi_gptq_run(test_device(), upload, w, M, N, &hessian, INPUTS, &options, (obi_part){ end_after, &left }, &result));
    assert_int_equal(left, 0);
    obi_codes_free(&result.codes);
    obi_weight_destroy(test_device(), &hessian);
    obi_upload_destroy(upload);
    free(w);
    free(x);
}

/* ---- whole models ------------------------------------------------------------------------------------------------- */

static obi_status go_on(void *user, double part, const char *what)
{
    double *last = user;
    if (!(part >= *last && part <= 1) || !what[0]) fail_msg("progress went from %g to %g", *last, part);
    *last = part;
    return OBI_OK;
}

static obi_calibrated *begin(obi_ptq_options *options)
{
    obi_calibration calibration = { .ids = obi_calloc(WINDOWS * TOKENS, sizeof(uint32_t)), .windows = WINDOWS, .T = TOKENS };
    obi_calibrated *calibrated;
    float ids[WINDOWS * TOKENS];
    values(ids_path, "ids", WINDOWS * TOKENS, ids);
    for (uint32_t i = 0; i < WINDOWS * TOKENS; i++) calibration.ids[i] = (uint32_t)ids[i];
    TEST_OK(obi_ptq_options_complete(options));
    TEST_OK(obi_calibrated_create(test_device(), source, &calibration, options, &calibrated));
    return calibrated;
}

/* Returns behind the layer's numbers, two a linear. */
static const float *expect_errors(const obi_calibrated *calibrated, const float *want)
{
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        char what[96];
        if (!obi_config_has_linear(&source->config, kind)) continue;
        snprintf(what, sizeof what, "the weight's error of layer %u's %s", calibrated->layers_done - 1, obi_linear_roles[kind]);
        expect_near(what, calibrated->made[kind].error, (double)*want++, TOLERANCE);
        snprintf(what, sizeof what, "the output's error of layer %u's %s", calibrated->layers_done - 1, obi_linear_roles[kind]);
        expect_near(what, calibrated->made[kind].output_error, (double)*want++, TOLERANCE);
    }
    return want;
}

static void run(const char *name, obi_ptq_options options)
{
    float room[LAYERS * OBI_LINEAR_COUNT * 2];
    uint64_t linears = source->config.family == OBI_FAMILY_OPT ? OBI_LINEAR_COUNT - 1 : OBI_LINEAR_COUNT;
    const float *want = values(GOLDEN, name, LAYERS * linears * 2, room);
    obi_calibrated *calibrated = begin(&options);
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        double last = 0;
        TEST_OK(obi_calibrated_layer(calibrated, options.group ? nobody : (obi_part){ go_on, &last })); /* nobody need wait */
        want = expect_errors(calibrated, want);
    }
    obi_calibrated_destroy(calibrated);
}

static void test_gptq(void **state)
{
    (void)state;
    run("gptq.w2", (obi_ptq_options){ .method = OBI_PTQ_GPTQ, .bits = 2 });
    run("gptq.w3g8", (obi_ptq_options){ .method = OBI_PTQ_GPTQ, .bits = 3, .group = 8 });
}

static void test_omniquant(void **state)
{
    (void)state;
    run("omniquant.w2", (obi_ptq_options){ .method = OBI_PTQ_OMNIQUANT, .bits = 2 });
    run("omniquant.w3g8", (obi_ptq_options){ .method = OBI_PTQ_OMNIQUANT, .bits = 3, .group = 8, .epochs = 16 });
}

static void test_opt(void **state)
{
    bool last = strstr(*state, "last") != NULL;
    run(last ? "opt_last.gptq.w2" : "opt_first.gptq.w2", (obi_ptq_options){ .method = OBI_PTQ_GPTQ, .bits = 2 });
    run(last ? "opt_last.omniquant.w2" : "opt_first.omniquant.w2",
        (obi_ptq_options){ .method = OBI_PTQ_OMNIQUANT, .bits = 2, .epochs = 10 });
}

/* The losses of learning, which show an error of a gradient before a code shows it; of OPT with the scales of its inputs. */
static void test_omniquant_losses(void **state)
{
    bool opt = strstr(*state, "opt") != NULL;
    float want[2 * LAYERS];
    obi_ptq_options options = { .method = OBI_PTQ_OMNIQUANT, .bits = 2, .epochs = opt ? 10 : 40 };
    obi_calibrated *calibrated = begin(&options);
    obi_omniquant_losses losses;
    double last = 0;
    values(GOLDEN, opt ? "opt_first.omniquant.w2.losses" : "omniquant.w2.losses", 2 * LAYERS, want);
    TEST_OK(obi_block_load(calibrated->block, 0));
    TEST_OK(obi_omniquant_layer(calibrated, (obi_part){ go_on, &last }, &losses));
    assert_true((calibrated->factors[OBI_LINEAR_O] != NULL) == opt && !calibrated->factors[OBI_LINEAR_DOWN]);
    expect_near("the loss of the first epoch", losses.first, (double)want[0], 0.001);
    expect_near("the loss of the last epoch", losses.last, (double)want[1], 0.001);
    assert_true(losses.last < losses.first);
    obi_calibrated_destroy(calibrated);
}

static obi_status stop(void *user, double part, const char *what)
{
    (void)part;
    (void)what;
    return --*(int *)user > 0 ? OBI_OK : obi_fail(OBI_ERROR_CANCELLED, "cancelled");
}

/* Ended at any moment: the status comes back, nothing is left (the device's closing says so), and no layer follows on what is half one
 * layer's inputs and half another's. */
static void test_cancelled(void **state)
{
    (void)state;
    for (int after = 1; after <= 13; after += 4)
        for (int method = OBI_PTQ_GPTQ; method <= OBI_PTQ_OMNIQUANT; method++) {
            int left = after;
            obi_ptq_options options = { .method = (obi_ptq_method)method, .bits = 2, .epochs = method == OBI_PTQ_OMNIQUANT ? 4 : 0 };
            obi_calibrated *calibrated = begin(&options);
            assert_int_equal(obi_calibrated_layer(calibrated, (obi_part){ stop, &left }), OBI_ERROR_CANCELLED);
            assert_int_equal(obi_calibrated_layer(calibrated, nobody), OBI_ERROR_ARGUMENT);
            obi_calibrated_destroy(calibrated);
        }
}

int main(void)
{
#define ON(test, model) cmocka_unit_test_prestate_setup_teardown(test, open_source, close_source, (void *)(uintptr_t)model)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wide_linear),
        cmocka_unit_test(test_ended_linear),
        ON(test_gptq, "gradients"),
        ON(test_omniquant, "gradients"),
        ON(test_omniquant_losses, "gradients"),
        ON(test_omniquant_losses, "gradients_opt/first"),
        ON(test_opt, "gradients_opt/first"),
        ON(test_opt, "gradients_opt/last"),
        ON(test_cancelled, "gradients"),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

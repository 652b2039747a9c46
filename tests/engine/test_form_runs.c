/* test_form_runs: whole runs with each form of a 1-bit layer: stopped and gone on is unbroken, the file is what was trained and
 * has the form, packed models are gone on with in a form that suits them. */
#include "model_file.h"
#include "run_files.h"

#include <math.h>
#include <string.h>

#include "engine/score.h"
#include "quant/train/run.h"

#define TOKENS 64u
#define STEPS 4u

typedef struct watcher {
    uint64_t first_step, last_step, stop_at, trained;
    double held_out;
} watcher;

static void on_plan(const obi_run_plan *plan, void *user)
{
    ((watcher *)user)->first_step = plan->first_step;
    ((watcher *)user)->trained = plan->trained;
}

static void on_step(uint64_t step, uint64_t steps, const obi_step_report *report, double seconds, void *user)
{
    (void)steps;
    (void)report;
    (void)seconds;
    ((watcher *)user)->last_step = step;
}

static void on_evaluation(uint64_t step, double nll, double kl, bool best, void *user)
{
    (void)step;
    (void)kl;
    (void)best;
    ((watcher *)user)->held_out = nll;
}

static bool on_stop(void *user)
{
    const watcher *seen = user;
    return seen->stop_at > 0 && seen->last_step >= seen->stop_at;
}

/* A small distillation of stories260K. `keys`: key, value, ..., NULL, beyond its own. */
static obi_status train(const char *directory, const char *const *keys, watcher *seen)
{
    obi_train_options options;
    obi_run_hooks hooks = { .plan = on_plan, .step = on_step, .evaluation = on_evaluation, .stop = on_stop, .user = seen };
    const char *const own[] = { "teacher_model_name_or_path",
                                test_data_path("models/stories260K/stories260K.bin"),
                                "tokenizer_name_or_path",
                                test_data_path("models/stories260K/tok512.bin"),
                                "dataset",
                                text_file("text.txt", 16384),
                                "eval_dataset",
                                text_file("held.txt", 2048),
                                "output_dir",
                                path_in(directory, ""),
                                "cutoff_len",
                                "64",
                                "per_device_train_batch_size",
                                "2",
                                "max_steps",
                                "4",
                                "save_steps",
                                "1",
                                "save_total_limit",
                                "1",
                                "learning_rate",
                                "2e-3",
                                "latent_init",
                                "rowmean",
                                "latent_scale",
                                "0.02",
                                "trainable",
                                "all",
                                "scales_weight_decay",
                                "0.01",
                                NULL };
    TEST_OK(obi_train_options_init(&options));
    for (size_t i = 0; own[i]; i += 2) TEST_OK(obi_train_options_set(&options, own[i], own[i + 1]));
    for (size_t i = 0; keys[i]; i += 2) TEST_OK(obi_train_options_set(&options, keys[i], keys[i + 1]));
    obi_status status = obi_train_options_check(&options);
    if (status == OBI_OK) status = obi_train_run(test_device(), &options, &hooks);
    obi_train_options_clear(&options);
    return status;
}

/* The engine's likelihood of what the run has left. */
static double engine_loss(const char *directory)
{
    model_file model;
    obi_dataset text;
    obi_session_desc desc = { 0 };
    double nll[TOKENS], sum = 0;
    model_open(&model, path_in(directory, "model.gguf"));
    TEST_OK(obi_dataset_open(&text, path_in("", "held.txt"), model.tokenizer, "<|endoftext|>", TOKENS));
    obi_session *session = model_session(&model, &desc);
    uint64_t blocks = text.blocks / 2 * 2;
    for (uint64_t block = 0; block < blocks; block++) {
        TEST_OK(obi_session_score(session, text.ids + block * TOKENS, TOKENS, nll));
        for (uint32_t i = 0; i + 1 < TOKENS; i++) sum += nll[i];
    }
    obi_session_destroy(session);
    obi_dataset_close(&text);
    obi_tokenizer_free(model.tokenizer);
    obi_weights_free(model.weights);
    return sum / (double)(blocks * (TOKENS - 1));
}

/* Of a packed file: every g is 1; with `tied` each matrix has one h. */
static void check_packed(const char *path, bool tied)
{
    obi_source *packed;
    float values[512];
    TEST_OK(obi_source_open(&packed, path, NULL));
    uint32_t matrices = 0, uneven = 0;
    for (size_t i = 0; i < packed->tensor_count; i++) {
        const obi_source_tensor *tensor = &packed->tensors[i];
        bool g = strstr(tensor->name, "input_factor") != NULL;
        if (!g && !strstr(tensor->name, "weight_scale")) continue;
        assert_true(tensor->columns <= 512);
        TEST_OK(obi_source_read(tensor, 0, 1, values));
        uint32_t others = 0;
        for (uint64_t j = 0; j < tensor->columns; j++) others += values[j] != (g ? 1.0f : values[0]);
        if (g) assert_int_equal(others, 0);
        else matrices++, uneven += others > 0;
    }
    assert_true(matrices > 0);
    assert_int_equal(uneven, tied ? 0 : matrices);
    obi_source_close(packed);
}

/* Stopped and gone on is unbroken, to the bit, and the file has what the trainer had. */
static void check_run(const char *whole, const char *parts, const char *const *keys, double most)
{
    watcher seen = { 0 };
    TEST_OK(train(whole, keys, &seen));
    assert_int_equal(seen.last_step, STEPS);
    double engine = engine_loss(whole);
    print_message("%s: held-out loss: trainer %.5f, engine %.5f, trained %llu\n", whole, seen.held_out, engine,
                  (unsigned long long)seen.trained);
    assert_true(fabs(engine - seen.held_out) < 5e-3 && engine < most);
    seen = (watcher){ .stop_at = 2 };
    assert_int_equal(train(parts, keys, &seen), OBI_ERROR_CANCELLED);
    seen = (watcher){ 0 };
    TEST_OK(train(parts, keys, &seen));
    assert_int_equal(seen.first_step, 2);
    assert_same_file(path_in(parts, "model.gguf"), path_in(whole, "model.gguf"));
    assert_same_file(path_in(parts, "checkpoint-4/state.gguf"), path_in(whole, "checkpoint-4/state.gguf"));
    remove_run(parts);
    test_device_check();
}

static const char *const bitnet[] = { "method", "bitnet_b1", NULL }, *const xnor[] = { "method", "xnor", NULL };

static void test_run_of_bitnet(void **state)
{
    (void)state;
    check_run("bitnet", "parts", bitnet, 8);
    check_packed(path_in("bitnet", "model.gguf"), true);
}

static void test_run_of_xnor(void **state)
{
    (void)state;
    check_run("xnor", "parts", xnor, 8);
    check_packed(path_in("xnor", "model.gguf"), false);
}

static void expect_refusal(const char *directory, const char *const *keys, obi_status status, const char *words)
{
    watcher seen = { 0 };
    assert_int_equal(train(directory, keys, &seen), status);
    if (!strstr(obi_last_error(), words)) fail_msg("\"%s\" does not say \"%s\"", obi_last_error(), words);
}

/* What the file says of the form. */
static void check_said(const char *directory, const char *method, double linear_bits)
{
    obi_gguf file;
    float value;
    obi_gguf_string text;
    TEST_OK(obi_gguf_open(&file, path_in(directory, "model.gguf")));
    TEST_OK(obi_gguf_get_f32(&file, "onebit.linear_bits", true, &value));
    TEST_OK(obi_gguf_get_string(&file, "onebit.method", true, &text));
    assert_true(fabs((double)value - linear_bits) < 1e-5);
    assert_true(text.length == strlen(method) && memcmp(text.text, method, text.length) == 0);
    obi_gguf_close(&file);
}

/* stories260K: four matrices of 64 columns and 64 or 32 rows, three of 64 x 172; a step of 16 bits a row. */
static double bits_of(double bits)
{
    double rows = 64 + 32 + 32 + 64 + 172 + 172 + 64, weights = 64 * (64 + 32 + 32 + 64 + 3 * 172);
    return bits + 16 * rows / weights;
}

/* The file holds the trainer's levels, so that the engine's loss differs by the order of sums and by the f16 of the embedding. */
static void test_runs_of_llmqat(void **state)
{
    (void)state;
    check_run("llmqat", "parts", (const char *[]){ "method", "llmqat", NULL }, 8);
    check_said("llmqat", "llmqat", bits_of(2));
    expect_refusal("llmqat", (const char *[]){ "method", "llmqat", "bits", "1", NULL }, OBI_ERROR_DATA, "or other bits");
    remove_run("llmqat");
    for (int bits = 2; bits <= 4; bits += 2) { /* ternary, and with an offset */
        watcher seen = { 0 };
        TEST_OK(train("sym", (const char *[]){ "method", "llmqat_sym", "bits", bits == 2 ? "2" : "4", "max_steps", "1", NULL }, &seen));
        double engine = engine_loss("sym");
        print_message("llmqat_sym %d: held-out loss: trainer %.5f, engine %.5f\n", bits, seen.held_out, engine);
        assert_true(fabs(engine - seen.held_out) < 5e-3);
        check_said("sym", "llmqat_sym", bits_of(bits));
        remove_run("sym");
    }
    test_device_check();
}

static void test_run_of_random_scales(void **state)
{
    (void)state;
    const char *const keys[] = { "scales_init", "random", NULL };
    check_run("random", "parts", keys, 8);
}

/* A packed model is gone on with in its own form or a wider one. */
static void test_packed_starts(void **state)
{
    (void)state;
    char from_random[1024], from_xnor[1024], from_bitnet[1024];
    snprintf(from_random, sizeof from_random, "%s", path_in("random", "model.gguf"));
    snprintf(from_xnor, sizeof from_xnor, "%s", path_in("xnor", "model.gguf"));
    snprintf(from_bitnet, sizeof from_bitnet, "%s", path_in("bitnet", "model.gguf"));
    expect_refusal("none", (const char *[]){ "model_name_or_path", from_random, "method", "xnor", NULL }, OBI_ERROR_ARGUMENT,
                   "is packed and has another g in blk.0.attn_q");
    expect_refusal("none", (const char *[]){ "model_name_or_path", from_xnor, "method", "bitnet_b1", NULL }, OBI_ERROR_ARGUMENT,
                   "is packed and has several in blk.0.attn_q");
    expect_refusal("none", (const char *[]){ "model_name_or_path", from_xnor, "scales_init", "plain", NULL }, OBI_ERROR_ARGUMENT,
                   "is packed and has its g and h");
    expect_refusal("none", (const char *[]){ "stage", "pretrain", "teacher_model_name_or_path", "", "method", "xnor", NULL },
                   OBI_ERROR_ARGUMENT, "method: xnor is about 1-bit layers");
    expect_refusal("none", (const char *[]){ "model_name_or_path", from_xnor, "method", "llmqat", NULL }, OBI_ERROR_ARGUMENT,
                   "method: llmqat trains ordinary weights, but");
    assert_int_equal(access(path_in("none", ""), F_OK), -1);
    watcher seen = { 0 };
    TEST_OK(train("on", (const char *[]){ "model_name_or_path", from_bitnet, "method", "bitnet_b1", "max_steps", "2", NULL }, &seen));
    check_packed(path_in("on", "model.gguf"), true);
    remove_run("on");
    TEST_OK(train("on", (const char *[]){ "model_name_or_path", from_bitnet, "method", "xnor", "max_steps", "2", NULL }, &seen));
    check_packed(path_in("on", "model.gguf"), false);
    remove_run("on");
    test_device_check();
}

static void test_checkpoint_of_another_form(void **state)
{
    (void)state;
    expect_refusal("xnor", (const char *[]){ NULL }, OBI_ERROR_DATA, "another method");
    expect_refusal("random", (const char *[]){ NULL }, OBI_ERROR_DATA, "another method or scales_init");
    expect_refusal("random", (const char *[]){ "scales_init", "random", "method", "xnor", NULL }, OBI_ERROR_ARGUMENT,
                   "scales_init: only method: onebit");
}

static int close_scratch(void **state)
{
    remove_run("xnor");
    remove_run("bitnet");
    remove_run("random");
    unlink(path_in("", "text.txt"));
    unlink(path_in("", "held.txt"));
    return scratch_close(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_of_bitnet),
        cmocka_unit_test(test_run_of_xnor),
        cmocka_unit_test(test_runs_of_llmqat),
        cmocka_unit_test(test_run_of_random_scales),
        cmocka_unit_test(test_packed_starts),
        cmocka_unit_test(test_checkpoint_of_another_form),
    };
    test_leave_out_bytes();
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, close_scratch));
}

/* test_opt_train: OPT in training beyond its gradients (test_gradients): trained models as the engine reads their files, norms first
 * and last, in every form; the memory plan; a model made from nothing, its 1-bit student, and a run that was stopped. */
#include "model_file.h"
#include "run_files.h"

#include <math.h>
#include <string.h>

#include "engine/score.h"
#include "quant/train/decoder.h"
#include "quant/train/export.h"
#include "quant/train/run.h"

#define SEQUENCES 2u
#define TOKENS 64u

static obi_dataset data;

static int open_data(void **state)
{
    data = (obi_dataset){ .blocks = SEQUENCES, .length = TOKENS, .ids = obi_calloc(SEQUENCES * TOKENS, sizeof(uint32_t)) };
    obi_rng rng = obi_rng_seed(3);
    for (uint32_t i = 0; i < SEQUENCES * TOKENS; i++) data.ids[i] = (uint32_t)(obi_rng_next(&rng) % 33);
    return scratch_open(state);
}

static int close_data(void **state)
{
    obi_dataset_close(&data);
    return scratch_close(state);
}

/* The engine's mean loss of the blocks. */
static double engine_loss(const char *path, const obi_dataset *text, uint64_t blocks)
{
    obi_gguf gguf;
    model_file model = { 0 };
    obi_session_desc desc = { 0 };
    double nll[TOKENS], sum = 0;
    TEST_OK(obi_gguf_open(&gguf, path));
    TEST_OK(obi_weights_load(test_device(), &gguf, NULL, NULL, &model.weights));
    obi_gguf_close(&gguf);
    obi_session *session = model_session(&model, &desc);
    for (uint64_t block = 0; block < blocks; block++) {
        TEST_OK(obi_session_score(session, text->ids + block * TOKENS, TOKENS, nll));
        for (uint32_t i = 0; i + 1 < TOKENS; i++) sum += nll[i];
    }
    obi_session_destroy(session);
    obi_weights_free(model.weights);
    return sum / (double)(blocks * (TOKENS - 1));
}

/* The mean loss of the blocks by the decoder that lets models write, a token of each at a time. */
static double decoder_loss(const obi_train_model *model)
{
    obi_decoder *decoder;
    uint32_t V = model->config.vocabulary;
    double sum = 0;
    TEST_OK(obi_decoder_create(model, SEQUENCES, TOKENS, &decoder));
    for (uint32_t t = 0; t + 1 < TOKENS; t++) {
        const float *logits;
        uint32_t ids[SEQUENCES], positions[SEQUENCES];
        for (uint32_t b = 0; b < SEQUENCES; b++) ids[b] = data.ids[b * TOKENS + t], positions[b] = t;
        TEST_OK(obi_decoder_step(decoder, ids, positions, &logits));
        for (uint32_t b = 0; b < SEQUENCES; b++, logits += V) {
            double total = 0;
            for (uint32_t i = 0; i < V; i++) total += exp((double)logits[i]);
            sum += log(total) - (double)logits[data.ids[b * TOKENS + t + 1]];
        }
    }
    obi_decoder_destroy(decoder);
    return sum / (SEQUENCES * (TOKENS - 1));
}

/* Two steps, and what is planned for them; the file of what they leave. `method`: NULL trains the ordinary model. */
static void check_file(const char *directory, const char *method, const char *post_norm)
{
    obi_train_options options;
    obi_source *source;
    obi_train_model *teacher = NULL, *model;
    obi_trainer *trainer;
    obi_step_report report;
    obi_memory_plan plan;
    double nll, kl;
    char path[256];
    const char *const keys[][2] = { { "method", method ? method : "onebit" },
                                    { "post_norm", post_norm },
                                    { "dataset", "x" },
                                    { "output_dir", "x" },
                                    { "teacher_model_name_or_path", "x" },
                                    { "cutoff_len", "64" },
                                    { "per_device_train_batch_size", "2" },
                                    { "trainable", "all" },
                                    { "learning_rate", "1e-2" } };
    snprintf(path, sizeof path, "%s/tests/data/gradients_opt/%s", OB_SOURCE_DIR, directory);
    TEST_OK(obi_train_options_init(&options));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) TEST_OK(obi_train_options_set(&options, keys[i][0], keys[i][1]));
    TEST_OK(obi_train_options_check(&options));
    TEST_OK(obi_source_open(&source, path, NULL));
    obi_config config = source->config;
    if (method) {
        TEST_OK(obi_train_model_from_source(test_device(), source, NULL, &teacher));
        TEST_OK(obi_train_model_student(test_device(), source, &options, &model));
        obi_train_student_form(&options, &config);
    } else {
        TEST_OK(obi_train_model_from_source(test_device(), source, &options, &model));
    }
    TEST_OK(obi_plan_memory(test_device(), &options, &config, method ? &source->config : NULL, &plan));
    TEST_OK(obi_trainer_create(test_device(), &options, model, teacher, &data, 2, &trainer));
    uint64_t made = obi_train_model_bytes(model) + obi_trainer_bytes(trainer);
    uint64_t planned =
        plan.weights + plan.gradients + plan.optimiser + plan.activations + plan.teacher_activations + plan.logits + plan.other;
    if (planned < made || planned > made + made / 4) /* rounded up, tensor by tensor, and these are small */
        fail_msg("%llu bytes planned, %llu made", (unsigned long long)planned, (unsigned long long)made);
    for (int i = 0; i < 2; i++) {
        TEST_OK(obi_trainer_step(trainer, &report));
        assert_false(report.skipped);
    }
    TEST_OK(obi_trainer_evaluate(trainer, &data, SEQUENCES, &nll, &kl));
    TEST_OK(obi_train_export(model, NULL, "opt", path_in("", "opt.gguf")));
    double engine = engine_loss(path_in("", "opt.gguf"), &data, SEQUENCES);
    print_message("%s, %s, post_norm %s: trainer %.5f, engine %.5f\n", directory, method ? method : "ordinary", post_norm, nll, engine);
    if (!(fabs(engine - nll) < 5e-3)) fail_msg("trainer %.5f, engine %.5f", nll, engine); /* f16 of tables and scales */
    unlink(path_in("", "opt.gguf"));
    if (model->quantiser.bits == 0) { /* such models do not write: their files do */
        double decoded = decoder_loss(model);
        if (!(fabs(decoded - nll) < 1e-5 * nll)) fail_msg("trainer %.7f, decoder %.7f", nll, decoded); /* f32 in another order */
    }
    obi_trainer_destroy(trainer);
    obi_train_model_free(model);
    obi_train_model_free(teacher);
    obi_source_close(source);
    obi_train_options_clear(&options);
    test_device_check();
}

static void test_files(void **state)
{
    (void)state;
    check_file("first", NULL, "false");
    check_file("last", NULL, "false");
    check_file("first", "onebit", "true");
    check_file("last", "onebit", "true");
    check_file("first", "bitnet_b1", "false");
    check_file("last", "llmqat", "false");
}

typedef struct watcher {
    uint64_t first_step, last_step, stop_at;
    double held_out;
} watcher;

static void on_plan(const obi_run_plan *plan, void *user) { ((watcher *)user)->first_step = plan->first_step; }

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

static obi_status train(const char *directory, const char *const *keys, watcher *seen)
{
    obi_train_options options;
    obi_run_hooks hooks = { .plan = on_plan, .step = on_step, .evaluation = on_evaluation, .stop = on_stop, .user = seen };
    const char *const own[][2] = { { "dataset", text_file("text.txt", 8192) },
                                   { "eval_dataset", text_file("held.txt", 1024) },
                                   { "output_dir", path_in(directory, "") },
                                   { "cutoff_len", "64" },
                                   { "per_device_train_batch_size", "2" },
                                   { "max_steps", "4" },
                                   { "save_steps", "2" },
                                   { "learning_rate", "5e-3" } };
    TEST_OK(obi_train_options_init(&options));
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) TEST_OK(obi_train_options_set(&options, own[i][0], own[i][1]));
    for (; keys[0]; keys += 2) TEST_OK(obi_train_options_set(&options, keys[0], keys[1]));
    obi_status status = obi_train_options_check(&options);
    if (status == OBI_OK) status = obi_train_run(test_device(), &options, &hooks);
    obi_train_options_clear(&options);
    return status;
}

/* Against the engine, which reads the run's file. */
static void check_run(const char *directory, const watcher *seen)
{
    model_file model;
    obi_dataset text;
    model_open(&model, path_in(directory, "model.gguf"));
    TEST_OK(obi_dataset_open(&text, path_in("", "held.txt"), model.tokenizer, "<|endoftext|>", TOKENS));
    double engine = engine_loss(model.path, &text, text.blocks / SEQUENCES * SEQUENCES);
    print_message("%s: trainer %.5f, engine %.5f\n", directory, seen->held_out, engine);
    assert_true(fabs(engine - seen->held_out) < 5e-3);
    obi_dataset_close(&text);
    obi_tokenizer_free(model.tokenizer);
    obi_weights_free(model.weights);
}

static void test_runs(void **state)
{
    (void)state;
    watcher seen = { 0 };
    char teacher[1024];
    const char *const nothing[] = { "stage",
                                    "pretrain",
                                    "model_type",
                                    "opt",
                                    "hidden_size",
                                    "32",
                                    "intermediate_size",
                                    "64",
                                    "num_hidden_layers",
                                    "2",
                                    "num_attention_heads",
                                    "2",
                                    "max_position_embeddings",
                                    "64",
                                    "tokenizer_name_or_path",
                                    test_data_path("models/stories260K/tok512.bin"),
                                    NULL };
    TEST_OK(train("teacher", nothing, &seen));
    check_run("teacher", &seen);
    snprintf(teacher, sizeof teacher, "%s", path_in("teacher", "model.gguf"));
    const char *const student[] = { "teacher_model_name_or_path", teacher, NULL };
    seen = (watcher){ 0 };
    TEST_OK(train("student", student, &seen));
    check_run("student", &seen);
    seen = (watcher){ .stop_at = 2 };
    assert_int_equal(train("parts", student, &seen), OBI_ERROR_CANCELLED);
    seen = (watcher){ 0 };
    TEST_OK(train("parts", student, &seen));
    assert_int_equal(seen.first_step, 2);
    assert_same_file(path_in("parts", "model.gguf"), path_in("student", "model.gguf"));
    char packed[1024];
    snprintf(packed, sizeof packed, "%s", path_in("student", "model.gguf"));
    const char *const on[] = { "teacher_model_name_or_path", teacher, "model_name_or_path", packed, "max_steps", "2", NULL };
    seen = (watcher){ 0 };
    TEST_OK(train("on", on, &seen)); /* a packed student is gone on with */
    check_run("on", &seen);
    remove_run("on");
    remove_run("teacher");
    remove_run("student");
    remove_run("parts");
    unlink(path_in("", "text.txt"));
    unlink(path_in("", "held.txt"));
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_files), cmocka_unit_test(test_runs) };
    test_leave_out_bytes();
    return test_device_finish(cmocka_run_group_tests(tests, open_data, close_data));
}

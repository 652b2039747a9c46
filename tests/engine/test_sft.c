/* test_sft: instruction tuning: the loss is the mean over the answers' tokens of a whole step, a step without any changes
 * nothing, filling does not count, and a student goes on from its packed file. */
#include "model_file.h"
#include "run_files.h"

#include <math.h>
#include <string.h>

#include "engine/score.h"
#include "ops/op_loss.h"
#include "quant/train/export.h"
#include "quant/train/run.h"

#define MODEL "models/stories260K/stories260K.bin"
#define TOKENIZER "models/stories260K/tok512.bin"
#define T 64

static void set(obi_train_options *options, const char *key, const char *value) { TEST_OK(obi_train_options_set(options, key, value)); }

static void set_options(obi_train_options *options)
{
    TEST_OK(obi_train_options_init(options));
    set(options, "preset", "improved");
    set(options, "stage", "sft");
    set(options, "tokenizer_name_or_path", test_data_path(TOKENIZER));
    set(options, "template", "plain");
    set(options, "cutoff_len", "64");
    set(options, "learning_rate", "1e-3");
    set(options, "lr_scheduler_type", "constant");
    set(options, "max_grad_norm", "0");
}

static obi_source *open_source(void)
{
    obi_source *source;
    TEST_OK(obi_source_open(&source, test_data_path(MODEL), test_data_path(TOKENIZER)));
    return source;
}

/* The untrained 1-bit student of the test model as a packed file. */
static const char *student_file(void)
{
    const char *path = scratch_path("student.gguf");
    obi_train_options options;
    obi_train_model *student;
    set_options(&options);
    obi_source *source = open_source();
    TEST_OK(obi_train_model_student(test_device(), source, &options, &student));
    TEST_OK(obi_train_export(student, &source->vocab, "student", path));
    obi_train_model_free(student);
    obi_source_close(source);
    obi_train_options_clear(&options);
    return path;
}

static void write_examples(const char *path, int count)
{
    static const char *const words[] = { "cat", "dog", "sun", "tree" };
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < count; i++)
        fprintf(file, "{\"instruction\": \"Say the word\", \"input\": \"%s\", \"output\": \"The word is %s.\"}\n", words[i % 4],
                words[i % 4]);
    fclose(file);
}

/* ---- one step at a time ---------------------------------------------------------------------------------------- */

/* Two blocks of counting ids; the first has `first` trained tokens, the second `second`. */
static uint32_t ids[2 * T], targets[2 * T];
static obi_dataset two_blocks(uint32_t first, uint32_t second)
{
    obi_dataset data = { .ids = ids, .targets = targets, .blocks = 2, .length = T };
    for (uint32_t i = 0; i < 2 * T; i++) {
        ids[i] = 300 + i;
        targets[i] = i % T < (i < T ? first : second) ? 301 + i : OBI_NO_TARGET;
    }
    return data;
}

/* One step on `data`, with two batches of one sequence or one of two; the report, and the embedding behind it. */
static obi_step_report step(const obi_dataset *data, bool accumulate, float *embedding)
{
    obi_train_options options;
    obi_train_model *model;
    obi_trainer *trainer;
    obi_step_report report;
    set_options(&options);
    set(&options, "per_device_train_batch_size", accumulate ? "1" : "2");
    set(&options, "gradient_accumulation_steps", accumulate ? "2" : "1");
    obi_source *source = open_source();
    TEST_OK(obi_train_model_from_source(test_device(), source, &options, &model));
    TEST_OK(obi_trainer_create(test_device(), &options, model, NULL, data, 1, &trainer));
    TEST_OK(obi_trainer_step(trainer, &report));
    assert_false(report.skipped);
    TEST_OK(obi_download_bytes(test_device(), obi_view_of(model->params[model->embedding].w.blocks[0]), embedding, 512 * 64 * 4));
    obi_trainer_destroy(trainer);
    obi_train_model_free(model);
    obi_source_close(source);
    obi_train_options_clear(&options);
    return report;
}

static float before[512 * 64], after[512 * 64];

/* A batch with three answers' tokens and one with forty count by tokens, not by batches. */
static void test_mean_of_the_whole_step(void **state)
{
    (void)state;
    obi_dataset data = two_blocks(3, 40);
    obi_step_report whole = step(&data, false, before), parts = step(&data, true, after);
    print_message("loss %.6f and %.6f, gradient %.6f and %.6f\n", whole.nll, parts.nll, whole.gradient_norm, parts.gradient_norm);
    assert_true(fabs(whole.nll - parts.nll) < 1e-5 * whole.nll); /* sums in another order */
    assert_true(fabs(whole.gradient_norm - parts.gradient_norm) < 1e-4 * whole.gradient_norm);
    data = two_blocks(3, 0);
    double few = step(&data, true, after).nll; /* a batch without an answer adds nothing, and nothing to divide by */
    data = two_blocks(0, 40);
    double many = step(&data, false, after).nll;
    assert_true(fabs((3 * few + 40 * many) / 43 - whole.nll) < 1e-4 * whole.nll);
    assert_true(fabs((few + many) / 2 - whole.nll) > 1e-2 * whole.nll); /* else this test shows nothing */
    test_device_check();
}

static void test_step_without_answers(void **state)
{
    (void)state;
    obi_dataset data = two_blocks(0, 0);
    obi_step_report report = step(&data, true, after);
    assert_true(report.nll == 0 && report.loss == 0 && report.gradient_norm == 0);
    obi_source *source = open_source();
    TEST_OK(obi_source_read(obi_source_find(source, "token_embd.weight"), 0, 512, before));
    obi_source_close(source);
    assert_memory_equal(before, after, sizeof before);
    test_device_check();
}

/* What stands behind the answer changes neither loss nor what is learned. */
static void test_filling_does_not_count(void **state)
{
    (void)state;
    obi_dataset data = two_blocks(20, 20);
    obi_step_report first = step(&data, false, before);
    for (uint32_t s = 0; s < 2; s++)
        for (uint32_t t = 21; t < T; t++) ids[s * T + t] = 7;
    obi_step_report second = step(&data, false, after);
    assert_true(first.nll == second.nll);
    assert_memory_equal(before, after, sizeof before);
    test_device_check();
}

/* ---- from a packed file ---------------------------------------------------------------------------------------- */

/* The first value of the first linear's scales. */
static void put_scale(const obi_train_model *model, float value)
{
    uint32_t index = 0;
    while (model->params[index].group != OBI_GROUP_SCALES) assert_true(++index < model->param_count);
    obi_view at = obi_view_of(model->params[index].w.blocks[0]);
    at.size = sizeof value;
    obi_upload *upload;
    TEST_OK(obi_upload_create(test_device(), &upload));
    TEST_OK(obi_upload_bytes(upload, at, &value, sizeof value));
    TEST_OK(obi_upload_finish(upload));
    obi_upload_destroy(upload);
}

static void test_packed_student_is_read_whole(void **state)
{
    (void)state;
    const char *path = student_file(), *again = scratch_path("again.gguf");
    obi_train_options options;
    obi_train_model *model;
    obi_source *source;
    static float latent[64 * 64];
    set_options(&options);
    set(&options, "post_norm", "true"); /* the file's counts */
    set(&options, "trainable", "linears");
    TEST_OK(obi_source_open(&source, path, NULL));
    TEST_OK(obi_train_model_from_source(test_device(), source, &options, &model));
    assert_false(model->config.post_norm);
    assert_false(model->params[model->embedding].trained);
    const obi_param *weight = &model->params[model->layers[0].linear[OBI_LINEAR_Q].weight];
    assert_true(weight->trained);
    TEST_OK(obi_download_bytes(test_device(), obi_view_of(weight->w.blocks[0]), latent, sizeof latent));
    for (int i = 0; i < 64 * 64; i++) assert_true(fabsf(latent[i]) == (float)options.latent_scale);
    TEST_OK(obi_train_export(model, &source->vocab, "student", again));
    assert_same_file(path, again);
    put_scale(model, 70000);
    assert_int_equal(obi_train_export(model, &source->vocab, "student", again), OBI_ERROR_RUNTIME);
    assert_non_null(strstr(obi_last_error(), "the training diverged: ")); /* programs look for these words */
    assert_non_null(strstr(obi_last_error(), "has grown to 70000, which F16 cannot hold"));
    assert_same_file(path, again); /* the old one stays */
    obi_train_model_free(model);
    /* No student is made of a student. */
    assert_int_equal(obi_train_model_student(test_device(), source, &options, &model), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "1-bit model already"));
    obi_source_close(source);
    obi_train_options_clear(&options);
    unlink(path);
    unlink(again);
    test_device_check();
}

/* ---- whole runs ------------------------------------------------------------------------------------------------ */

typedef struct losses {
    double first, last, held_out, first_kl;
} losses;

static void on_step(uint64_t number, uint64_t steps, const obi_step_report *report, double seconds, void *user)
{
    (void)steps;
    (void)seconds;
    losses *seen = user;
    if (number == 1) seen->first = report->loss;
    if (number == 1) seen->first_kl = report->kl;
    seen->last = report->loss;
}

static void on_evaluation(uint64_t number, double nll, double kl, bool best, void *user)
{
    (void)number;
    (void)kl;
    (void)best;
    ((losses *)user)->held_out = nll;
}

static losses run(obi_train_options *options)
{
    losses seen = { 0 };
    obi_run_hooks hooks = { .step = on_step, .evaluation = on_evaluation, .user = &seen };
    TEST_OK(obi_train_options_check(options));
    TEST_OK(obi_train_run(test_device(), options, &hooks));
    return seen;
}

static void remove_directory(const char *path)
{
    assert_int_equal(scratch_remove_tree(path), 0);
}

/* The loss of the exported file by the engine, over the answers only. */
static double engine_loss(const char *path, const char *examples)
{
    model_file model;
    obi_dataset data;
    obi_session_desc desc = { 0 };
    double nll[T], sum = 0;
    uint64_t count = 0;
    model_open(&model, path);
    TEST_OK(obi_dataset_open_instructions(&data, examples, model.tokenizer, false, T));
    obi_session *session = model_session(&model, &desc);
    for (uint64_t block = 0; block < data.blocks; block++) {
        const uint32_t *tokens = data.ids + block * T, *answers = obi_dataset_targets(&data, tokens);
        TEST_OK(obi_session_score(session, tokens, T, nll));
        for (uint32_t t = 0; t + 1 < T; t++) {
            if (answers[t] == OBI_NO_TARGET) continue;
            sum += nll[t];
            count++;
        }
    }
    obi_session_destroy(session);
    obi_dataset_close(&data);
    model_close(&model);
    return sum / (double)count;
}

static void test_tuning_a_student(void **state)
{
    (void)state;
    obi_train_options options;
    char examples[600], output[600], model[620];
    snprintf(examples, sizeof examples, "%s", scratch_path("examples.jsonl"));
    snprintf(output, sizeof output, "%s", scratch_path("tuned"));
    snprintf(model, sizeof model, "%s/model.gguf", output);
    write_examples(examples, 16);
    const char *student = student_file();
    set_options(&options);
    set(&options, "model_name_or_path", student);
    set(&options, "dataset", examples);
    set(&options, "eval_dataset", examples);
    set(&options, "output_dir", output);
    set(&options, "max_steps", "12");
    set(&options, "learning_rate", "3e-3");
    losses seen = run(&options);
    double engine = engine_loss(model, examples);
    print_message("loss %.3f -> %.3f, held out %.4f, engine %.4f\n", seen.first, seen.last, seen.held_out, engine);
    assert_true(seen.last < 0.5 * seen.first);
    assert_true(fabs(seen.held_out - engine) < 5e-3); /* g, h and embedding are F16 in the file */
    obi_train_options_clear(&options);
    remove_directory(output);
    unlink(examples);
    unlink(student);
    test_device_check();
}

/* kd goes on with a student of its own: it starts where the other run ended, not at SVID. */
static void test_distilling_on(void **state)
{
    (void)state;
    obi_train_options options;
    char first[600], second[600], model[620];
    snprintf(first, sizeof first, "%s", scratch_path("first"));
    snprintf(second, sizeof second, "%s", scratch_path("second"));
    snprintf(model, sizeof model, "%s/model.gguf", first);
    set_options(&options);
    set(&options, "stage", "kd");
    set(&options, "teacher_model_name_or_path", test_data_path(MODEL));
    set(&options, "dataset", test_data_path("text/tinystories_valid_head.txt"));
    set(&options, "per_device_train_batch_size", "4");
    set(&options, "output_dir", first);
    set(&options, "max_steps", "8");
    losses before_it = run(&options);
    set(&options, "model_name_or_path", model);
    set(&options, "output_dir", second);
    set(&options, "max_steps", "1");
    losses behind_it = run(&options);
    print_message("KL %.3f -> %.3f, going on at %.3f\n", before_it.first_kl, before_it.last, behind_it.first_kl);
    assert_true(behind_it.first_kl < 0.5 * (before_it.first_kl + before_it.last));
    obi_train_options_clear(&options);
    remove_directory(first);
    remove_directory(second);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean_of_the_whole_step), cmocka_unit_test(test_step_without_answers),
        cmocka_unit_test(test_filling_does_not_count), cmocka_unit_test(test_packed_student_is_read_whole),
        cmocka_unit_test(test_tuning_a_student),       cmocka_unit_test(test_distilling_on),
    };
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, scratch_close));
}

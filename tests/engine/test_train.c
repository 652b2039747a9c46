/* test_train: training runs from the outside: the loss falls, a stopped run goes on with the same bits, damaged checkpoints
 * are passed over, two runs do not share a directory, and the exported model is the one that was trained. */
#include "model_file.h"
#include "run_files.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>

#include "engine/score.h"
#include "quant/train/run.h"

#define STEPS 6

/* What the hooks see and ask. */
typedef struct watcher {
    uint64_t first_step, last_step, stop_at;
    double first_loss, last_loss, held_out;
} watcher;

static void on_plan(const obi_run_plan *plan, void *user) { ((watcher *)user)->first_step = plan->first_step; }

static void on_step(uint64_t step, uint64_t steps, const obi_step_report *report, double seconds, void *user)
{
    (void)steps;
    (void)seconds;
    watcher *seen = user;
    assert_false(report->skipped);
    if (seen->last_step == 0) seen->first_loss = report->loss;
    seen->last_step = step;
    seen->last_loss = report->loss;
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

static void set(obi_train_options *options, const char *key, const char *value) { TEST_OK(obi_train_options_set(options, key, value)); }

/* A small distillation of stories260K. */
static void set_options(obi_train_options *options, const char *directory)
{
    TEST_OK(obi_train_options_init(options));
    set(options, "teacher_model_name_or_path", test_data_path("models/stories260K/stories260K.bin"));
    set(options, "tokenizer_name_or_path", test_data_path("models/stories260K/tok512.bin"));
    set(options, "dataset", text_file("text.txt", 65536));
    set(options, "eval_dataset", text_file("held.txt", 2048));
    set(options, "output_dir", path_in(directory, ""));
    set(options, "cutoff_len", "64");
    set(options, "per_device_train_batch_size", "2");
    set(options, "gradient_accumulation_steps", "2");
    set(options, "max_steps", "6");
    set(options, "save_steps", "1");
    set(options, "save_total_limit", "2");
    set(options, "logging_steps", "1");
    set(options, "learning_rate", "2e-3");
    set(options, "latent_init", "rowmean");
    set(options, "latent_scale", "0.02");
    set(options, "trainable", "all");
}

static obi_status train(const char *directory, watcher *seen)
{
    obi_train_options options;
    obi_run_hooks hooks = { .plan = on_plan, .step = on_step, .evaluation = on_evaluation, .stop = on_stop, .user = seen };
    set_options(&options, directory);
    TEST_OK(obi_train_options_check(&options));
    obi_status status = obi_train_run(test_device(), &options, &hooks);
    obi_train_options_clear(&options);
    return status;
}

static void test_loss_falls(void **state)
{
    (void)state;
    watcher seen = { 0 };
    TEST_OK(train("whole", &seen));
    assert_int_equal(seen.last_step, STEPS);
    print_message("loss %.4f -> %.4f\n", seen.first_loss, seen.last_loss);
    assert_true(seen.last_loss < 0.8 * seen.first_loss);
    assert_int_equal(access(path_in("whole", "log.jsonl"), R_OK), 0);
    assert_int_equal(access(path_in("whole", "resolved.yaml"), R_OK), 0);
    assert_int_equal(access(path_in("whole", "checkpoint-6"), R_OK), 0);
    assert_int_equal(access(path_in("whole", "checkpoint-4"), R_OK), -1); /* save_total_limit: 2 */
    test_device_check();
}

/* The engine's likelihood of the exported file is the trainer's of what it trained; g, h and the embedding are F16 in the
 * file, a relative 2^-11 of each. */
static void test_exported_model_is_the_trained_one(void **state)
{
    (void)state;
    watcher seen = { 0 };
    TEST_OK(train("whole", &seen)); /* nothing is left to do: it loads step 6, and exports again */
    assert_int_equal(seen.first_step, STEPS);
    assert_int_equal(seen.last_step, 0);
    seen = (watcher){ .stop_at = 5 };
    TEST_OK(obi_make_directories(path_in("again", "")));
    assert_int_equal(train("again", &seen), OBI_ERROR_CANCELLED);
    seen = (watcher){ 0 };
    TEST_OK(train("again", &seen)); /* evaluates at the end */
    model_file model;
    obi_dataset text;
    model_open(&model, path_in("again", "model.gguf"));
    TEST_OK(obi_dataset_open(&text, path_in("", "held.txt"), model.tokenizer, "<|endoftext|>", 64));
    obi_session_desc desc = { 0 };
    obi_session *session = model_session(&model, &desc);
    double nll[64], sum = 0;
    uint64_t blocks = text.blocks / 2 * 2; /* whole batches, as the trainer counts */
    for (uint64_t block = 0; block < blocks; block++) {
        TEST_OK(obi_session_score(session, text.ids + block * 64, 64, nll));
        for (int i = 0; i < 63; i++) sum += nll[i];
    }
    double engine = sum / (double)(blocks * 63);
    print_message("held-out loss: trainer %.5f, engine %.5f\n", seen.held_out, engine);
    assert_true(fabs(engine - seen.held_out) < 5e-3);
    obi_session_destroy(session);
    obi_dataset_close(&text);
    model_close(&model);
    remove_run("again");
    test_device_check();
}

static void test_resumes_with_the_same_bits(void **state)
{
    (void)state;
    watcher seen = { .stop_at = 3 };
    assert_int_equal(train("parts", &seen), OBI_ERROR_CANCELLED);
    assert_int_equal(seen.last_step, 3);
    assert_int_equal(access(path_in("parts", "model.gguf"), R_OK), -1);
    /* The newest checkpoint is damaged: the one before it serves. */
    int descriptor = open(path_in("parts", "checkpoint-3/state.gguf"), O_RDWR);
    unsigned char byte;
    assert_int_equal(lseek(descriptor, 100000, SEEK_SET), 100000);
    assert_int_equal(read(descriptor, &byte, 1), 1);
    byte ^= 16;
    assert_int_equal(pwrite(descriptor, &byte, 1, 100000), 1);
    close(descriptor);
    seen = (watcher){ 0 };
    TEST_OK(train("parts", &seen));
    assert_int_equal(seen.first_step, 2);
    assert_int_equal(seen.last_step, STEPS);
    assert_same_file(path_in("parts", "model.gguf"), path_in("whole", "model.gguf"));
    assert_same_file(path_in("parts", "checkpoint-6/state.gguf"), path_in("whole", "checkpoint-6/state.gguf"));
    remove_run("parts");
    test_device_check();
}

static void test_directory_is_not_shared(void **state)
{
    (void)state;
    watcher seen = { 0 };
    TEST_OK(obi_make_directories(path_in("taken", "")));
    int lock = open(path_in("taken", "lock"), O_RDWR | O_CREAT, 0644);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(train("taken", &seen), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "another training run"));
    close(lock);
    remove_run("taken");
}

/* A checkpoint of a run with other data order is not silently taken up. */
static void test_other_run_is_refused(void **state)
{
    (void)state;
    obi_train_options options;
    obi_run_hooks hooks = { 0 };
    set_options(&options, "whole");
    set(&options, "seed", "2");
    TEST_OK(obi_train_options_check(&options));
    assert_int_equal(obi_train_run(test_device(), &options, &hooks), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "another seed"));
    obi_train_options_clear(&options);
}

static void test_old_run_in_the_directory(void **state)
{
    (void)state;
    obi_train_options options;
    watcher seen = { .stop_at = 1 };
    obi_run_hooks hooks = { .plan = on_plan, .step = on_step, .evaluation = on_evaluation, .stop = on_stop, .user = &seen };
    assert_int_equal(train("old", &seen), OBI_ERROR_CANCELLED);
    set_options(&options, "old");
    set(&options, "resume_from_checkpoint", "false");
    TEST_OK(obi_train_options_check(&options));
    assert_int_equal(obi_train_run(test_device(), &options, &hooks), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "holds a run"));
    assert_int_equal(access(path_in("old", "checkpoint-1"), F_OK), 0);
    set(&options, "overwrite_output_dir", "true");
    seen = (watcher){ .first_step = 99, .stop_at = 1 };
    assert_int_equal(obi_train_run(test_device(), &options, &hooks), OBI_ERROR_CANCELLED);
    assert_int_equal(seen.first_step, 0);
    obi_train_options_clear(&options);
    remove_run("old");
}

static void test_dry_run_writes_nothing(void **state)
{
    (void)state;
    obi_train_options options;
    watcher seen = { 0 };
    obi_run_hooks hooks = { .plan = on_plan, .step = on_step, .evaluation = on_evaluation, .stop = on_stop, .user = &seen };
    set_options(&options, "dry");
    set(&options, "dry_run", "true");
    TEST_OK(obi_train_options_check(&options));
    TEST_OK(obi_train_run(test_device(), &options, &hooks));
    assert_int_equal(seen.last_step, 1);
    assert_int_equal(access(path_in("dry", ""), F_OK), -1);
    obi_train_options_clear(&options);
}

/* A model made from nothing learns the text it is given. */
static void test_pretraining(void **state)
{
    (void)state;
    obi_train_options options;
    watcher seen = { 0 };
    obi_run_hooks hooks = { .plan = on_plan, .step = on_step, .evaluation = on_evaluation, .stop = on_stop, .user = &seen };
    static const char *const keys[][2] = { { "stage", "pretrain" },        { "teacher_model_name_or_path", "" },
                                           { "hidden_size", "48" },        { "intermediate_size", "96" },
                                           { "num_hidden_layers", "2" },   { "num_attention_heads", "4" },
                                           { "num_key_value_heads", "2" }, { "max_position_embeddings", "64" },
                                           { "max_steps", "12" },          { "save_steps", "0" },
                                           { "learning_rate", "5e-3" } };
    set_options(&options, "new");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) set(&options, keys[i][0], keys[i][1]);
    TEST_OK(obi_train_options_check(&options));
    TEST_OK(obi_train_run(test_device(), &options, &hooks));
    obi_train_options_clear(&options);
    print_message("loss %.4f -> %.4f, held out %.4f\n", seen.first_loss, seen.last_loss, seen.held_out);
    assert_true(fabs(seen.first_loss - log(512)) < 0.3); /* it starts knowing nothing of 512 tokens */
    assert_true(seen.last_loss < seen.first_loss - 0.7);
    model_file model;
    uint32_t id = 1;
    model_open(&model, path_in("new", "model.gguf"));
    obi_session_desc desc = { 0 };
    obi_session *session = model_session(&model, &desc);
    TEST_OK(obi_session_feed(session, &id, 1));
    TEST_OK(obi_session_sample(session, &id));
    obi_session_destroy(session);
    model_close(&model);
    remove_run("new");
    test_device_check();
}

static int close_scratch(void **state)
{
    remove_run("whole");
    unlink(path_in("", "text.txt"));
    unlink(path_in("", "held.txt"));
    return scratch_close(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_falls),
        cmocka_unit_test(test_resumes_with_the_same_bits),
        cmocka_unit_test(test_exported_model_is_the_trained_one),
        cmocka_unit_test(test_directory_is_not_shared),
        cmocka_unit_test(test_other_run_is_refused),
        cmocka_unit_test(test_old_run_in_the_directory),
        cmocka_unit_test(test_dry_run_writes_nothing),
        cmocka_unit_test(test_pretraining),
    };
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, close_scratch));
}

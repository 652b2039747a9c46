/* test_api_train: one small training run through onebit_train.h: its keys, its callbacks, its stop, and what it refuses. What
 * training computes is shown by tests/engine/test_train.c. */
#include "api.h"

#include <math.h>

#define STEPS 3

static ob_context *shared;
static char text_path[1024], run_path[1024];

static int open_shared(void **state)
{
    if (scratch_open(state) != 0) return -1;
    shared = api_context();
    snprintf(text_path, sizeof text_path, "%s", scratch_path("text.txt"));
    snprintf(run_path, sizeof run_path, "%s", scratch_path("run"));
    size_t bytes;
    unsigned char *text = api_read_file(test_data_path("text/tinystories_train_v1.txt"), &bytes);
    api_write_file(text_path, text, 8192);
    free(text);
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    ob_context_destroy(shared);
    api_remove_tree(scratch_directory);
    return 0;
}

static void test_options(void **state)
{
    (void)state;
    const char *key = NULL, *help = NULL;
    char value[256], none[1] = { 0x5a };
    uint32_t count = 0;
    bool learning_rate = false;
    for (; ob_train_option(count, &key, value, sizeof value, &help); count++) {
        assert_true(key && key[0] && help && strlen(value) < sizeof value);
        learning_rate = learning_rate || (strcmp(key, "learning_rate") == 0 && strcmp(value, "4e-4") == 0);
        assert_true(ob_train_option(count, &key, value, 2, &help) && strlen(value) < 2); /* cut to the room there is */
        assert_true(ob_train_option(count, &key, none, 0, &help) && none[0] == 0x5a);
    }
    assert_true(count > 30 && learning_rate);
    assert_false(ob_train_option(UINT32_MAX, &key, value, sizeof value, &help));
}

typedef struct resolved {
    uint32_t count; /* of keys, each in its place */
    char rate[32], estimator[32], dataset[32];
} resolved;

static void on_setting(const char *name, const char *value, void *user)
{
    resolved *to = user;
    const char *key, *help;
    char initial[256];
    assert_true(ob_train_option(to->count++, &key, initial, sizeof initial, &help));
    assert_string_equal(name, key);
    if (strcmp(name, "scales_learning_rate") == 0) snprintf(to->rate, sizeof to->rate, "%s", value);
    if (strcmp(name, "estimator") == 0) snprintf(to->estimator, sizeof to->estimator, "%s", value);
    if (strcmp(name, "dataset") == 0) snprintf(to->dataset, sizeof to->dataset, "%s", value);
}

/* What is given goes before the preset's values, wherever it stands; nothing is opened, and the quotation mark stays. */
static void test_resolved(void **state)
{
    (void)state;
    static const char *const words[] = { "learning_rate", "0.25",      "stage",      "kd",   "teacher_model_name_or_path", "none",
                                         "dataset",       "it's none", "output_dir", "none", "scales_learning_rate",       "0.5",
                                         "preset",        "llmqat" };
    resolved to = { 0 };
    const char *key, *help;
    char value[256];
    API_OK(ob_train_resolve(&(ob_train_desc){ .overrides = words, .override_count = 7 }, on_setting, &to));
    assert_false(ob_train_option(to.count, &key, value, sizeof value, &help)); /* all of them */
    assert_string_equal(to.rate, "0.5");
    assert_string_equal(to.estimator, "identity"); /* by the method that is the preset's; the default is another */
    assert_string_equal(to.dataset, "it's none");
    to.count = 0;
    API_FAILS(ob_train_resolve(&(ob_train_desc){ .overrides = words, .override_count = 3 }, on_setting, &to), OB_ERROR_ARGUMENT, "dataset");
    assert_true(to.count == 0);
}

typedef struct watcher {
    ob_train_plan plan;
    unsigned plans, steps, evaluations, stop_after;
    double held_out;
} watcher;

static void on_plan(const ob_train_plan *plan, void *user)
{
    watcher *seen = user;
    seen->plan = *plan;
    seen->plans++;
}

static void on_step(const ob_train_step *step, void *user)
{
    watcher *seen = user;
    if (step->steps != STEPS || step->step < 1 || step->step > STEPS || step->skipped || !(step->loss > 0 && step->loss < 20) ||
        !(step->gradient_norm > 0) || !(step->learning_rate > 0) || !(step->seconds >= 0) || step->tokens != 128)
        fail_msg("step %u of %u: loss %g, gradient %g", (unsigned)step->step, (unsigned)step->steps, step->loss, step->gradient_norm);
    seen->steps++;
}

static void on_evaluation(uint64_t step, double nll, double kl, bool best, void *user)
{
    (void)best;
    watcher *seen = user;
    assert_true(step <= STEPS && isnan(kl)); /* there is no teacher */
    seen->held_out = nll;
    seen->evaluations++;
}

static bool on_stop(void *user)
{
    const watcher *seen = user;
    return seen->stop_after > 0 && seen->steps >= seen->stop_after;
}

/* A model of 16 numbers a token, made from nothing, 3 steps; `more` are further keys and values. */
static ob_status train(watcher *seen, const char *const *more, size_t more_count)
{
    const char *overrides[2 * 32] = {
        "stage", "pretrain", "tokenizer_name_or_path", test_data_path(API_STORIES_TOKENIZER), "dataset", text_path, "eval_dataset", text_path,
        "output_dir", run_path, "hidden_size", "16", "intermediate_size", "24", "num_hidden_layers", "1", "num_attention_heads", "2",
        "num_key_value_heads", "1", "max_position_embeddings", "64", "cutoff_len", "64", "per_device_train_batch_size", "2", "max_steps", "3",
        "logging_steps", "1",
    };
    size_t count = 15;
    for (size_t i = 0; i < more_count; i++, count++) {
        overrides[2 * count] = more[2 * i];
        overrides[2 * count + 1] = more[2 * i + 1];
    }
    return ob_train(shared, &(ob_train_desc){ .overrides = overrides, .override_count = count, .plan = on_plan, .step = on_step,
                                              .evaluation = on_evaluation, .stop = on_stop, .user = seen });
}

static void test_a_run(void **state)
{
    (void)state;
    watcher first = { .stop_after = 1 }, rest = { 0 };
    API_FAILS(train(&first, NULL, 0), OB_ERROR_CANCELLED, "");
    assert_true(first.plans == 1 && first.steps == 1 && first.plan.first_step == 0 && first.plan.steps == STEPS);
    assert_true(first.plan.parameters > 0 && first.plan.trained > 0 && first.plan.train_tokens > 128 && first.plan.held_out_tokens > 0);
    assert_true(first.plan.model_bytes > 0 && first.plan.teacher_bytes == 0 && first.plan.work_bytes > 0);

    API_OK(train(&rest, NULL, 0)); /* goes on where it stopped */
    assert_true(rest.plan.first_step == 1 && rest.steps == STEPS - 1 && rest.evaluations >= 1);
    assert_true(rest.held_out > 1 && rest.held_out < 10); /* ln 512 = 6.2 before it has learned anything */

    char path[1100];
    snprintf(path, sizeof path, "%s/model.gguf", run_path);
    ob_model *model = api_model(shared, path);
    ob_model_info info;
    API_OK(ob_model_info_get(model, &info));
    assert_true(info.width == 16 && info.layers == 1 && info.vocabulary == API_STORIES_VOCABULARY && info.has_tokenizer);
    assert_int_equal(info.parameters, rest.plan.parameters);
    ob_model_destroy(model);
    api_remove_tree(run_path);
}

static void test_wrong_runs(void **state)
{
    (void)state;
    static const char *const wrong[][3] = {
        { "hiden_size", "16", "hidden_size" },       { "no_such_key", "1", "no_such_key" }, { "hidden_size", "many", "hidden_size" },
        { "hidden_size", "-1", "hidden_size" },      { "stage", "sleep", "sleep" },         { "cutoff_len", "65", "cutoff_len" },
        { "num_attention_heads", "3", "hidden_size" }, { "dataset", "", "dataset" },        { "output_dir", "", "output_dir" },
        { "seed", "-1", "seed" },                    { "post_norm", "maybe", "post_norm" }, { "stage", "kd", "teacher" },
    };
    watcher seen = { 0 };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) API_FAILS(train(&seen, wrong[i], 1), OB_ERROR_ARGUMENT, wrong[i][2]);
    API_FAILS(train(&seen, (const char *const[]){ "dataset", "no_such_text.txt" }, 1), OB_ERROR_DATA, "no_such_text.txt");
    API_FAILS(train(&seen, (const char *const[]){ "tokenizer_name_or_path", "no_such.model" }, 1), OB_ERROR_DATA, "no_such.model");
    API_FAILS(ob_train(shared, &(ob_train_desc){ 0 }), OB_ERROR_ARGUMENT, "dataset");
    API_FAILS(ob_train(shared, &(ob_train_desc){ .config = "no_such.yaml" }), OB_ERROR_DATA, "no_such.yaml");
    char config[1024];
    snprintf(config, sizeof config, "%s", scratch_path("bad.yaml"));
    api_write_file(config, "stage: [a, list]\n", 17);
    API_FAILS(ob_train(shared, &(ob_train_desc){ .config = config }), OB_ERROR_DATA, "bad.yaml:1");
    unlink(config);
    assert_int_equal(seen.plans, 0);
    char path[1100]; /* a directory may be there, but no run in it: the next test begins one */
    snprintf(path, sizeof path, "%s/model.gguf", run_path);
    assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_options), cmocka_unit_test(test_resolved), cmocka_unit_test(test_wrong_runs),
                                        cmocka_unit_test(test_a_run) };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}

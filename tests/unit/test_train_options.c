/* test_train_options: the keys of a training run: parsing, ranges, YAML and back, and the schedule and order of data that
 * follow from them. */
#include "data.h"
#include "scratch.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "quant/train/dataset.h"
#include "quant/train/options.h"
#include "quant/train/scales.h"
#include "quant/train/schedule.h"

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static char *scratch_file(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", scratch_directory, name);
    return path;
}

static void expect_refusal(const char *key, const char *value, const char *words)
{
    obi_train_options options;
    assert_int_equal(obi_train_options_init(&options), OBI_OK);
    assert_int_equal(obi_train_options_set(&options, key, value), OBI_ERROR_ARGUMENT);
    if (!strstr(obi_last_error(), words)) fail_msg("\"%s\" does not say \"%s\"", obi_last_error(), words);
    obi_train_options_clear(&options);
}

static void test_values(void **state)
{
    (void)state;
    obi_train_options options;
    assert_int_equal(obi_train_options_init(&options), OBI_OK);
    assert_true(options.learning_rate == 4e-4 && options.adam_beta2 == 0.98 && options.post_norm && options.stage == OBI_STAGE_KD);
    assert_int_equal(obi_train_options_set(&options, "learning_rate", "1e-3"), OBI_OK);
    assert_int_equal(obi_train_options_set(&options, "lr_scheduler_type", "linear"), OBI_OK);
    assert_int_equal(obi_train_options_set(&options, "seed", "18446744073709551615"), OBI_OK);
    assert_int_equal(obi_train_options_set(&options, "post_norm", "no"), OBI_OK);
    assert_true(options.learning_rate == 1e-3 && options.lr_scheduler_type == OBI_SCHEDULE_LINEAR && options.seed == UINT64_MAX &&
                !options.post_norm);
    obi_train_options_clear(&options);
    expect_refusal("learning_rat", "1", "did you mean learning_rate?");
    expect_refusal("colour", "red", "there is no key \"colour\"");
    expect_refusal("learning_rate", "nan", "not a number between");
    expect_refusal("learning_rate", "1e-3x", "not a number between");
    expect_refusal("max_steps", "1.5", "not a whole number");
    expect_refusal("max_steps", "-1", "not a whole number");
    expect_refusal("seed", "-1", "not a whole number");
    expect_refusal("post_norm", "maybe", "neither true nor false");
    expect_refusal("stage", "dance", "not one of pretrain|kd");
}

static void test_yaml_round_trip(void **state)
{
    (void)state;
    obi_train_options options, again;
    obi_writer writer;
    char *path = scratch_file("run.yaml");
    write_text(path, "# a run\nstage: pretrain\ndataset: \"it's text.txt\"\noutput_dir: out\nlearning_rate: 3.0e-4\nmax_steps: "
                     "70\ntokenizer_name_or_path: t.model\n");
    assert_int_equal(obi_train_options_init(&options), OBI_OK);
    assert_int_equal(obi_train_options_read(&options, path), OBI_OK);
    assert_int_equal(obi_train_options_check(&options), OBI_OK);
    assert_string_equal(options.dataset, "it's text.txt");
    assert_true(options.learning_rate == 3e-4 && options.scales_learning_rate == 3e-4 && options.max_steps == 70);
    assert_int_equal(obi_writer_open(&writer, path), OBI_OK);
    assert_int_equal(obi_train_options_write(&options, &writer), OBI_OK);
    assert_int_equal(obi_writer_commit(&writer), OBI_OK);
    assert_int_equal(obi_train_options_init(&again), OBI_OK);
    assert_int_equal(obi_train_options_read(&again, path), OBI_OK);
    assert_string_equal(again.dataset, options.dataset);
    assert_true(again.learning_rate == options.learning_rate && again.max_steps == 70 && again.stage == OBI_STAGE_PRETRAIN &&
                again.adam_beta2 == options.adam_beta2);
    obi_train_options_clear(&options);
    obi_train_options_clear(&again);
    unlink(path);
}

static void expect_bad_yaml(const char *text, const char *words)
{
    obi_train_options options;
    char *path = scratch_file("bad.yaml");
    write_text(path, text);
    assert_int_equal(obi_train_options_init(&options), OBI_OK);
    assert_int_not_equal(obi_train_options_read(&options, path), OBI_OK);
    if (!strstr(obi_last_error(), words)) fail_msg("\"%s\" does not say \"%s\"", obi_last_error(), words);
    obi_train_options_clear(&options);
    unlink(path);
}

static void test_bad_yaml(void **state)
{
    (void)state;
    expect_bad_yaml("stage: kd\nlearning_rte: 1\n", "bad.yaml:2: there is no key");
    expect_bad_yaml("stage: [kd]\n", "bad.yaml:1: a value here is a plain one");
    expect_bad_yaml("stage: kd\ndataset:\n  deep: 1\n", "not a list or a mapping");
    expect_bad_yaml("just words\n", "must be a list of lines");
    expect_bad_yaml("stage: 'kd\n", "bad.yaml:");
    expect_bad_yaml("stage: &a kd\ndataset: *a\n", "aliases are not used");
}

static void test_incomplete_runs(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *words;
    } steps[] = { { "stage", "kd", "dataset:" },
                  { "dataset", "a.txt", "output_dir:" },
                  { "output_dir", "o", "teacher_model_name_or_path:" },
                  { "teacher_model_name_or_path", "t", NULL },
                  { "load_best_model_at_end", "true", "load_best_model_at_end:" },
                  { "eval_dataset", "e.txt", NULL },
                  { "metric_for_best_model", "eval_kl", NULL },
                  { "teacher_model_name_or_path", "", "needs a teacher" },
                  { "teacher_model_name_or_path", "t", NULL },
                  { "metric_for_best_model", "auto", NULL },
                  { "scales_init", "random", NULL },
                  { "method", "xnor", "scales_init: only method: onebit" },
                  { "scales_init", "svid", NULL },
                  { "method", "bitnet_b1", NULL },
                  { "method", "onebit", NULL },
                  { "cutoff_len", "100", "not a multiple of 64" },
                  { "cutoff_len", "128", NULL },
                  { "stage", "pretrain", "tokenizer_name_or_path:" },
                  { "tokenizer_name_or_path", "t", NULL },
                  { "hidden_size", "100", "even size" },
                  { "hidden_size", "96", NULL },
                  { "stage", "sft", "model_name_or_path:" },
                  { "model_name_or_path", "m", NULL },
                  { "dataset", "", "dataset:" },
                  { "stage", "generate", NULL },
                  { "teacher_model_name_or_path", "", "teacher_model_name_or_path:" },
                  { "teacher_model_name_or_path", "t", NULL },
                  { "greedy_tokens_max", "2", "greedy_tokens_min: 3 is more" },
                  { "greedy_tokens_min", "0", NULL },
                  { "dataset", "a.txt", NULL },
                  { "model_name_or_path", "", NULL },
                  { "stage", "pretrain", NULL },
                  { "num_key_value_heads", "3", "does not divide" } };
    obi_train_options options;
    assert_int_equal(obi_train_options_init(&options), OBI_OK);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        assert_int_equal(obi_train_options_set(&options, steps[i].key, steps[i].value), OBI_OK);
        obi_status status = obi_train_options_check(&options);
        if (!steps[i].words) assert_int_equal(status, OBI_OK);
        else if (status == OBI_OK || !strstr(obi_last_error(), steps[i].words))
            fail_msg("after %s: \"%s\"", steps[i].key, obi_last_error());
    }
    obi_train_options_clear(&options);
}

static void test_schedule(void **state)
{
    (void)state;
    obi_train_options options;
    assert_int_equal(obi_train_options_init(&options), OBI_OK);
    options.warmup_steps = 10;
    assert_true(obi_schedule_factor(&options, 0, 110) == 0);
    assert_true(fabs(obi_schedule_factor(&options, 5, 110) - 0.5) < 1e-12);
    assert_true(fabs(obi_schedule_factor(&options, 10, 110) - 1) < 1e-12);
    assert_true(fabs(obi_schedule_factor(&options, 60, 110) - 0.5) < 1e-12);
    assert_true(obi_schedule_factor(&options, 110, 110) < 1e-12);
    options.lr_scheduler_type = OBI_SCHEDULE_LINEAR;
    assert_true(fabs(obi_schedule_factor(&options, 35, 110) - 0.75) < 1e-12);
    options.lr_scheduler_type = OBI_SCHEDULE_CONSTANT;
    assert_true(obi_schedule_factor(&options, 109, 110) == 1);
    options.warmup_steps = 0;
    options.warmup_ratio = 0.1;
    assert_int_equal(obi_schedule_warmup(&options, 105), 11);
    options.warmup_steps = 500; /* both: the fewer */
    assert_int_equal(obi_schedule_warmup(&options, 1000), 100);
    assert_int_equal(obi_schedule_warmup(&options, 100000), 500);
    obi_train_options_clear(&options);
}

static bool is_official(const obi_train_options *o)
{
    return o->preset == OBI_PRESET_OFFICIAL && o->post_norm && o->latent_init == OBI_LATENT_CONSTANT && o->latent_scale == 0.01 &&
           o->estimator == 0 && o->trainable == OBI_TRAIN_LINEARS && o->kd_alpha == 20.48 && o->kd_beta == 1 && o->learning_rate == 4e-4 &&
           o->weight_decay == 0.01 && o->scales_weight_decay == 0.01 && o->adam_beta1 == 0.9 && o->adam_beta2 == 0.98 &&
           o->adam_epsilon == 1e-8 && o->max_grad_norm == 1 && o->lr_scheduler_type == OBI_SCHEDULE_COSINE && o->warmup_steps == 500;
}

static void test_presets(void **state)
{
    (void)state;
    obi_train_options options, again;
    obi_writer writer;
    char *path = scratch_file("preset.yaml");
    /* A key goes over the preset, whether it comes before or after; and a second preset takes the first one's keys back. */
    write_text(path, "learning_rate: 1e-3\npreset: improved\nkd_beta: 0.5\n");
    assert_int_equal(obi_train_options_init(&options), OBI_OK);
    assert_true(options.preset == OBI_PRESET_NONE);
    assert_int_equal(obi_train_options_read(&options, path), OBI_OK);
    assert_true(!options.post_norm && options.latent_init == OBI_LATENT_ROWMEAN && options.latent_scale == 0.02 && options.estimator == 1 &&
                options.trainable == OBI_TRAIN_ALL && options.kd_alpha == 1 && options.weight_decay == 0 && options.learning_rate == 1e-3 &&
                options.kd_beta == 0.5);
    assert_int_equal(obi_train_options_set(&options, "preset", "official"), OBI_OK);
    assert_true(options.learning_rate == 1e-3 && options.kd_beta == 0.5 && options.post_norm && options.kd_alpha == 20.48 &&
                options.estimator == 0);
    /* What was resolved reads back the same. */
    assert_int_equal(obi_writer_open(&writer, path), OBI_OK);
    assert_int_equal(obi_train_options_write(&options, &writer), OBI_OK);
    assert_int_equal(obi_writer_commit(&writer), OBI_OK);
    assert_int_equal(obi_train_options_init(&again), OBI_OK);
    assert_int_equal(obi_train_options_read(&again, path), OBI_OK);
    assert_true(again.preset == OBI_PRESET_OFFICIAL && again.learning_rate == 1e-3 && again.kd_beta == 0.5 && again.kd_alpha == 20.48);
    obi_train_options_clear(&again);
    obi_train_options_clear(&options);
    assert_int_equal(obi_train_options_init(&options), OBI_OK);
    assert_int_equal(obi_train_options_set(&options, "preset", "official"), OBI_OK);
    assert_true(is_official(&options));
    assert_int_equal(obi_train_options_set(&options, "preset", "none"), OBI_OK);
    assert_true(options.kd_alpha == 1 && options.scales_weight_decay == 0 && options.warmup_steps == 0);
    assert_int_equal(obi_train_options_set(&options, "preset", "llmqat"), OBI_OK);
    assert_true(options.method == OBI_METHOD_LLMQAT && options.bits == 2 && options.kd_alpha == 2048 && options.kd_beta == 0 &&
                options.max_grad_norm == 1);
    obi_train_options_clear(&options);
    expect_refusal("preset", "best", "not one of none|official|improved");
    unlink(path);
}

/* A scale counts for each linear that the family has: six of OPT, whose all have 64 inputs or outputs. */
static void test_bits_of_methods(void **state)
{
    (void)state;
    obi_config config = { .family = OBI_FAMILY_OPT, .layers = 2, .width = 64, .heads = 4, .kv_heads = 4, .head_size = 16, .ffn = 256 };
    double weights = 4 * 64 * 64 + 2 * 64 * 256;
    assert_true(obi_scales_bits(OBI_METHOD_BITNET_B1, &config) == 1 + 16 * 6 / weights);
    assert_true(obi_scales_bits(OBI_METHOD_XNOR, &config) == 1 + 16 * (5 * 64 + 256) / weights);
    config.family = OBI_FAMILY_LLAMA;
    assert_true(obi_scales_bits(OBI_METHOD_BITNET_B1, &config) == 1 + 16 * 7 / (weights + 64 * 256));
}

/* Each epoch has every block once; the order differs from epoch to epoch and depends on the seed alone. */
static void test_order_of_blocks(void **state)
{
    (void)state;
    static const uint64_t sizes[] = { 1, 2, 3, 7, 64, 1000 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint64_t n = sizes[s];
        uint32_t *ids = obi_calloc(n, sizeof *ids);
        unsigned char *seen = obi_calloc(n, 1);
        for (uint64_t i = 0; i < n; i++) ids[i] = (uint32_t)i;
        obi_dataset data = { .ids = ids, .blocks = n, .length = 1 };
        uint64_t same = 0, with_another_seed = 0;
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            memset(seen, 0, n);
            for (uint64_t i = 0; i < n; i++) {
                uint32_t block = *obi_dataset_block(&data, 5, epoch * n + i);
                assert_false(seen[block]);
                seen[block] = 1;
                assert_int_equal(block, *obi_dataset_block(&data, 5, epoch * n + i));
                same += block == *obi_dataset_block(&data, 5, i);
                with_another_seed += block == *obi_dataset_block(&data, 6, epoch * n + i);
            }
        }
        if (n == 1000) assert_true(same < 1000 + 30); /* epoch 0 agrees with itself, the others hardly */
        if (n == 1000) assert_true(with_another_seed < 30);
        obi_free(ids);
        obi_free(seen);
    }
}

static void test_packing(void **state)
{
    (void)state;
    obi_vocab vocab = { 0 };
    obi_gguf gguf;
    obi_tokenizer *tokenizer;
    obi_dataset data;
    uint32_t *ids;
    size_t count;
    assert_int_equal(obi_gguf_open(&gguf, test_data_path("tokenizers/gguf/ggml-vocab-llama-spm.gguf")), OBI_OK);
    assert_int_equal(obi_vocab_from_gguf(&vocab, &gguf), OBI_OK);
    assert_int_equal(obi_tokenizer_create(&tokenizer, &vocab), OBI_OK);
    obi_gguf_close(&gguf);
    char *path = scratch_file("text.txt");
    write_text(path, "\nOne story. \n<|end|>\n\n<|end|>Another one, longer than the first.\n");
    assert_int_equal(obi_dataset_open(&data, path, tokenizer, "<|end|>", 2), OBI_OK);
    assert_int_equal(data.documents, 2); /* the empty one between is none */
    assert_int_equal(obi_tokenizer_encode(tokenizer, "One story.", 10, OBI_ENCODE_BOS | OBI_ENCODE_EOS, &ids, &count), OBI_OK);
    assert_memory_equal(data.ids, ids, count * 4);
    assert_int_equal(data.ids[count - 1], obi_tokenizer_vocab(tokenizer)->eos);
    assert_int_equal(data.ids[count], obi_tokenizer_vocab(tokenizer)->bos);
    obi_free(ids);
    obi_dataset_close(&data);
    assert_int_equal(obi_dataset_open(&data, path, tokenizer, "<|end|>", 1024), OBI_ERROR_DATA);
    assert_int_equal(obi_dataset_open(&data, "/no/such/file", tokenizer, "", 2), OBI_ERROR_DATA);
    obi_tokenizer_free(tokenizer);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),          cmocka_unit_test(test_yaml_round_trip), cmocka_unit_test(test_bad_yaml),
        cmocka_unit_test(test_incomplete_runs), cmocka_unit_test(test_schedule),        cmocka_unit_test(test_order_of_blocks),
        cmocka_unit_test(test_packing),         cmocka_unit_test(test_presets),         cmocka_unit_test(test_bits_of_methods),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}

/* test_bench: onebit_bench.h and onebit-bench-vk on a model so small that the times mean nothing; what is held is that they are
 * there, belong together and reach the user. */
#include "api.h"
#include "onebit/onebit_bench.h"
#include "program.h"

#include <math.h>

static ob_context *shared;

static int open_shared(void **state)
{
    if (scratch_open(state) != 0) return -1;
    shared = api_context();
    return 0;
}

static int close_shared(void **state)
{
    ob_context_destroy(shared);
    return scratch_close(state);
}

/* ---- a whole model ------------------------------------------------------------------------------------------------- */

static const ob_bench_model_desc tiny = { .width = 64, .ffn = 172, .layers = 2, .heads = 8, .kv_heads = 4, .vocabulary = 101, .seed = 3 };

static void logits_of(const ob_bench_model_desc *desc, float *logits)
{
    static const uint32_t ids[] = { 5, 100, 0 };
    ob_model *model;
    ob_session *session;
    API_OK(ob_bench_model(&model, shared, desc));
    API_OK(ob_session_create(&session, model, &(ob_session_desc){ .context = 8 }));
    API_OK(ob_session_feed(session, ids, 3));
    API_OK(ob_session_logits(session, logits));
    ob_session_destroy(session);
    ob_model_destroy(model);
}

static void test_model(void **state)
{
    (void)state;
    ob_model *model;
    ob_model_info info;
    ob_bench_memory before, with, after;
    API_OK(ob_bench_memory_get(shared, &before));
    API_OK(ob_bench_model(&model, shared, &tiny));
    API_OK(ob_bench_memory_get(shared, &with));
    API_OK(ob_model_info_get(model, &info));
    uint64_t linears = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 172 * 64);
    assert_int_equal(info.parameters, linears + 2 * 101 * 64 + 5 * 64);
    /* Signs in whole words, value vectors padded to 64 floats, two matrices of halves, five norms. */
    uint64_t signs = 2 * (2 * 64 + 2 * 32 + 2 * 172) * 2 * 4 + 2 * 64 * 6 * 4;
    uint64_t vectors = 2 * (2 * 128 + 2 * 128 + 3 * 256) * 4;
    assert_int_equal(info.device_bytes, signs + vectors + 2 * 101 * 64 * 2 + 5 * 64 * 4);
    assert_true(with.used_bytes - before.used_bytes >= info.device_bytes && with.reserved_bytes >= with.used_bytes);
    assert_true(with.peak_bytes >= with.reserved_bytes);
    assert_true(info.onebit && !info.has_tokenizer && info.bos == -1 && info.context == 2048 && info.head_size == 8);
    assert_string_equal(info.name, "random");
    ob_model_destroy(model);
    API_OK(ob_bench_memory_get(shared, &after));
    assert_int_equal(after.used_bytes, before.used_bytes);

    /* The seed decides, and what comes out are numbers of a sane size. */
    float first[101], again[101], other[101];
    ob_bench_model_desc desc = tiny;
    logits_of(&desc, first);
    logits_of(&desc, again);
    desc.seed = 4;
    logits_of(&desc, other);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
    double squares = 0;
    for (int i = 0; i < 101; i++) squares += (double)(first[i] * first[i]) / 101;
    assert_true(squares > 0.001 && squares < 100);
}

static bool stop_at_once(double fraction, const char *what, void *user)
{
    (void)user;
    assert_true(fraction > 0 && fraction <= 1 && what[0]);
    return false;
}

static void test_model_refused(void **state)
{
    (void)state;
    ob_model *model;
    ob_bench_model_desc desc = tiny;
    desc.progress = stop_at_once;
    API_FAILS(ob_bench_model(&model, shared, &desc), OB_ERROR_CANCELLED, "cancelled");
    assert_null(model);
    desc = tiny;
    desc.heads = 7;
    API_FAILS(ob_bench_model(&model, shared, &desc), OB_ERROR_ARGUMENT, "no multiple of the heads");
    desc = tiny;
    desc.kv_heads = 3;
    API_FAILS(ob_bench_model(&model, shared, &desc), OB_ERROR_ARGUMENT, "no multiple of the kv_heads");
    desc = tiny;
    desc.layers = 0;
    API_FAILS(ob_bench_model(&model, shared, &desc), OB_ERROR_ARGUMENT, "at least 1");
    desc = (ob_bench_model_desc){ .width = 65536, .ffn = 65536, .layers = 1024, .heads = 256, .vocabulary = 32000 };
    ob_bench_memory before, after;
    API_OK(ob_bench_memory_get(shared, &before));
    API_FAILS(ob_bench_model(&model, shared, &desc), OB_ERROR_MEMORY, "the weights need ");
    API_OK(ob_bench_memory_get(shared, &after));
    assert_memory_equal(&before, &after, sizeof before); /* refused before anything was taken */
}

/* ---- the training step ------------------------------------------------------------------------------------------- */

static bool count_steps(uint32_t done, uint32_t all, void *user)
{
    uint32_t *seen = user;
    assert_true(done == seen[0] + 1 && all == 4);
    seen[0] = done;
    return seen[1] == 0 || done < seen[1];
}

static ob_status bench(const char *stage, uint32_t *seen, ob_bench_train_result **out)
{
    static const char *overrides[] = { "stage",
                                       "kd",
                                       "hidden_size",
                                       "64",
                                       "intermediate_size",
                                       "96",
                                       "num_hidden_layers",
                                       "2",
                                       "num_attention_heads",
                                       "2",
                                       "num_key_value_heads",
                                       "1",
                                       "cutoff_len",
                                       "64",
                                       "per_device_train_batch_size",
                                       "2" };
    overrides[1] = stage;
    return ob_bench_train(shared,
                          &(ob_bench_train_desc){ .overrides = overrides,
                                                  .override_count = 8,
                                                  .vocabulary = 100,
                                                  .warmup = 1,
                                                  .steps = 2,
                                                  .profiled = 1,
                                                  .progress = count_steps,
                                                  .user = seen },
                          out);
}

static void test_train(void **state)
{
    (void)state;
    for (int kd = 0; kd < 2; kd++) {
        uint32_t seen[2] = { 0 };
        ob_bench_train_result *result;
        API_OK(bench(kd ? "kd" : "pretrain", seen, &result));
        assert_int_equal(seen[0], 4);
        assert_int_equal(result->steps, 2);
        for (int i = 0; i < 2; i++) assert_true(result->seconds[i] > 0 && result->seconds[i] < 100);
        assert_int_equal(result->tokens, 2 * 64);
        uint64_t linears = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96); /* q and o, k and v, three of the feed-forward */
        assert_int_equal(result->linear_weights, linears);
        assert_int_equal(result->parameters, linears + 100 * 64 + 64 * 5);
        double head = 100 * 64, attention = 2 * 2 * 64 * 64;
        double each = kd ? 8 * (double)linears + 6 * head + 4 * attention : 6 * (double)linears + 6 * head + 3 * attention;
        assert_true(fabs(result->operations - 128 * each) < 1);
        assert_true(result->model_bytes > 12 * linears && (result->teacher_bytes > 4 * linears) == (kd == 1) && result->work_bytes > 0);
        assert_true(result->used_bytes >= result->model_bytes + result->teacher_bytes + result->work_bytes);
        assert_true(result->reserved_bytes >= result->used_bytes);
        assert_true(isfinite(result->loss) && result->loss > (kd ? 0 : 2) && result->loss < 10);

        /* Kernels: longest first, all inside the profiled step. */
        assert_true(result->kernel_count > 10 && result->profiled == 1);
        double sum = 0;
        bool sign_product = false;
        for (uint32_t i = 0; i < result->kernel_count; i++) {
            const ob_kernel_time *row = &result->kernels[i];
            assert_true(row->calls > 0 && row->seconds >= 0 && (i == 0 || row->seconds <= row[-1].seconds));
            sum += row->seconds;
            sign_product = sign_product || strncmp(row->kernel, "bitlinear_", 10) == 0;
        }
        assert_true(sum > 0 && sum <= result->profiled_seconds);
        assert_int_equal(sign_product, kd);
        ob_bench_train_free(result);
    }
    ob_bench_train_free(NULL);
}

static void test_train_stopped_and_refused(void **state)
{
    (void)state;
    uint32_t seen[2] = { 0, 2 };
    ob_bench_train_result *result;
    API_FAILS(bench("kd", seen, &result), OB_ERROR_CANCELLED, "2 steps");
    assert_null(result);
    assert_int_equal(seen[0], 2);
    API_FAILS(bench("sft", seen, &result), OB_ERROR_ARGUMENT, "kd and pretrain");
    API_FAILS(bench("generous", seen, &result), OB_ERROR_ARGUMENT, "generous");
    API_FAILS(ob_bench_train(shared, &(ob_bench_train_desc){ .vocabulary = 100 }, &result), OB_ERROR_ARGUMENT, "steps");
    API_FAILS(ob_bench_train(shared, &(ob_bench_train_desc){ .steps = 1 }, &result), OB_ERROR_DATA, "vocabulary");
    assert_null(result);
}

/* ---- the program ---------------------------------------------------------------------------------------------------- */

#define TINY                                                                                                                               \
    "--hidden", "64", "--layers", "1", "--heads", "2", "--ffn", "96", "--vocab", "100", "--batch", "1", "--seq", "64", "--steps", "2"

static void test_train_program(void **state)
{
    (void)state;
    const program *run = program_run("onebit-bench-vk", "train", TINY, "-o", "json");
    program_expect_success(run);
    assert_true(run->out[0] == '{' && strcmp(run->out + strlen(run->out) - 3, "\n}\n") == 0);
    double median = json_number(run->out, "median_ms"), all = json_number(run->out, "profiled_ms_per_step");
    assert_true(median > 0 && json_number(run->out, "least_ms") <= median && json_number(run->out, "sd_ms") >= 0);
    assert_true(json_number(run->out, "cpu_ms") > 0 && fabs(json_number(run->out, "mean_ms") / median - 1) < 1e-6); /* of two steps */
    double rate = 64 / median * 1e3;
    assert_true(fabs(json_number(run->out, "tokens_per_second") / rate - 1) < 1e-6);
    assert_true(fabs(json_number(run->out, "gflops") / (json_number(run->out, "operations_per_step") / median * 1e-6) - 1) < 1e-6);
    assert_true(json_number(run->out, "kernels_ms_per_step") <= all);
    assert_non_null(strstr(run->out, "\"kernel\": \"bitlinear_"));

    run = program_run("onebit-bench-vk", "train", TINY, "--stage", "pretrain", "--profile-steps", "0", "-o", "csv");
    program_expect_success(run);
    assert_int_equal(program_occurrences(run->out, "\n"), 2);
    const char *line = strchr(run->out, '\n');
    assert_memory_equal(line, "\npretrain,64,1,2,2,96,100,1,64,2,", 31);
    char header[512];
    snprintf(header, sizeof header, "%.*s", (int)(line - run->out), run->out);
    assert_int_equal(program_occurrences(line, ","), program_occurrences(header, ","));

    run = program_run("onebit-bench-vk", "train", TINY, "estimator=identity", "trainable=all");
    program_expect_success(run);
    assert_non_null(strstr(run->out, "| median of 2 | **"));
    assert_non_null(strstr(run->out, "| embed_scatter_bwd | 1 |"));

    program_expect_failure(program_run("onebit-bench-vk", "train", TINY, "--seq", "65"), 2, "multiple of 64");
    program_expect_failure(program_run("onebit-bench-vk", "train", TINY, "--heads", "5"), 2, "hidden_size");
    program_expect_failure(program_run("onebit-bench-vk", "train", TINY, "estimater=identity"), 2, "did you mean estimator");
    program_expect_failure(program_run("onebit-bench-vk", "train", TINY, "--device", "no such device"), 3, "no such device");
}

static void test_generation_program(void **state)
{
    (void)state;
    const program *run = program_run("onebit-bench-vk", "decode", "--random", "0.26M", "-p", "24", "-n", "4,8", "-d", "3", "-b", "16", "-r",
                                     "3", "-o", "json");
    program_expect_success(run);
    assert_true(run->out[0] == '[' && strcmp(run->out + strlen(run->out) - 3, "\n]\n") == 0);
    assert_int_equal(program_occurrences(run->out, "\"test\": "), 3);
    assert_non_null(strstr(run->out, "\"model_type\": \"random 0.26M\""));
    const char *at = run->out;
    static const char *const names[] = { "pp24 @ d3", "tg4 @ d3", "tg8 @ d3" };
    static const int tokens[] = { 24, 4, 8 };
    for (int i = 0; i < 3; i++) {
        char quoted[64];
        snprintf(quoted, sizeof quoted, "\"test\": \"%s\"", names[i]);
        at = strstr(at, quoted);
        assert_non_null(at);
        double samples[3], mean = 0, squares = 0;
        char *end = (char *)(uintptr_t)(strchr(strstr(at, "\"samples_ts\": "), '[') + 1);
        for (int k = 0; k < 3; k++, end++) samples[k] = strtod(end, &end); /* over the comma */
        for (int k = 0; k < 3; k++) mean += samples[k] / 3;
        for (int k = 0; k < 3; k++) squares += (samples[k] - mean) * (samples[k] - mean);
        assert_true(fabs(json_number(at, "avg_ts") / mean - 1) < 1e-6);
        assert_true(fabs(json_number(at, "stddev_ts") - sqrt(squares / 2)) <= 1e-5 * mean);
        const char *nanoseconds = strchr(strstr(at, "\"samples_ns\": "), '[') + 1;
        assert_true(fabs(samples[0] * strtod(nanoseconds, NULL) / (1e9 * tokens[i]) - 1) < 1e-6);
        assert_true(json_number(at, "n_prompt") + json_number(at, "n_gen") == tokens[i] && json_number(at, "n_depth") == 3);
        double first = json_number(at, "context_s") + json_number(at, "model_s") + json_number(at, "first_s");
        assert_true(json_number(at, "first_s") > 0 && fabs(json_number(at, "first_token_s") / first - 1) < 1e-6);
        assert_true(json_number(at, "host_peak_bytes") > 1e6 && json_number(at, "device_peak_bytes") >= json_number(run->out, "model_size"));
    }

    run = program_run("onebit-bench-vk", "prompt", "--random", "width=64,ffn=100,layers=1,heads=4,vocab=77,planes=3", "-p", "9", "-r", "2", "-o",
                      "csv");
    program_expect_success(run);
    assert_int_equal(program_occurrences(run->out, "\n"), 2);
    const char *line = strchr(run->out, '\n') + 1;
    assert_non_null(strstr(line, ",\"random 64/100x1 of 3 planes\","));
    assert_non_null(strstr(line, ",128,9,0,0,2,"));
    char header[512];
    snprintf(header, sizeof header, "%.*s", (int)(line - run->out), run->out);
    size_t inside = program_occurrences(line, ", 256 bits)"); /* the device's name has a comma */
    assert_int_equal(program_occurrences(line, ","), program_occurrences(header, ",") + inside);

    run = program_run("onebit-bench-vk", "decode", "-m", program_model(), "-n", "5", "-r", "2", "--warmup", "0");
    program_expect_success(run);
    assert_memory_equal(run->out, "| model | size | params | device | tier | test | t/s |\n", 55);
    assert_non_null(strstr(run->out, "| tg5 | "));
    assert_non_null(strstr(run->out, "\ntime to first token: "));
    assert_non_null(strstr(run->out, "\npeak memory: "));
    assert_null(strstr(run->out, "1-bit |"));

    program_expect_failure(program_run("onebit-bench-vk", "decode", "-m", program_model(), "-n", "513"), 2, "513");
    static const char huge[] = "width=65536,ffn=65536,layers=1024,heads=256,vocab=32000";
    program_expect_failure(program_run("onebit-bench-vk", "decode", "--random", huge), 4, "the weights need ");
    program_expect_failure(program_run("onebit-bench-vk", "prompt", "--random", "7B", "--device", "no such device"), 3, "no such device");
}

/* The files of scripts/compare-peers.sh: every type that we read, at a width that is no multiple of 32 where the type allows it. */
static void test_random_files(void **state)
{
    (void)state;
    static const struct {
        const char *type, *ffn;
    } files[] = { { "onebit", "100" }, { "f16", "100" }, { "q4_0", "96" }, { "q8_0", "96" } };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s", scratch_path("random.gguf"));
        program_expect_success(program_run("random-gguf", path, files[i].type, "64", files[i].ffn, "2", "4", "2", "300"));
        const program *run = program_run("onebit-bench-vk", "decode", "-m", path, "-n", "2", "-r", "1", "--warmup", "0", "-o", "json");
        program_expect_success(run);
        assert_non_null(strstr(run->out, strcmp(files[i].type, "onebit") == 0 ? "\"onebit\": true" : "\"onebit\": false"));
        double linears = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * strtod(files[i].ffn, NULL));
        assert_true(json_number(run->out, "model_n_params") == linears + 2 * 300 * 64 + 5 * 64);
        unlink(path);
    }
    char opt[1024]; /* D = 64, F = 100: linears, embedding (which is the head) and 2050 positions, norms and biases of D and F */
    snprintf(opt, sizeof opt, "%s", scratch_path("opt.gguf"));
    program_expect_success(program_run("random-gguf", opt, "onebitopt", "64", "100", "2", "4", "4", "300"));
    const program *run = program_run("onebit-bench-vk", "decode", "-m", opt, "-n", "2", "-r", "1", "--warmup", "0", "-o", "json");
    program_expect_success(run);
    assert_true(json_number(run->out, "model_n_params") ==
                2 * (4 * 64 * 64 + 2 * 64 * 100) + (300 + 2050) * 64 + 5 * 2 * 64 + 2 * (5 * 64 + 100));
    unlink(opt);
    program_expect_failure(program_run("random-gguf", scratch_path("no.gguf"), "onebitopt", "64", "96", "2", "4", "2", "300"), 2,
                           "as many kv_heads");
    program_expect_failure(program_run("random-gguf", scratch_path("no.gguf"), "q1_0", "64", "96", "2", "4", "2", "300"), 2,
                           "fill its blocks");
    program_expect_failure(program_run("random-gguf", scratch_path("no.gguf"), "q9", "64", "96", "2", "4", "2", "300"), 2, "not 'q9'");
    program_expect_failure(program_run("random-gguf", scratch_path("no.gguf"), "f16", "64", "96", "0", "4", "2", "300"), 2,
                           "'0' is no size");
    program_expect_failure(program_run("random-gguf", scratch_path("no.gguf"), "f16", "64", "96", "1", "5", "2", "300"), 2, "must divide");
    assert_int_not_equal(access(scratch_path("no.gguf"), F_OK), 0);
}

static void test_generation_stopped(void **state)
{
    (void)state;
    static const char *const argv[] = { "onebit-bench-vk", "decode", "--random", "0.26M", "-n", "1000", "-r", "1000", NULL };
    program *run = program_start_with(argv, NULL, NULL, -1);
    program_sleep(1500);
    assert_int_equal(kill(run->pid, SIGINT), 0);
    program_wait(run);
    assert_int_equal(run->code, 130);
    assert_true(run->out[0] == 0 && strstr(run->err, "stopped by Ctrl-C"));
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_train),          cmocka_unit_test(test_train_stopped_and_refused),
                                        cmocka_unit_test(test_train_program),  cmocka_unit_test(test_model),
                                        cmocka_unit_test(test_model_refused),  cmocka_unit_test(test_generation_program),
                                        cmocka_unit_test(test_random_files),   cmocka_unit_test(test_generation_stopped) };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}

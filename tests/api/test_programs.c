/* What the programs do when all is well, and when they are told to stop. Numbers of the models themselves are tested in
 * tests/engine; here it is what reaches the user. */
#include <glob.h>
#include <math.h>

#include "program.h"

#define TEXT "text/tinystories_valid_head.txt"

/* ---- onebit-run-vk --------------------------------------------------------------------------------------------------- */

static const char opening[] = "Once upon a time";
/* What stories260K says next when it always takes the likeliest token; from llama2.c. */
static const char greedy[] = ", there was a little girl named Lily. She loved to play outside in the park.";

static void test_text(void **state)
{
    (void)state;
    char expected[256];
    snprintf(expected, sizeof expected, "%s%s\n", opening, greedy);
    const program *run = program_run("onebit-run-vk", "-m", program_model(), "-p", opening, "-n", "27", "--temp", "0");
    program_expect_success(run);
    assert_string_equal(run->out, expected);
    assert_non_null(strstr(run->err, "stories260K"));
    assert_non_null(strstr(run->err, "tier"));
    assert_non_null(strstr(run->err, "prompt: 5 tokens, "));
    assert_non_null(strstr(run->err, "time to first token: "));
    assert_non_null(strstr(run->err, "generated: 27 tokens, "));

    /* The first new token begins with the space that a text's first token would lose. */
    run = program_run("onebit-run-vk", "-m", program_model(), "-p", "Once upon a time, there was", "-n", "24", "--temp", "0");
    program_expect_success(run);
    assert_string_equal(run->out, expected);

    /* From stdin, and from nothing: the model begins with the same words by itself. */
    const char *prompt = program_write_file("prompt.txt", "Once upon a time\n", 17);
    const char *const from_stdin[] = { "onebit-run-vk", "-m", program_model(), "-f", "-", "-n", "27", "--temp", "0", NULL };
    run = program_run_with(from_stdin, NULL, prompt);
    program_expect_success(run);
    assert_string_equal(run->out, expected);
    unlink(scratch_path("prompt.txt"));
    run = program_run("onebit-run-vk", "-m", program_model(), "-n", "31", "--temp", "0");
    program_expect_success(run);
    assert_string_equal(run->out, expected);

    snprintf(expected, sizeof expected, "%s\n", greedy);
    run = program_run("onebit-run-vk", "-m", program_model(), "-p", opening, "-n", "27", "--temp", "0", "--no-display-prompt");
    program_expect_success(run);
    assert_string_equal(run->out, expected);
}

static void test_ids(void **state)
{
    (void)state;
    const program *run = program_run("onebit-run-vk", "-m", program_model(), "-p", opening, "-n", "8", "--temp", "0", "--ids");
    program_expect_success(run);
    assert_string_equal(run->out, "1 403 407 261 378 432 383 286 261 376 298 315 421\n");
    run = program_run("onebit-run-vk", "-m", program_model(), "-p", opening, "-n", "2", "--temp", "0", "--ids", "--no-display-prompt");
    assert_string_equal(run->out, "432 383\n");
    run = program_run("onebit-run-vk", "-m", program_model(), "-p", opening, "-n", "0", "--ids", "--no-bos");
    program_expect_success(run);
    assert_string_equal(run->out, "403 407 261 378\n");
}

static void test_seed(void **state)
{
    (void)state;
    const char *const seven[] = { "onebit-run-vk", "-m", program_model(), "-n", "40", "-s", "7", NULL };
    static char first[1 << 16];
    const program *run = program_run_with(seven, NULL, NULL);
    program_expect_success(run);
    assert_non_null(strstr(run->err, "seed 7"));
    memcpy(first, run->out, sizeof first);
    assert_string_equal(program_run_with(seven, NULL, NULL)->out, first);
    /* Without a seed two runs get two. */
    const char *seed = strstr(program_run("onebit-run-vk", "-m", program_model(), "-n", "1")->err, "seed ");
    assert_non_null(seed);
    unsigned long long one = strtoull(seed + 5, NULL, 10);
    seed = strstr(program_run("onebit-run-vk", "-m", program_model(), "-n", "1")->err, "seed ");
    assert_non_null(seed);
    assert_true(one != strtoull(seed + 5, NULL, 10));
}

static void test_full_context(void **state)
{
    (void)state;
    /* Five tokens of the prompt and three more are fed; the token they lead to is the last. */
    const program *run = program_run("onebit-run-vk", "-m", program_model(), "-p", opening, "-c", "8", "--temp", "0", "--ids");
    program_expect_success(run);
    assert_string_equal(run->out, "1 403 407 261 378 432 383 286 261\n");
    assert_non_null(strstr(run->err, "context of 8 tokens is full"));
    /* A prompt that just fits. */
    run = program_run("onebit-run-vk", "-m", program_model(), "-p", opening, "-c", "5", "--temp", "0", "--ids");
    program_expect_success(run);
    assert_string_equal(run->out, "1 403 407 261 378 432\n");
}

static void test_profile(void **state)
{
    (void)state;
    const program *run = program_run("onebit-run-vk", "-m", program_model(), "-p", opening, "-n", "2", "--profile");
    program_expect_success(run);
    assert_true(strstr(run->err, "norm_rmsnorm") || strstr(run->err, "no timestamps"));
    assert_null(strstr(run->out, "rmsnorm"));
}

static void test_stdout_that_closes(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    const char *const argv[] = { "onebit-run-vk", "-m", program_model(), "-p", opening, "-n", "20", NULL };
    program *run = program_start_with(argv, NULL, NULL, ends[1]);
    program_wait(run);
    assert_int_equal(run->code, 1);
    assert_null(strstr(run->err, "error: "));
    if (access("/dev/full", W_OK) != 0) return;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    static const char *const help[] = { "onebit-info-vk", "--help", NULL };
    run = program_start_with(help, NULL, NULL, full);
    program_wait(run);
    assert_int_equal(run->code, 1);
    assert_non_null(strstr(run->err, "cannot write to stdout"));
}

/* Waits until the program has written something to its stdout. */
static void wait_for_output(void)
{
    struct stat info = { 0 };
    for (int i = 0; i < 30000; i++) {
        if (stat(scratch_path("stdout"), &info) == 0 && info.st_size > 0) return;
        program_sleep(2);
    }
    fail_msg("nothing was printed");
}

static void test_signals_while_generating(void **state)
{
    (void)state;
    static const int signals[] = { SIGINT, SIGTERM };
    for (int i = 0; i < 2; i++) {
        const char *const argv[] = { "onebit-run-vk", "-m", program_model(), "--ignore-eos", NULL };
        program *run = program_start_with(argv, NULL, NULL, -1);
        wait_for_output();
        kill(run->pid, signals[i]);
        program_wait(run);
        if (run->code != 128 + signals[i]) fail_msg("exit code %d; stderr: %s", run->code, run->err);
        assert_non_null(strstr(run->err, "generated: "));
        assert_null(strstr(run->err, "error: "));
        assert_int_equal(run->out[strlen(run->out) - 1], '\n');
    }
}

/* ---- onebit-quant-vk ------------------------------------------------------------------------------------------------- */

static void test_report(void **state)
{
    (void)state;
    char path[1024];
    snprintf(path, sizeof path, "%s", scratch_path("onebit.gguf"));
    const program *run = program_run("onebit-quant-vk", program_model(), "-o", path);
    program_expect_success(run);
    static const char *const words[] = { "blk.0.attn_q.weight", "blk.4.ffn_down.weight", "64 x 172", "all linear layers", "SVID",
                                         "rank-1", "XNOR", "bits per weight", "compression", "smaller" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strstr(run->out, words[i])) fail_msg("no '%s' in: %s", words[i], run->out);

    run = program_run("onebit-quant-vk", program_model(), "-o", path, "--json");
    program_expect_success(run);
    assert_int_equal(program_occurrences(run->out, "\"error_svid\""), 5 * 7 + 1);
    double svid = json_number(strstr(run->out, "\n  \"error_svid\""), "error_svid");
    assert_true(svid > 0.2 && svid < json_number(strstr(run->out, "\n  \"error_xnor\""), "error_xnor"));
    /* 64 x 64: a word per 32 signs and 128 F16 scales are 1.5 bits. */
    assert_true(fabs(json_number(run->out, "bits_per_weight") - 1.5) < 1e-9);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_true((double)info.st_size == json_number(run->out, "file_bytes"));

    /* The file that was written runs. */
    run = program_run("onebit-run-vk", "-m", path, "-p", opening, "-n", "5");
    program_expect_success(run);
    assert_non_null(strstr(run->err, "1-bit"));
    assert_memory_equal(run->out, opening, strlen(opening));
    run = program_run("onebit-info-vk", path, "--json");
    program_expect_success(run);
    assert_non_null(strstr(run->out, "\"onebit\": true"));
    unlink(path);
}

/* Calibration texts as a user may have them, through the program; what it makes runs. */
static void test_calibration(void **state)
{
    (void)state;
    char path[1024], calibration[1024];
    static const char story[] = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.";
    snprintf(path, sizeof path, "%s", scratch_path("calibrated.gguf"));
    snprintf(calibration, sizeof calibration, "%s", program_write_file("calibration.txt", "", 0));
#define CALIBRATE(...) program_run("onebit-quant-vk", program_model(), "-o", path, "--method", "gptq", "--calib", calibration, __VA_ARGS__)
    program_expect_failure(CALIBRATE("--bits", "3"), 5, "the calibration text is empty");
    program_write_file("calibration.txt", story, strlen(story));
    program_expect_failure(CALIBRATE("--bits", "3"), 5, "less than one window of 512");
    program_expect_failure(CALIBRATE("--calib-window", "8", "--damping", "0"), 5, "blk.0.attn_q.weight: the Hessian");
    assert_int_equal(access(path, F_OK), -1);
    const program *run = CALIBRATE("--bits", "3", "--calib-window", "8", "--json");
    program_expect_success(run);
    assert_non_null(strstr(run->out, "\"method\": \"gptq\""));
    assert_int_equal(program_occurrences(run->out, "\"output_error\""), 5 * 7);
    assert_true(json_number(run->out, "output_error") < json_number(run->out, "error"));
    run = program_run("onebit-run-vk", "-m", path, "-p", opening, "-n", "5");
    program_expect_success(run);
    assert_memory_equal(run->out, opening, strlen(opening));
    unlink(path);
    unlink(calibration);
}

/* A llama2.c model large enough that converting it takes a while; its numbers are noise. */
static const char *write_large_model(void)
{
    const int32_t width = 256, ffn = 704, layers = 24, heads = 8, vocabulary = 512, positions = 64;
    const int32_t header[7] = { width, ffn, layers, heads, heads, vocabulary, positions };
    size_t layer = (size_t)width * (size_t)(2 + 4 * width + 3 * ffn);
    size_t values = (size_t)layers * layer + (size_t)((vocabulary + 1) * width + positions * (width / heads));
    size_t bytes = sizeof header + 4 * values;
    uint8_t *data = malloc(bytes);
    assert_non_null(data);
    memcpy(data, header, sizeof header);
    uint32_t noise = 1;
    for (size_t i = 0; i < values; i++) {
        noise = noise * 1664525u + 1013904223u;
        float value = (float)(int32_t)noise * 0x1p-31f;
        memcpy(data + sizeof header + 4 * i, &value, 4);
    }
    const char *path = program_write_file("large.bin", data, bytes);
    free(data);
    return path;
}

static bool any_file(const char *pattern)
{
    glob_t found;
    bool any = glob(pattern, 0, NULL, &found) == 0;
    if (any) globfree(&found);
    return any;
}

static void test_signals_while_quantising(void **state)
{
    (void)state;
    char input[1024], output[1024], temporary[1100];
    snprintf(input, sizeof input, "%s", write_large_model());
    snprintf(output, sizeof output, "%s", scratch_path("large.gguf"));
    static const int signals[] = { SIGINT, SIGTERM };
    for (int i = 0; i < 2; i++) {
        const char *tokenizer = test_data_path("models/stories260K/tok512.bin");
        const char *const argv[] = { "onebit-quant-vk", input, "--tokenizer", tokenizer, "-o", output, NULL };
        program *run = program_start_with(argv, NULL, NULL, -1);
        snprintf(temporary, sizeof temporary, "%s.tmp-%ld-*", output, (long)run->pid);
        int polls = 0;
        while (!any_file(temporary) && kill(run->pid, 0) == 0 && polls++ < 30000) program_sleep(1);
        assert_true(any_file(temporary));
        kill(run->pid, signals[i]);
        program_wait(run);
        if (run->code != 128 + signals[i]) fail_msg("exit code %d; stdout: %s; stderr: %s", run->code, run->out, run->err);
        assert_string_equal(run->out, "");
        assert_false(any_file(temporary));
        assert_int_equal(access(output, F_OK), -1);
    }
    unlink(input);
}

/* ---- onebit-eval-vk -------------------------------------------------------------------------------------------------- */

static void test_perplexity(void **state)
{
    (void)state;
    const program *run = program_run("onebit-eval-vk", "ppl", "-m", program_model(), "-f", test_data_path(TEXT), "--bytes", "1500", "-c",
                                     "128", "--json");
    program_expect_success(run);
    double windows = json_number(run->out, "windows"), predicted = json_number(run->out, "predicted_tokens");
    double nll = json_number(run->out, "nll"), bytes = json_number(run->out, "predicted_bytes");
    double tokens = json_number(run->out, "text_tokens");
    assert_true(json_number(run->out, "text_bytes") == 1500);
    assert_true(windows == floor(tokens / 128) && windows >= 4);
    assert_true(predicted == windows * 127);
    assert_true(json_number(run->out, "tokens_left_over") == tokens - windows * 128);
    assert_true(nll > 1.0 && nll < 2.0); /* 1.41 over a longer text and windows of 256 */
    assert_true(fabs(json_number(run->out, "ppl") - exp(nll)) < 1e-6);
    assert_true(fabs(json_number(run->out, "ppl_standard_error") - exp(nll) * json_number(run->out, "nll_standard_error")) < 1e-6);
    assert_true(fabs(json_number(run->out, "bits_per_byte") - nll * predicted / log(2) / bytes) < 1e-6);
    assert_true(bytes < 1500 && bytes > predicted);

    run = program_run("onebit-eval-vk", "ppl", "-m", program_model(), "-f", test_data_path(TEXT), "--bytes", "300");
    program_expect_success(run);
    assert_non_null(strstr(run->err, "the text has only"));
    const char *last = strstr(run->out, "Final estimate: PPL = ");
    assert_non_null(last);
    double ppl = 0, error = 0;
    assert_int_equal(sscanf(last, "Final estimate: PPL = %lf +/- %lf\n", &ppl, &error), 2);
    assert_true(ppl > 1 && ppl < 20 && error > 0);
    assert_ptr_equal(strchr(last, '\n') + 1, run->out + strlen(run->out));
}

static void test_documents(void **state)
{
    (void)state;
    static const char text[] = "##\n Once upon a time \n##Lily saw##   ##the park.\n##\xC3\xA9##";
    char path[1024];
    snprintf(path, sizeof path, "%s", program_write_file("documents.txt", text, sizeof text - 1));
    const program *run = program_run("onebit-eval-vk", "ppl", "-m", program_model(), "-f", path, "--split", "##", "--json");
    program_expect_success(run);
    assert_true(json_number(run->out, "documents") == 4);
    double all = json_number(run->out, "predicted_tokens");
    /* "Once upon a time" alone: four tokens and eos. Its bytes are those of the text without the white space around it. */
    run = program_run("onebit-eval-vk", "ppl", "-m", program_model(), "-f", path, "--split", "##", "--docs", "1", "--json");
    program_expect_success(run);
    assert_true(json_number(run->out, "documents") == 1);
    assert_true(json_number(run->out, "predicted_tokens") == 5 && all > 5);
    assert_true(json_number(run->out, "predicted_bytes") == (double)strlen(opening));
    /* Cut to three tokens. */
    run = program_run("onebit-eval-vk", "ppl", "-m", program_model(), "-f", path, "--split", "##", "--docs", "1", "-c", "3", "--json");
    program_expect_success(run);
    assert_true(json_number(run->out, "predicted_tokens") == 2);
    assert_true(json_number(run->out, "tokens_left_over") == 3);
    unlink(path);

    snprintf(path, sizeof path, "%s", program_write_file("nothing.txt", " ## ", 4));
    program_expect_failure(program_run("onebit-eval-vk", "ppl", "-m", program_model(), "-f", path, "--split", "##"), 5,
                           "nothing to predict");
    unlink(path);
}

/* ---- onebit-info-vk -------------------------------------------------------------------------------------------------- */

static void test_info(void **state)
{
    (void)state;
    const program *run = program_run("onebit-info-vk");
    program_expect_success(run);
    assert_non_null(strstr(run->out, "driver "));
    assert_non_null(strstr(run->out, "limits "));
    run = program_run("onebit-run-vk", "--list-devices");
    program_expect_success(run);
    assert_memory_equal(run->out, "0: ", 3);
    run = program_run("onebit-info-vk", "--device", "0", "--json");
    program_expect_success(run);
    assert_true(json_number(run->out, "workgroup_size") >= 128);
    assert_non_null(strstr(run->out, "\"chosen\""));
    assert_int_equal(program_occurrences(run->out, "\"offered\""), 6);
    run = program_run("onebit-info-vk", "--device", "0");
    program_expect_success(run);
    assert_non_null(strstr(run->out, "families    xor"));
    assert_non_null(strstr(run->out, "chosen      sign_gemv: "));

    run = program_run("onebit-info-vk", "--selftest", "--device", "0");
    program_expect_success(run);
    assert_non_null(strstr(run->out, "all passed"));
    assert_non_null(strstr(run->out, "driver "));
    assert_true(program_occurrences(run->out, "  pass ") >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_full_context),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_stdout_that_closes),
        cmocka_unit_test(test_signals_while_generating),
        cmocka_unit_test(test_report), cmocka_unit_test(test_calibration),
        cmocka_unit_test(test_signals_while_quantising),
        cmocka_unit_test(test_perplexity),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_info),
    };
    return cmocka_run_group_tests(tests, scratch_open, program_scratch_remove);
}

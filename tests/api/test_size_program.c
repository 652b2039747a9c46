/* test_size_program: "onebit-eval-vk size": the paper's figures by the formula, our student's file, and what is refused. No device. */
#include "program.h"

#include <math.h>

#define STUDENT OB_SOURCE_DIR "/models/stories-onebit.gguf"
#define TEACHER OB_SOURCE_DIR "/models/stories-teacher.gguf"

static void expect_near(const char *text, const char *key, double value, double within)
{
    double found = json_number(text, key);
    if (!(fabs(found - value) < within)) fail_msg("%s is %.9g, not %.9g", key, found, value);
}

/* OneBit, Table 3 and A.7: 13.5 GB become 1.3 and so on; to three places as the formula gives them. */
static void test_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double fp16, onebit;
    } rows[] = {
        { "llama-7b", 13.477, 1.339 }, { "llama-13b", 26.032, 2.250 }, { "llama-30b", 65.058, 4.882 },   { "llama-65b", 130.571, 9.171 },
        { "opt-1.3b", 2.632, 0.368 },  { "qwen3-0.6b", 1.192, 0.368 }, { "stories15m", 0.0304, 0.0193 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const program *run = program_run("onebit-eval-vk", "size", "--shape", rows[i].name, "--json");
        program_expect_success(run);
        double within = rows[i].onebit < 0.1 ? 5e4 : 5e5;
        expect_near(run->out, "fp16_bytes", 1e9 * rows[i].fp16, within);
        expect_near(run->out, "tensor_bytes", 1e9 * rows[i].onebit, within);
    }
    const program *run = program_run("onebit-eval-vk", "size", "--shape", "4096x4096", "--json");
    program_expect_success(run);
    expect_near(run->out, "bits_as_in_the_paper", 16908288.0 / 16785408, 1e-8);
    expect_near(run->out, "bits_per_linear_weight", 1.0078125, 1e-8);
    run = program_run("onebit-eval-vk", "size", "--shape", "4096x4096", "--bits", "2", "--group", "64", "--json");
    expect_near(run->out, "bits_per_linear_weight", 2 + 18.0 / 64, 1e-8);
    program_expect_success(program_run("onebit-eval-vk", "size", "--shape", "all"));
}

static void test_file(void **state)
{
    (void)state;
    const program *run = program_run("onebit-eval-vk", "size", "-m", STUDENT, "--json");
    program_expect_success(run);
    double weights = json_number(run->out, "linear_weights"), values = json_number(run->out, "linear_values");
    struct stat info;
    assert_int_equal(stat(STUDENT, &info), 0);
    assert_true(json_number(run->out, "file_bytes") == (double)info.st_size);
    expect_near(run->out, "bits_per_linear_weight", 1 + 16 * values / weights, 1e-8);
    expect_near(run->out, "bits_as_in_the_paper", (weights + 16 * values) / (weights + values), 1e-8);
    assert_true(json_number(run->out, "sign_planes") == 1);
    run = program_run("onebit-eval-vk", "size", "-m", TEACHER, "--json");
    program_expect_success(run);
    assert_true(json_number(run->out, "linear_weights") == weights && json_number(run->out, "bits_per_linear_weight") == 16);
}

static void test_refused(void **state)
{
    (void)state;
    program_expect_failure(program_run("onebit-eval-vk", "size"), 2, "say of what");
    program_expect_failure(program_run("onebit-eval-vk", "size", "--shape", "llama-8b"), 2, "no shape 'llama-8b'");
    program_expect_failure(program_run("onebit-eval-vk", "size", "--shape", "0x5"), 2, "no shape '0x5'");
    program_expect_failure(program_run("onebit-eval-vk", "size", "-m", STUDENT, "--bits", "2"), 2, "a file has its own");
    program_expect_failure(program_run("onebit-eval-vk", "size", "-m", scratch_path("none.gguf")), 5, "No such file");
    size_t bytes;
    uint8_t *file = program_file(STUDENT, &bytes);
    const char *cut = program_write_file("cut.gguf", file, bytes / 2);
    program_expect_failure(program_run("onebit-eval-vk", "size", "-m", cut), 5, "cut.gguf");
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_shapes), cmocka_unit_test(test_file), cmocka_unit_test(test_refused) };
    return cmocka_run_group_tests(tests, scratch_open, program_scratch_remove);
}

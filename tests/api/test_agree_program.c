/* test_agree_program: "onebit-eval-vk agree": a model with itself, the perplexities that "ppl" finds, and what is refused. The
 * numbers themselves are test_agree's. */
#include "program.h"

#include <math.h>

#define TEXT "text/tinystories_valid_head.txt"
#define TEACHER OB_SOURCE_DIR "/models/stories-teacher.gguf" /* of another vocabulary than stories260K */

static char packed[1024]; /* the 1-bit student, beside program_model() */

static int open_models(void **state)
{
    if (scratch_open(state) != 0) return -1;
    snprintf(packed, sizeof packed, "%s", scratch_path("packed.gguf"));
    program_expect_success(program_run("onebit-quant-vk", test_data_path("models/stories260K/stories260K.bin"), "--tokenizer",
                                       test_data_path("models/stories260K/tok512.bin"), "-o", packed));
    return 0;
}

#define ON_TEXT "-f", test_data_path(TEXT), "--bytes", "800", "-c", "64"

static void test_with_itself(void **state)
{
    (void)state;
    const program *run = program_run("onebit-eval-vk", "agree", "-m", program_model(), "--teacher", program_model(), ON_TEXT, "--json");
    program_expect_success(run);
    assert_true(json_number(run->out, "kl") == 0 && json_number(run->out, "kl_standard_error") == 0);
    assert_true(json_number(run->out, "top1_agreement") == 1);
    assert_true(json_number(run->out, "ppl_ratio") == 1 && json_number(run->out, "bits_per_byte_above_teacher") == 0);
    assert_true(json_number(run->out, "nll") == json_number(run->out, "teacher_nll"));
    assert_true(json_number(run->out, "predicted_tokens") > 200);
}

/* The same windows as "ppl", and the same numbers, digit by digit. */
static void test_numbers_of_ppl(void **state)
{
    (void)state;
    static const char *const keys[] = { "nll", "nll_standard_error", "ppl", "ppl_standard_error", "bits_per_byte" };
    static const char *const shared[] = { "windows", "window", "text_tokens", "tokens_left_over", "predicted_tokens", "predicted_bytes" };
    static char both[1 << 16], students[1 << 16];
    const program *run = program_run("onebit-eval-vk", "agree", "-m", packed, "--teacher", program_model(), ON_TEXT, "--json");
    program_expect_success(run);
    memcpy(both, run->out, sizeof both);
    run = program_run("onebit-eval-vk", "ppl", "-m", packed, ON_TEXT, "--json");
    program_expect_success(run);
    memcpy(students, run->out, sizeof students);
    run = program_run("onebit-eval-vk", "ppl", "-m", program_model(), ON_TEXT, "--json");
    program_expect_success(run);
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        assert_true(json_number(both, shared[i]) == json_number(students, shared[i]));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char key[64];
        snprintf(key, sizeof key, "teacher_%s", keys[i]);
        assert_true(json_number(both, keys[i]) == json_number(students, keys[i]));
        assert_true(json_number(both, key) == json_number(run->out, keys[i]));
    }
    double ratio = json_number(students, "ppl") / json_number(run->out, "ppl"), same = json_number(both, "top1_agreement");
    assert_true(fabs(json_number(both, "ppl_ratio") / ratio - 1) < 1e-7);
    assert_true(fabs(json_number(both, "bits_per_byte_above_teacher") -
                     (json_number(students, "bits_per_byte") - json_number(run->out, "bits_per_byte"))) < 1e-7);
    assert_true(json_number(both, "kl") > 1 && json_number(both, "kl_standard_error") > 0 && same < 0.9);
    print_message("kl %.4f, the same choice %.4f\n", json_number(both, "kl"), same);

    /* The table says the same. */
    run = program_run("onebit-eval-vk", "agree", "-m", packed, "--teacher", program_model(), ON_TEXT);
    program_expect_success(run);
    double values[4] = { 0 };
    const char *line = strstr(run->out, "\nKL to teacher"), *choice = strstr(run->out, "\nsame choice"),
               *bits = strstr(run->out, "\nbits per byte");
    assert_true(line && choice && bits);
    assert_int_equal(sscanf(line, "\nKL to teacher %lf", &values[0]), 1);
    assert_int_equal(sscanf(choice, "\nsame choice %lf", &values[1]), 1);
    assert_int_equal(sscanf(bits, "\nbits per byte %lf %lf", &values[2], &values[3]), 2);
    assert_true(fabs(values[0] - json_number(both, "kl")) < 1e-6 && fabs(values[1] - 100 * same) < 0.01);
    assert_true(fabs(values[2] - json_number(both, "bits_per_byte")) < 1e-6);
    assert_true(fabs(values[3] - json_number(both, "teacher_bits_per_byte")) < 1e-6);
}

/* A token less, or one that is spelled otherwise. */
static void test_other_vocabularies(void **state)
{
    (void)state;
    program_expect_failure(program_run("onebit-eval-vk", "agree", "-m", packed, "--teacher", TEACHER, ON_TEXT), 2,
                           "different vocabularies, of 512 and 1024 tokens");
    char other[1024];
    size_t bytes;
    uint8_t *model = program_file(program_model(), &bytes), *token = memmem(model, bytes, "\xe2\x96\x81Once", 7);
    assert_non_null(token);
    token[6] = 'a';
    snprintf(other, sizeof other, "%s", program_write_file("other.gguf", model, bytes));
    free(model);
    program_expect_failure(program_run("onebit-eval-vk", "agree", "-m", packed, "--teacher", other, ON_TEXT), 2,
                           "which differ in token 403");
    unlink(other);
}

static void test_wrong_use(void **state)
{
    (void)state;
    program_expect_failure(program_run("onebit-eval-vk", "agree", "-m", packed, ON_TEXT), 2, "--teacher names a GGUF file");
    program_expect_failure(program_run("onebit-eval-vk", "ppl", "-m", packed, "--teacher", packed, ON_TEXT), 2, "no option --teacher");
    program_expect_failure(program_run("onebit-eval-vk", "agree", "-m", packed, "--teacher", scratch_path("none.gguf"), ON_TEXT), 5,
                           "cannot open the model");
    program_expect_failure(
        program_run("onebit-eval-vk", "agree", "-m", packed, "--teacher", packed, "-f", test_data_path(TEXT), "-c", "4096"), 2, "512");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_itself),
        cmocka_unit_test(test_numbers_of_ppl),
        cmocka_unit_test(test_other_vocabularies),
        cmocka_unit_test(test_wrong_use),
    };
    return cmocka_run_group_tests(tests, open_models, program_scratch_remove);
}

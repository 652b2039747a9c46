/* test_models: the models that the project ships do what models/README.md says of them. */
#include "program.h"

#include <math.h>

static const char *const begins = "Once upon a time, there was a little girl named Lily.";

static void test_stories(void **state)
{
    (void)state;
    static const char *const models[] = { OB_SOURCE_DIR "/models/stories-teacher.gguf", OB_SOURCE_DIR "/models/stories-onebit.gguf" };
    for (int i = 0; i < 2; i++) {
        program *run = program_run("onebit-run-vk", "-m", models[i], "-p", "Once upon a time", "-n", "16", "--temp", "0");
        program_expect_success(run);
        if (strncmp(run->out, begins, strlen(begins)) != 0) fail_msg("%s writes: %s", models[i], run->out);
    }
}

/* Nats per token that `model` gives the first 2 KiB of held-out stories. */
static double loss_of(const char *model, const char *batch, const char *kernel)
{
    size_t bytes;
    uint8_t *text = program_file(test_data_path("text/tinystories_valid_head.txt"), &bytes);
    assert_true(bytes >= 2048);
    const char *path = program_write_file("stories.txt", text, 2048);
    free(text);
    setenv("ONEBIT_KERNEL", kernel, 1);
    program *run = program_run("onebit-eval-vk", "ppl", "-m", model, "-f", path, "-c", "256", "-b", batch);
    setenv("ONEBIT_KERNEL", "", 1);
    program_expect_success(run);
    const char *mean = strstr(run->out, "mean NLL");
    assert_non_null(mean);
    return strtod(mean + strlen("mean NLL"), NULL);
}

/* Distillation has brought the student to within a tenth of its teacher's loss; without it the loss is three times as high. */
static void test_losses(void **state)
{
    (void)state;
    double teacher = loss_of(OB_SOURCE_DIR "/models/stories-teacher.gguf", "128", "");
    double student = loss_of(OB_SOURCE_DIR "/models/stories-onebit.gguf", "128", "");
    assert_true(teacher > 1 && teacher < 3);
    if (!(student < 1.1 * teacher)) fail_msg("the student's loss is %g, the teacher's %g", student, teacher);
}

/* With activations in bytes, in steps of few tokens, which are what these kernels make: within half a percent. */
static void test_bytes_lose_nothing(void **state)
{
    (void)state;
    double exact = loss_of(OB_SOURCE_DIR "/models/stories-onebit.gguf", "7", "xor");
    double bytes = loss_of(OB_SOURCE_DIR "/models/stories-onebit.gguf", "7", "int8");
    if (!(fabs(bytes - exact) < 0.005 * exact) || bytes == exact) fail_msg("the loss is %g with bytes, %g without", bytes, exact);
}

/* The same for long steps, where blocks of bytes are longer: lavapipe with 8 lanes, which this program runs on. */
static void test_bytes_of_prompts_lose_nothing(void **state)
{
    (void)state;
    double exact = loss_of(OB_SOURCE_DIR "/models/stories-onebit.gguf", "128", "xor");
    double bytes = loss_of(OB_SOURCE_DIR "/models/stories-onebit.gguf", "128", "straight-int8");
    if (!(fabs(bytes - exact) < 0.005 * exact) || bytes == exact) fail_msg("the loss is %g with bytes, %g without", bytes, exact);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_stories), cmocka_unit_test(test_losses),
                                        cmocka_unit_test(test_bytes_lose_nothing),
                                        cmocka_unit_test(test_bytes_of_prompts_lose_nothing) };
    return cmocka_run_group_tests(tests, scratch_open, program_scratch_remove);
}

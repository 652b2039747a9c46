/* test_scene: the sample renderer without a window: frames are drawn with the model on the same device, its text grows, what it writes is
 * whole, and the validation layer is silent about both. */
#include "api.h"
#include "program.h"

#define PROGRAM "onebit-scene-vk"
#define FRAMES 90
#define WIDTH 240
#define HEIGHT 136
static const char model_path[] = OB_SOURCE_DIR "/models/stories-onebit.gguf";

static uint32_t big_endian(const uint8_t *at) { return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]; }

static void check_png(const char *path)
{
    size_t bytes;
    uint8_t *data = program_file(path, &bytes);
    assert_true(bytes > 33);
    assert_memory_equal(data, "\x89PNG\r\n\x1a\n", 8);
    assert_int_equal(big_endian(data + 16), WIDTH);
    assert_int_equal(big_endian(data + 20), HEIGHT);
    assert_memory_equal(data + bytes - 8, "IEND", 4);
    assert_true(bytes > 6000); /* one colour only would be some hundred bytes */
    free(data);
}

/* Every frame has a row; those with the model come in turns, and tokens and pieces with them only. */
static void check_csv(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char line[256];
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line, "frame,seconds,model_device_seconds,tokens,model\n");
    unsigned long long tokens = 0;
    unsigned pieces = 0;
    for (unsigned i = 0; i < FRAMES; i++) {
        unsigned frame, model;
        unsigned long long so_far;
        double seconds, piece;
        assert_non_null(fgets(line, sizeof line, file));
        assert_int_equal(sscanf(line, "%u,%lf,%lf,%llu,%u", &frame, &seconds, &piece, &so_far, &model), 5);
        assert_int_equal(frame, i);
        assert_int_equal(model, i / 30 % 2);
        assert_true(seconds > 0 && seconds < 60);
        assert_true(piece == 0 || model == 1);
        assert_true(so_far == tokens || (so_far == tokens + 1 && model == 1));
        pieces += piece > 0;
        tokens = so_far;
    }
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
    assert_true(tokens >= 3);
    assert_true(pieces >= 10);
}

static void test_headless(void **state)
{
    (void)state;
    char png[1024], csv[1024], svg[1024];
    snprintf(png, sizeof png, "%s", scratch_path("scene.png"));
    snprintf(csv, sizeof csv, "%s", scratch_path("scene.csv"));
    snprintf(svg, sizeof svg, "%s", scratch_path("scene.svg"));
    /* A budget that is enough for some tokens on a busy machine, and no pause between frames. */
    program *run = program_run(PROGRAM, "-m", model_path, "-p", "The big dog and", "--headless", "90", "--block", "30",
                               "--budget", "60000", "--fps", "0", "--width", "240", "--height", "136",
                               "--png", png, "--png-frame", "80", "--csv", csv, "--plot", svg,
                               "--skip-selftest", "--validation");
    program_expect_success(run);
    if (strstr(run->err, "validation")) fail_msg("%s", run->err);
    const char *text = strstr(run->out, "The big dog and");
    assert_non_null(text);
    assert_true(strlen(text) > strlen("The big dog and") + 4);
    check_png(png);
    check_csv(csv);
    size_t bytes;
    char *plot = (char *)program_file(svg, &bytes);
    plot[bytes] = 0;
    assert_memory_equal(plot, "<svg ", 5);
    assert_string_equal(plot + bytes - 7, "</svg>\n");
    free(plot);
}

static void test_bad_use(void **state)
{
    (void)state;
    program_expect_failure(program_run(PROGRAM, "-m", model_path, "--png", "x.png"), 2, "--headless");
    program_expect_failure(program_run(PROGRAM, "-m", model_path, "--headless", "9", "--png", "x.png", "--png-frame", "9"), 2, "frame 9");
    program_expect_failure(program_run(PROGRAM, "-m", "no such file", "--headless", "9"), 5, "no such file");
    program_expect_failure(program_run(PROGRAM, "-m", model_path, "--headless", "9", "--device", "no such device"), 3, "no such device");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_headless), cmocka_unit_test(test_bad_use) };
    return cmocka_run_group_tests(tests, scratch_open, program_scratch_remove);
}

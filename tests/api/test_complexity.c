/* test_complexity: `onebit-bench-vk complexity` on matrices so small that the times mean nothing; what is held is that the three forms give
 * the same results, that each form's time is its own, and that table, JSON and picture have all rows. */
#include "api.h"
#include "onebit/onebit_bench.h"
#include "program.h"

#include <math.h>

static void test_forms(void **state)
{
    (void)state;
    ob_context *context = api_context();
    static const uint32_t shapes[][3] = { { 1, 33, 40 }, { 9, 37, 67 }, { 16, 96, 64 }, { 48, 64, 256 } };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        double seconds[OB_BENCH_WAYS][3], outside[OB_BENCH_WAYS][3];
        ob_bench_complexity_desc desc = { .T = shapes[i][0], .m = shapes[i][1], .n = shapes[i][2], .warmup = 1, .rounds = 2 };
        for (int way = 0; way < OB_BENCH_WAYS; way++) {
            desc.seconds[way] = seconds[way];
            desc.outside[way] = outside[way];
            for (int k = 0; k < 3; k++) seconds[way][k] = outside[way][k] = -1;
        }
        ob_bench_complexity_result result;
        API_OK(ob_bench_complexity(context, &desc, &result));
        assert_true(result.timestamps && result.difference[0] == 0);
        assert_true(result.difference[1] > 0 && result.difference[1] < 1e-5); /* other roundings, of f32 */
        assert_true(result.difference[2] > 0 && result.difference[2] < 0.03); /* activations may be bytes */
        for (int way = 0; way < OB_BENCH_WAYS; way++) {
            for (int k = 0; k < 2; k++) {
                assert_true(seconds[way][k] > 0 && seconds[way][k] < 100);
                if (way == OB_BENCH_SIGNS) assert_true(outside[way][k] == 0);
                else assert_true(outside[way][k] > 0 && outside[way][k] < seconds[way][k]);
            }
            assert_true(seconds[way][2] < 0 && outside[way][2] < 0);
        }
        desc.rounds = 0;
        API_FAILS(ob_bench_complexity(context, &desc, &result), OB_ERROR_ARGUMENT, "must not be 0");
        desc.rounds = 1;
        desc.m = 65537;
        API_FAILS(ob_bench_complexity(context, &desc, &result), OB_ERROR_ARGUMENT, "too large");
    }
    ob_context_destroy(context);
}

static void test_program(void **state)
{
    (void)state;
    char picture[1024];
    snprintf(picture, sizeof picture, "%s", scratch_path("complexity.svg"));
    const program *run =
        program_run("onebit-bench-vk", "complexity", "32x48", "64x64", "--tokens", "8,16,48", "--rounds", "2", "--svg", picture);
    program_expect_success(run);
    assert_int_equal(program_occurrences(run->out, "\n| 32 x 48 | "), 4); /* three T, and the crossover */
    assert_int_equal(program_occurrences(run->out, "\n| 64 x 64 | "), 4);
    assert_non_null(strstr(run->out, "\n| 32 x 48 | 38 | ")); /* 2 * 32 * 48 / 80 */
    size_t bytes;
    char *drawn = (char *)program_file(picture, &bytes);
    drawn[bytes] = 0;
    assert_memory_equal(drawn, "<svg ", 5);
    assert_true(strcmp(drawn + bytes - 7, "</svg>\n") == 0);
    assert_int_equal(program_occurrences(drawn, "<circle "), 2 * 3 + 2); /* and one for each in the list */
    assert_null(strstr(drawn, "nan"));
    free(drawn);
    unlink(picture);

    run = program_run("onebit-bench-vk", "complexity", "32x48", "--tokens", "8", "--rounds", "1", "--json");
    program_expect_success(run);
    assert_true(json_number(run->out, "by_multiplications") == 38.4);
    assert_int_equal(program_occurrences(run->out, "\"multiplications\": "), 3);
    assert_non_null(strstr(run->out, "\"multiplications\": 15360,")); /* T m n + 2 m n */
    assert_non_null(strstr(run->out, "\"multiplications\": 12928,")); /* T m n + T m + T n */
    assert_non_null(strstr(run->out, "\"multiplications\": 640,"));

    program_expect_failure(program_run("onebit-bench-vk", "complexity", "32"), 2, "'32' is not a matrix");
    program_expect_failure(program_run("onebit-bench-vk", "complexity", "--tokens", "8,4"), 2, "rising numbers");
    program_expect_failure(program_run("onebit-bench-vk", "complexity", "--tokens", "8,"), 2, "rising numbers");
    char nowhere[1100];
    snprintf(nowhere, sizeof nowhere, "%s/none/x.svg", scratch_directory);
    run = program_run("onebit-bench-vk", "complexity", "8x8", "--tokens", "8", "--rounds", "1", "--json", "--svg", nowhere);
    assert_int_equal(run->code, 1);
    assert_non_null(strstr(run->err, "cannot write "));
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_forms), cmocka_unit_test(test_program) };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}

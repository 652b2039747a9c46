/* test_bench_kernels: single operations of onebit_bench.h and `onebit-bench-vk kernels` on matrices so small that the times mean
 * nothing; what is held is that all are there, cost what they should, belong together and reach the user. */
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

/* ---- single operations --------------------------------------------------------------------------------------------- */

/* Runs operation i for two rounds; the rounds' times are looked at, the cost is returned. */
static ob_bench_kernel_cost run_kernel(uint32_t i, uint32_t T, uint32_t m, uint32_t n)
{
    double seconds[3] = { -1, -1, -1 }, device[3] = { -1, -1, -1 };
    ob_bench_kernel_cost cost;
    ob_bench_kernel_desc desc = { .index = i, .T = T, .m = m, .n = n, .rounds = 2, .seconds = seconds, .device_seconds = device };
    API_OK(ob_bench_kernel(shared, &desc, &cost));
    for (int k = 0; k < 2; k++) assert_true(device[k] > 0 && device[k] <= seconds[k] && seconds[k] < 100);
    assert_true(seconds[2] < 0 && device[2] < 0);
    assert_true(cost.bytes > 0 && isfinite(cost.operations) && cost.operations >= 0 && cost.kernel_count > 0);
    return cost;
}

static uint32_t kernel_index(const char *name)
{
    ob_bench_kernel_info info;
    for (uint32_t i = 0; ob_bench_kernel_describe(i, &info); i++)
        if (strcmp(info.name, name) == 0) return i;
    fail_msg("there is no operation %s", name);
    return 0;
}

static void test_kernels(void **state)
{
    (void)state;
    ob_bench_kernel_info info;
    uint32_t i = 0;
    for (; ob_bench_kernel_describe(i, &info) && strncmp(info.name, "matmul_", 7) == 0; i++) {
        const char *name = info.name;
        assert_true(info.formula[0] && info.shape_count == 2 && info.shapes[0][0] == 1 && info.shapes[1][0] == 512);
        ob_bench_kernel_cost cost = run_kernel(i, 65, 100, 70);
        bool onebit = strstr(name, "onebit"), signs = onebit || strstr(name, "sign");
        unsigned count = strstr(name, "group") ? 3 : 1;
        assert_true(fabs(cost.operations - count * 2.0 * 65 * 100 * 70) < 1);
        uint64_t matrix = signs ? 100 * 3 * 4 : strstr(name, "half") ? 100 * 70 * 2 : 100 * 70 * 4;
        uint64_t each = 65 * 100 * 4 + matrix * (strstr(name, "gradient") ? 2 : 1) + (onebit ? 170 * 4 : 0);
        assert_int_equal(cost.bytes, 65 * 70 * 4 + count * each);
        assert_int_equal(cost.signs, signs ? count * 100 * 70 : 0);
    }
    assert_int_equal(i, 8);
    double seconds[1], device[1];
    ob_bench_kernel_cost cost;
    ob_bench_kernel_desc desc = { .T = 1, .m = 10, .n = 10, .rounds = 0, .seconds = seconds, .device_seconds = device };
    API_FAILS(ob_bench_kernel(shared, &desc, &cost), OB_ERROR_ARGUMENT, "0");
    desc.rounds = 1;
    desc.T = UINT32_MAX;
    API_FAILS(ob_bench_kernel(shared, &desc, &cost), OB_ERROR_ARGUMENT, "too large");
    desc.T = desc.m = 1 << 24; /* 1 PiB */
    API_FAILS(ob_bench_kernel(shared, &desc, &cost), OB_ERROR_MEMORY, "matrices");
    desc.index = 1000;
    API_FAILS(ob_bench_kernel(shared, &desc, &cost), OB_ERROR_ARGUMENT, "no such operation");
}

/* Every operation runs at shapes that are no multiple of anything, and with nothing but ones. */
static void test_operations(void **state)
{
    (void)state;
    ob_bench_kernel_info info;
    ob_bench_memory before, after;
    API_OK(ob_bench_memory_get(shared, &before));
    for (uint32_t i = 0; ob_bench_kernel_describe(i, &info); i++) {
        assert_true(info.name[0] && info.formula[0] && info.shape_count >= 1 && info.shape_count <= 4);
        for (uint32_t k = 0; k < info.shape_count; k++)
            for (int letter = 0; letter < 3; letter++) assert_true(info.shapes[k][letter] > 0);
        assert_int_equal(kernel_index(info.name), i); /* no name twice */
        run_kernel(i, 1, 1, 1);
        run_kernel(i, 9, 37, 67);
    }
    API_OK(ob_bench_memory_get(shared, &after));
    assert_int_equal(before.used_bytes, after.used_bytes);

    /* Costs by hand: bytes and operations of T = 6, m = 50, n = 64. */
    static const struct {
        const char *name;
        uint64_t bytes;
        double operations;
    } costs[] = {
        { "rmsnorm_forward", (2 * 6 * 64 + 64) * 4, 4 * 6 * 64 },
        { "embed_gather_forward", 6 * (64 * 4 + 64 * 2 + 4), 0 },
        { "attention_forward", (2 * 6 * 64 + 2 * 50 * 64) * 4, 4.0 * 64 * (45 + 46 + 47 + 48 + 49 + 50) }, /* queries see 45 to 50 */
        { "post_residual_forward", (4 * 6 * 64 + 64) * 4, 10 * 6 * 64 },
        { "argmax_forward", 50 * 4 + 8, 50 },
        { "attention_train_forward", 4 * 6 * 64 * 4, 4.0 * 64 * 21 },
        { "attention_backward", 8 * 6 * 64 * 4, 10.0 * 64 * 21 },
        { "optim_adamw", 7 * 50 * 64 * 4, 17 * 50 * 64 },
        { "loss_xent", (2 * 6 * 50 + 2 * 6) * 4, 5 * 6 * 50 },
        { "sign_pack", 50 * 64 * 4 + 50 * 2 * 4, 50 * 64 },
    };
    for (size_t k = 0; k < sizeof costs / sizeof *costs; k++) {
        ob_bench_kernel_cost cost = run_kernel(kernel_index(costs[k].name), 6, 50, 64);
        if (cost.bytes != costs[k].bytes || fabs(cost.operations - costs[k].operations) > 0.5)
            fail_msg("%s: %llu bytes, %g operations", costs[k].name, (unsigned long long)cost.bytes, cost.operations);
    }
}

/* Names of the kernels that operations of one shape run. */
typedef struct kernel_set {
    const char *names[256];
    size_t count;
} kernel_set;

static bool has_kernel(const kernel_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->names[i], name) == 0) return true;
    return false;
}

static void add_kernels(kernel_set *set, uint32_t T, uint32_t m, uint32_t n)
{
    ob_bench_kernel_info info;
    for (uint32_t i = 0; ob_bench_kernel_describe(i, &info) && strcmp(info.name, "attention_train_forward") != 0; i++) {
        ob_bench_kernel_cost cost = run_kernel(i, T, m, n);
        for (uint32_t k = 0; k < cost.kernel_count; k++)
            if (!has_kernel(set, cost.kernels[k]) && set->count < 256) set->names[set->count++] = cost.kernels[k];
    }
}

/* Whatever a model runs, for a token and for a prompt, with a choice by top-k and of the largest, is in one of the operations. */
static void test_all_of_a_decode(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = { { 64, 172 }, { 256, 688 } };
    uint32_t ids[40];
    for (uint32_t i = 0; i < 40; i++) ids[i] = i;
    for (size_t s = 0; s < 2; s++) {
        uint32_t width = sizes[s][0], ffn = sizes[s][1], id;
        kernel_set set = { .count = 0 };
        for (int prompt = 0; prompt < 2; prompt++) {
            uint32_t T = prompt ? 40 : 1;
            add_kernels(&set, T, width, width);
            add_kernels(&set, T, ffn, width);
            add_kernels(&set, T, 101, ffn);
        }
        ob_model *model;
        API_OK(ob_bench_model(&model, shared, &(ob_bench_model_desc){ .width = width, .ffn = ffn, .layers = 2, .heads = width / 64,
                                                                      .vocabulary = 101 }));
        for (int greedy = 0; greedy < 2; greedy++) {
            ob_session *session;
            ob_session_desc desc = { .context = 64, .sampling = { .temperature = greedy ? 0 : 0.8f, .top_k = 40 } };
            API_OK(ob_session_create(&session, model, &desc));
            ob_session_profile(session, true);
            API_OK(ob_session_feed(session, ids, 40));
            for (int token = 0; token < 2; token++) {
                API_OK(ob_session_sample(session, &id));
                API_OK(ob_session_feed(session, &id, 1));
            }
            ob_kernel_time rows[64];
            uint32_t count = ob_session_kernel_times(session, rows, 64);
            assert_true(count >= 8 && count <= 64);
            for (uint32_t i = 0; i < count; i++)
                if (!has_kernel(&set, rows[i].kernel)) fail_msg("%s runs in a model and in no operation", rows[i].kernel);
            ob_session_destroy(session);
        }
        ob_model_destroy(model);
    }
}

static void test_rates(void **state)
{
    (void)state;
    ob_bench_rates rates;
    ob_bench_memory before, after;
    API_OK(ob_bench_memory_get(shared, &before));
    API_OK(ob_bench_rates_get(shared, &rates));
    API_OK(ob_bench_memory_get(shared, &after));
    assert_true(rates.bytes_per_second > 1e8 && rates.bytes_per_second < 1e14);
    assert_true(rates.operations_per_second > 1e8 && rates.operations_per_second < 1e16);
    assert_int_equal(before.used_bytes, after.used_bytes);

    /* Hostile points are left out, names are escaped, and a picture without a roof is refused. */
    char picture[1024];
    snprintf(picture, sizeof picture, "%s", scratch_path("points.svg"));
    const ob_bench_point points[] = {
        { "a <b> & c", 1e9, 1e6, 0.01 }, { "no time", 1e9, 1e6, 0 }, { "nothing", 0, 1e6, 1 }, { "no bytes", 1, 0, 1 }, { "nan", NAN, 1, 1 }
    };
    API_OK(ob_bench_roofline(picture, "T", &rates, points, 5));
    size_t bytes;
    char *drawn = (char *)program_file(picture, &bytes);
    drawn[bytes] = 0;
    assert_int_equal(program_occurrences(drawn, "<circle "), 1);
    assert_non_null(strstr(drawn, "a &lt;b> &amp; c"));
    assert_null(strstr(drawn, "inf"));
    free(drawn);
    API_OK(ob_bench_roofline(picture, "T", &rates, NULL, 0));
    unlink(picture);
    rates.bytes_per_second = 0;
    API_FAILS(ob_bench_roofline(picture, "T", &rates, points, 5), OB_ERROR_ARGUMENT, "two rates above 0");
    assert_int_not_equal(access(picture, F_OK), 0);
}

static void test_kernels_program(void **state)
{
    (void)state;
    const program *run =
        program_run("onebit-bench-vk", "kernels", "--filter", "matmul_sign", "--rounds", "2", "64x96x128", "1x32x33", "-o", "csv");
    program_expect_success(run);
    assert_int_equal(program_occurrences(run->out, "\n"), 5); /* forward and backward, two shapes, and the header */
    assert_non_null(strstr(run->out, "\nmatmul_sign_forward,64,96,128,2,"));
    assert_non_null(strstr(run->out, "\nmatmul_sign_backward,1,32,33,2,"));

    run = program_run("onebit-bench-vk", "kernels", "--filter", "gradient", "64x96x128", "-o", "json");
    program_expect_success(run);
    assert_int_equal(program_occurrences(run->out, "\"operation\": "), 1);
    double rate = json_number(run->out, "flop") / json_number(run->out, "wall_ms") * 1e-6;
    assert_true(json_number(run->out, "flop") == 2.0 * 64 * 96 * 128);
    double device_ms = json_number(run->out, "device_ms"), flop = json_number(run->out, "flop"), bytes = json_number(run->out, "bytes");
    assert_true(device_ms > 0 && device_ms <= json_number(run->out, "wall_ms") && rate > 0);
    assert_true(fabs(json_number(run->out, "gflops") / (flop / device_ms * 1e-6) - 1) < 1e-6);
    assert_true(fabs(json_number(run->out, "gbs") / (bytes / device_ms * 1e-6) - 1) < 1e-6);
    double arithmetic = json_number(run->out, "arithmetic_gflops"), copy = json_number(run->out, "copy_gbs");
    assert_true(arithmetic > 0.1 && arithmetic < 1e6 && copy > 0.1 && copy < 1e5);
    assert_true(fabs(json_number(run->out, "of_arithmetic") * arithmetic / json_number(run->out, "gflops") - 1) < 1e-6);
    assert_true(fabs(json_number(run->out, "of_copy") * copy / json_number(run->out, "gbs") - 1) < 1e-6);
    assert_non_null(strstr(run->out, "\"gws\": null"));
    assert_int_equal(program_occurrences(run->out, "\"dense_dot_straight\""), 1);

    char picture[1024];
    snprintf(picture, sizeof picture, "%s", scratch_path("roofline.svg"));
    run = program_run("onebit-bench-vk", "kernels", "--filter", "matmul", "1x64x96", "3x64x96", "--rounds", "1", "--roofline", picture);
    program_expect_success(run);
    size_t bytes_drawn;
    char *drawn = (char *)program_file(picture, &bytes_drawn);
    drawn[bytes_drawn] = 0;
    assert_memory_equal(drawn, "<svg ", 5);
    assert_true(strcmp(drawn + bytes_drawn - 7, "</svg>\n") == 0);
    assert_int_equal(program_occurrences(drawn, "<circle "), 16);
    assert_int_equal(program_occurrences(run->out, "\n| matmul_"), 16);
    assert_int_equal(program_occurrences(drawn, " % of the roof"), 16);
    assert_non_null(strstr(drawn, ">matmul_onebit_forward 3 x 64 x 96<"));
    assert_null(strstr(drawn, "nan"));
    free(drawn);
    unlink(picture);
    program_expect_failure(program_run("onebit-bench-vk", "kernels", "--roofline", ""), 2, "--roofline needs");

    /* Each operation has a row, and its own shapes where none is given. */
    run = program_run("onebit-bench-vk", "kernels", "--list");
    program_expect_success(run);
    size_t operations = program_occurrences(run->out, "\n");
    assert_non_null(strstr(run->out, "\nrmsnorm_forward "));
    run = program_run("onebit-bench-vk", "kernels", "8x32x32");
    program_expect_success(run);
    assert_non_null(strstr(run->out, "| matmul_weight_gradient | 8 x 32 x 32 | "));
    assert_int_equal(program_occurrences(run->out, " | 8 x 32 x 32 | "), operations);
    run = program_run("onebit-bench-vk", "kernels", "--filter", "argmax", "--rounds", "1", "-o", "csv");
    program_expect_success(run);
    assert_non_null(strstr(run->out, ",kernels\nargmax_forward,1,32000,1,1,"));
    assert_non_null(strstr(run->out, ",util_argmax_fwd\n"));
    program_expect_failure(program_run("onebit-bench-vk", "kernels", "--filter", "no such"), 2, "--list has them all");
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_kernels), cmocka_unit_test(test_operations),
                                        cmocka_unit_test(test_all_of_a_decode), cmocka_unit_test(test_rates),
                                        cmocka_unit_test(test_kernels_program) };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}

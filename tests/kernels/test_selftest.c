/* test_selftest: the runner steps down where a variant is wrong, and its memory on disk is taken only when it is whole
 * and of this device and build. The cases that fail do so on purpose. */
#include "device.h"

#include <glob.h>
#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "scratch.h"
#include "selftest/cases.h"

#define KERNEL OBI_KERNEL_NORM_RMSNORM_FWD /* has tiers A and B */

static void restore_tiers(obi_device *device)
{
    for (int k = 0; k < OBI_KERNEL_COUNT; k++) device->kernel_tier[k] = device->tier;
}

/* ---- comparison --------------------------------------------------------------------------------------------- */

static double compare(float got, float want, double relative, double floor)
{
    obi_case_result result = { 0 };
    obi_case_compare(&result, "y", &got, &want, 1, NULL, relative, floor);
    return result.worst;
}

static void test_compare(void **state)
{
    (void)state;
    assert_true(compare(1.5f, 1.0f, 0.25, 0.25) == 1.0);
    assert_true(compare(1.0f, 1.0f, 0, 0) == 0.0);
    assert_true(compare(1.0f, 1.5f, 0, 0) > 1.0);
    assert_true(compare(NAN, 1.0f, 1, 1) > 1.0);
    assert_true(compare(1.0f, NAN, 1, 1) > 1.0);
    assert_true(compare(NAN, NAN, 0, 0) == 0.0);
    assert_true(compare(INFINITY, INFINITY, 0, 0) == 0.0);
    assert_true(compare(INFINITY, -INFINITY, 1, 1) > 1.0);
    assert_true(compare(1.0f, INFINITY, 1, 1) > 1.0);
    assert_true(compare(INFINITY, 3.0f, 1, 1) > 1.0);

    float got[3] = { 1, 2, 4 }, want[3] = { 1, 3, 3 }, absolute[3] = { 0, 2, 0.25f };
    obi_case_result result = { 0 };
    obi_case_compare(&result, "y", got, want, 3, absolute, 0, 0);
    assert_true(result.worst == 4.0);
    assert_non_null(strstr(result.where, "y[2] = 4, reference 3"));
}

/* ---- runner --------------------------------------------------------------------------------------------------- */

static int wrong_tier; /* the tier at which the case below is wrong, -1 for none */
static double wrong_worst;
static obi_status wrong_status;

static obi_status run_on_purpose(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    (void)sizes;
    if ((int)env->device->kernel_tier[KERNEL] != wrong_tier) return OBI_OK;
    result->worst = wrong_worst;
    (void)snprintf(result->where, sizeof result->where, "wrong on purpose");
    return wrong_status ? obi_fail(wrong_status, "failed on purpose") : OBI_OK;
}

static obi_status run_always_wrong(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    (void)env;
    (void)sizes;
    result->worst = 2.0;
    return OBI_OK;
}

static const obi_case on_purpose = { "on_purpose", KERNEL, "", { 0 }, run_on_purpose };

static obi_status run_wrong_at(obi_tier tier, double worst, obi_status status, obi_selftest_row **rows, uint32_t *count)
{
    static const obi_case *const cases[] = { &on_purpose, &obi_case_norm_rmsnorm };
    wrong_tier = (int)tier;
    wrong_worst = worst;
    wrong_status = status;
    return obi_selftest_run_cases(test_device(), cases, 2, rows, count);
}

static void test_every_case_passes(void **state)
{
    (void)state;
    obi_device *device = test_device();
    obi_selftest_row *rows;
    uint32_t row_count, case_count, expected = 0;
    const obi_case *const *cases = obi_cases(&case_count);
    bool covered[OBI_KERNEL_COUNT] = { false };
    for (uint32_t i = 0; i < case_count; i++) {
        covered[cases[i]->kernel] = true;
        for (int tier = 0; tier <= (int)device->tier; tier++) expected += obi_kernels[cases[i]->kernel].tier[tier].words != NULL;
    }
    for (int k = 0; k < OBI_KERNEL_COUNT; k++)
        if (!covered[k]) fail_msg("kernel %s has no self-test case", obi_kernels[k].name);
    TEST_OK(obi_selftest_run(device, &rows, &row_count));
    assert_int_equal(row_count, expected);
    for (uint32_t i = 0; i < row_count; i++)
        if (!rows[i].passed) fail_msg("%s, tier %s: %s", rows[i].name, obi_tier_name(rows[i].tier), rows[i].where);
    for (int k = 0; k < OBI_KERNEL_COUNT; k++) assert_int_equal(device->kernel_tier[k], device->tier);
    obi_free(rows);
    test_device_check();
}

static void test_a_wrong_variant_lowers_the_tier(void **state)
{
    (void)state;
    obi_device *device = test_device();
    static const struct { double worst; obi_status status; } ways[] = {
        { 2.0, OBI_OK }, { (double)NAN, OBI_OK }, { 0, OBI_ERROR_RUNTIME }, { 0, OBI_ERROR_MEMORY } };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        obi_selftest_row *rows;
        uint32_t count;
        TEST_OK(run_wrong_at(OBI_TIER_B, ways[i].worst, ways[i].status, &rows, &count));
        obi_tier want = device->tier >= OBI_TIER_B ? OBI_TIER_A : device->tier;
        assert_int_equal(device->kernel_tier[KERNEL], want);
        assert_int_equal(device->kernel_tier[OBI_KERNEL_NORM_LAYERNORM_FWD], device->tier);
        assert_int_equal(count, device->tier >= OBI_TIER_B ? 4 : 2); /* both cases still ran at every tier */
        if (device->tier >= OBI_TIER_B) {
            assert_int_equal(rows[1].tier, OBI_TIER_B);
            assert_false(rows[1].passed);
            assert_string_equal(rows[1].where, ways[i].status ? "failed on purpose" : "wrong on purpose");
            assert_true(rows[3].passed);
        }
        obi_free(rows);
        restore_tiers(device);
    }
}

static void test_a_device_wrong_at_tier_a_is_refused(void **state)
{
    (void)state;
    obi_selftest_row *rows;
    uint32_t count;
    assert_int_equal(run_wrong_at(OBI_TIER_A, 1.001, OBI_OK, &rows, &count), OBI_ERROR_NO_DEVICE);
    assert_non_null(strstr(obi_last_error(), "computes wrong numbers (on_purpose: wrong on purpose)"));
    assert_true(count >= 2); /* the report is complete all the same */
    obi_free(rows);
    restore_tiers(test_device());
}

/* Kernels that others can do the work of are taken off by themselves: those of bytes on lavapipe do not take its other kernels along. */
static void test_an_optional_kernel_is_taken_off(void **state)
{
    (void)state;
    obi_device *device = test_device();
    static const int kernels[] = { OBI_KERNEL_BITLINEAR_GEMM_INT8_STRAIGHT, OBI_KERNEL_BITLINEAR_SUMS_INT8_STRAIGHT,
                                   OBI_KERNEL_ATTN_DECODE_INT8, OBI_KERNEL_BITLINEAR_GEMV_RESIDUAL };
    bool straight = device->caps.straight;
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        obi_case wrong = { "on_purpose", kernels[i], "", { 0 }, run_always_wrong };
        const obi_case *const cases[] = { &wrong, &obi_case_norm_rmsnorm };
        TEST_OK(obi_selftest_run_cases(device, cases, 2, NULL, NULL));
        assert_true(device->kernel_off[kernels[i]]);
        assert_int_equal(device->caps.straight, straight);
        device->kernel_off[kernels[i]] = false;
        restore_tiers(device);
    }
}

static void test_a_lost_device_ends_the_run(void **state)
{
    (void)state;
    uint32_t count;
    assert_int_equal(run_wrong_at(OBI_TIER_A, 0, OBI_ERROR_DEVICE_LOST, NULL, &count), OBI_ERROR_DEVICE_LOST);
    assert_int_equal(count, 1);
    restore_tiers(test_device());
}

/* ---- memory on disk --------------------------------------------------------------------------------------------- */

static bool ran_with(obi_device *device)
{
    bool ran = false;
    TEST_OK(obi_selftest_cached(device, scratch_directory, &ran));
    return ran;
}

/* The bytes of the only file in the directory, and its path. */
static size_t read_file(char *path, size_t room, unsigned char *bytes, size_t limit)
{
    char pattern[600];
    glob_t found;
    (void)snprintf(pattern, sizeof pattern, "%s/*", scratch_directory);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    (void)snprintf(path, room, "%s", found.gl_pathv[0]);
    globfree(&found);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, limit, file);
    fclose(file);
    assert_true(size > 0 && size < limit);
    return size;
}

static void write_file(const char *path, const unsigned char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void remove_files(void)
{
    char pattern[600];
    glob_t found;
    (void)snprintf(pattern, sizeof pattern, "%s/*", scratch_directory);
    if (glob(pattern, 0, NULL, &found) != 0) return;
    for (size_t i = 0; i < found.gl_pathc; i++) unlink(found.gl_pathv[i]);
    globfree(&found);
}

static void test_the_second_run_only_reads(void **state)
{
    (void)state;
    obi_device *device = test_device();
    bool ran;
    TEST_OK(obi_selftest_cached(device, "", &ran));
    assert_true(ran);
    assert_true(ran_with(device));
    assert_false(ran_with(device));
    device->pipelines.shader_hash ^= 1; /* another build */
    assert_true(ran_with(device));
    device->pipelines.shader_hash ^= 1;
    assert_false(ran_with(device));
    device->caps.driver_version ^= 1; /* another driver */
    assert_true(ran_with(device));
    device->caps.driver_version ^= 1;
    obi_tier tier = device->tier;
    device->tier = OBI_TIER_A; /* a limited run is remembered by itself */
    assert_int_equal(ran_with(device), tier > OBI_TIER_A);
    device->tier = tier;
    remove_files();
}

static void test_a_lowered_tier_is_remembered(void **state)
{
    (void)state;
    obi_device *device = test_device();
    device->kernel_tier[KERNEL] = OBI_TIER_A;
    assert_true(ran_with(device));
    restore_tiers(device);
    assert_false(ran_with(device));
    assert_int_equal(device->kernel_tier[KERNEL], OBI_TIER_A);
    assert_int_equal(device->kernel_tier[OBI_KERNEL_NORM_LAYERNORM_FWD], device->tier);
    restore_tiers(device);
    remove_files();
}

static void test_a_damaged_file_is_run_again(void **state)
{
    (void)state;
    obi_device *device = test_device();
    static unsigned char good[16384], bytes[16384];
    char path[1024];
    assert_true(ran_with(device));
    size_t size = read_file(path, sizeof path, good, sizeof good);
    size_t positions[] = { 0, 8, 20, 30, 42, size / 2, size - 30, size - 2, size - 1 };
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        memcpy(bytes, good, size);
        bytes[positions[i]] ^= 1;
        write_file(path, bytes, size);
        if (!ran_with(device)) fail_msg("a bit flipped at byte %zu was not noticed", positions[i]);
        assert_false(ran_with(device)); /* and the file is good again */
    }
    for (size_t length = 0; length < size; length += size / 5) {
        write_file(path, good, length);
        assert_true(ran_with(device));
    }
    memcpy(bytes, good, size);
    bytes[size] = '\n';
    write_file(path, bytes, size + 1);
    assert_true(ran_with(device));
    assert_int_equal(read_file(path, sizeof path, bytes, sizeof bytes), size);
    assert_memory_equal(bytes, good, size);
    remove_files();
}

static void test_a_directory_that_cannot_be_written_is_no_error(void **state)
{
    (void)state;
    char directory[700];
    bool ran = false;
    write_file(scratch_path("file"), (const unsigned char *)"x", 1);
    (void)snprintf(directory, sizeof directory, "%s/file/below", scratch_directory);
    TEST_OK(obi_selftest_cached(test_device(), directory, &ran));
    assert_true(ran);
    remove_files();
}

/* Who asks for exact arithmetic gets no halves, and what the self-test finds and keeps meanwhile is not changed by it. */
static void test_exact_is_no_finding(void **state)
{
    (void)state;
    obi_device *device = test_device();
    static const obi_case *const cases[] = { &obi_case_dense_gemv_f16 };
    const int kernel = OBI_KERNEL_DENSE_GEMV_F16;
    obi_selftest_row *rows;
    uint32_t count;
    obi_tier before = device->kernel_tier[kernel], plain = obi_pipeline_tier(device, kernel);
    device->exact = true;
    assert_int_equal(obi_pipeline_tier(device, kernel), plain > OBI_TIER_B ? OBI_TIER_B : plain);
    TEST_OK(obi_selftest_run_cases(device, cases, 1, &rows, &count));
    assert_true(device->exact);
    device->exact = false;
    assert_int_equal(device->kernel_tier[kernel], before);
    assert_int_equal(obi_pipeline_tier(device, kernel), plain);
    assert_int_equal(rows[count - 1].tier, plain); /* the last was run at the highest tier, exact or not */
    obi_free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_every_case_passes),
        cmocka_unit_test(test_a_wrong_variant_lowers_the_tier),
        cmocka_unit_test(test_a_device_wrong_at_tier_a_is_refused),
        cmocka_unit_test(test_an_optional_kernel_is_taken_off),
        cmocka_unit_test(test_a_lost_device_ends_the_run),
        cmocka_unit_test(test_exact_is_no_finding),
        cmocka_unit_test(test_the_second_run_only_reads),
        cmocka_unit_test(test_a_lowered_tier_is_remembered),
        cmocka_unit_test(test_a_damaged_file_is_run_again),
        cmocka_unit_test(test_a_directory_that_cannot_be_written_is_no_error),
    };
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, scratch_close));
}

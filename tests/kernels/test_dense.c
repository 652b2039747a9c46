/* test_dense: y = W x for f32 and f16 weights against runtime/ref, at every tier of this device. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "core/half.h"
#include "ops/op_dense.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const uint32_t columns[] = { 1, 2, 31, 32, 33, 63, 64, 65, 100, 127, 1000, 2049, 4096 };
static const uint32_t rows[] = { 1, 2, 3, 4, 5, 15, 17, 31, 33, 63, 64, 65, 129 };

static void gemv_sizes(const obi_case *test)
{
    for (size_t i = 0; i < COUNT(columns); i++) {
        TEST_CASE(*test, 37, columns[i], 1);
        TEST_CASE(*test, rows[i], 101, 1 + (uint32_t)i % 7);
    }
    TEST_CASE(*test, 1000, 65, 1);
    TEST_CASE(*test, 130, 333, 3, 1);
    TEST_CASE(*test, 130, 333, 2, 129);
    TEST_CASE(*test, 5, 65536, 1); /* the longest row */
}

static void gemm_sizes(const obi_case *test)
{
    for (size_t i = 0; i < COUNT(columns); i++) {
        TEST_CASE(*test, 37, columns[i], 9);
        TEST_CASE(*test, rows[i], 71, 8 + 3 * (uint32_t)i);
    }
    TEST_CASE(*test, 130, 333, 100);
    TEST_CASE(*test, 130, 333, 65, 1);
    TEST_CASE(*test, 130, 333, 33, 129);
    TEST_CASE(*test, 5, 65536, 8);
}

static void test_gemv_f32(void **state) { (void)state; gemv_sizes(&obi_case_dense_gemv_f32); }
static void test_gemv_f16(void **state) { (void)state; gemv_sizes(&obi_case_dense_gemv_f16); }
/* The widths that their kernels take, and some that are left to the plain ones. */
static void gemv_straight_sizes(const obi_case *test)
{
    static const uint32_t wide[] = { 32, 64, 96, 128, 333, 512, 1000, 2048, 4096, 11008, 16384, 65536 };
    for (size_t i = 0; i < COUNT(wide); i++) TEST_CASE(*test, 37, wide[i], 1);
    for (size_t i = 0; i < COUNT(rows); i++) TEST_CASE(*test, rows[i], 128, 1 + (uint32_t)i % 7);
    TEST_CASE(*test, 4100, 64, 2);
    TEST_CASE(*test, 65600, 32, 1);    /* more rows than a dispatch */
    TEST_CASE(*test, 130, 128, 3, 1);  /* 130 row blocks */
    TEST_CASE(*test, 130, 128, 2, 129);
}

static void test_gemv_f32_straight(void **state) { (void)state; gemv_straight_sizes(&obi_case_dense_gemv_f32_straight); }
static void test_gemv_f16_straight(void **state) { (void)state; gemv_straight_sizes(&obi_case_dense_gemv_f16_straight); }
static void test_gemm_f32(void **state) { (void)state; gemm_sizes(&obi_case_dense_gemm_f32); }
static void test_gemm_f16(void **state) { (void)state; gemm_sizes(&obi_case_dense_gemm_f16); }

static void test_dot_straight(void **state) { (void)state; gemm_sizes(&obi_case_dense_dot_straight); }
static void test_gemm_f16_straight(void **state) { (void)state; gemm_sizes(&obi_case_dense_gemm_f16_straight); }

static void test_more_rows_than_a_grid_axis(void **state)
{
    (void)state;
    TEST_CASE(obi_case_dense_gemv_f32, 65536 * 16 + 5, 2, 1); /* at 16 rows a workgroup */
}

/* y of W (m,n) f16 with every element `weight` and x with every element `value`, at one tier. */
static float constant_row(int tier, uint32_t n, float weight, float value)
{
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    uint32_t m = 6;
    size_t row_words = obi_weight_row_words(OBI_WEIGHT_F16, n);
    float *words = obi_case_zeros(env, m * row_words), *x = obi_case_zeros(env, n), got[6];
    assert_non_null(words);
    assert_non_null(x);
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) ((uint16_t *)(void *)words)[i * row_words * 2 + j] = obi_float_to_half(weight);
    for (uint32_t j = 0; j < n; j++) x[j] = value;
    obi_view x_view, y_view;
    obi_weight w;
    TEST_OK(obi_case_upload(env, x, n * 4, &x_view));
    TEST_OK(obi_case_output(env, sizeof got, &y_view));
    TEST_OK(obi_case_weight(env, OBI_WEIGHT_F16, m, n, 0, words, &w));
    env->device->kernel_tier[OBI_KERNEL_DENSE_GEMV_F16] = (obi_tier)tier;
    obi_cmd_begin(env->cmd);
    obi_op_dense_fwd(env->cmd, y_view, x_view, &w, 1);
    obi_status status = obi_cmd_run(env->cmd);
    env->device->kernel_tier[OBI_KERNEL_DENSE_GEMV_F16] = env->device->tier;
    obi_weight_destroy(env->device, &w);
    TEST_OK(status);
    TEST_OK(obi_case_download(env, y_view, got, sizeof got));
    for (uint32_t i = 1; i < m; i++) assert_memory_equal(&got[i], &got[0], 4);
    return got[0];
}

/* Products far above the largest half, or of numbers far below 1, are right in every tier. */
static void test_f16_products_do_not_overflow(void **state)
{
    (void)state;
    static const float weights[] = { 65504.0f, -30000.0f, 4094.0f, 1.0f, 0x1p-14f };
    static const float values[] = { 1e20f, 65504.0f, 15.9f, 1.0f, 1e-20f };
    for (int tier = OBI_TIER_A; tier <= (int)test_device()->tier; tier++)
        for (size_t i = 0; i < COUNT(weights); i++)
            for (size_t k = 0; k < COUNT(values); k++) {
                double want = 101.0 * (double)weights[i] * (double)values[k];
                double got = (double)constant_row(tier, 101, weights[i], values[k]);
                if (!(fabs(got - want) <= 2 * OBI_UNIT_HALF * fabs(want)))
                    fail_msg("tier %d, weight %g, x %g: y = %g, not %g", tier, (double)weights[i], (double)values[k], got, want);
            }
    for (int tier = OBI_TIER_A; tier <= (int)test_device()->tier; tier++) {
        assert_true(isinf(constant_row(tier, 50, 1.0f, INFINITY)) != 0);
        assert_true(isnan(constant_row(tier, 50, 1.0f, NAN)) != 0);
        assert_true(constant_row(tier, 50, 3.0f, 0.0f) == 0.0f);
    }
    test_device_check();
}

static void test_sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view x, y;
    TEST_OK(obi_case_output(env, 4 * 40, &x));
    TEST_OK(obi_case_output(env, 4 * 10, &y));
    obi_weight sign, dense, wide;
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_SIGN, 10, 40, 0, &sign));
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_F32, 10, 40, 0, &dense));
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_F16, 1, 65537, 0, &wide));
    struct { obi_view y, x; const obi_weight *weight; uint32_t T; } bad[] = {
        { y, x, &dense, 2 }, { x, y, &dense, 1 }, { y, x, &sign, 1 }, { y, x, &wide, 1 }, { y, x, &dense, 0 },
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        obi_cmd_begin(env->cmd);
        obi_op_dense_fwd(env->cmd, bad[i].y, bad[i].x, bad[i].weight, bad[i].T);
        assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
        assert_non_null(strstr(obi_last_error(), "dense"));
    }
    obi_weight_destroy(env->device, &sign);
    obi_weight_destroy(env->device, &dense);
    obi_weight_destroy(env->device, &wide);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemv_f32),
        cmocka_unit_test(test_gemv_f16),
        cmocka_unit_test(test_gemv_f32_straight),
        cmocka_unit_test(test_gemv_f16_straight),
        cmocka_unit_test(test_gemm_f32),
        cmocka_unit_test(test_gemm_f16),
        cmocka_unit_test(test_dot_straight),
        cmocka_unit_test(test_gemm_f16_straight),
        cmocka_unit_test(test_more_rows_than_a_grid_axis),
        cmocka_unit_test(test_f16_products_do_not_overflow),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

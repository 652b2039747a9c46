/* test_norm: RMSNorm and the affine-free LayerNorm against runtime/ref, at every tier of this device. */
#include "device.h"

#include <string.h>

#include "ops/op_norm.h"
#include "selftest/cases.h"

static const uint32_t lengths[] = { 1, 2, 3, 31, 32, 33, 63, 64, 65, 100, 127, 129, 1000, 4096 };

static void test_rmsnorm(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) TEST_CASE(obi_case_norm_rmsnorm, 3, lengths[i]);
    TEST_CASE(obi_case_norm_rmsnorm, 1, 50001);
}

static void test_layernorm(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        TEST_CASE(obi_case_norm_layernorm, 3, lengths[i], 0);
        TEST_CASE(obi_case_norm_layernorm, 3, lengths[i], 1); /* in place */
    }
    TEST_CASE(obi_case_norm_layernorm, 1, 50001, 1);
}

static void test_layernorm_affine(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) TEST_CASE(obi_case_norm_layernorm_affine, 3, lengths[i], i % 2);
    TEST_CASE(obi_case_norm_layernorm_affine, 1, 50001, 0);
    TEST_CASE(obi_case_norm_layernorm_affine, 16, 96, 1);
}

static void test_layernorm_bias(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) TEST_CASE(obi_case_norm_layernorm_bias, 3, lengths[i], i % 3);
    for (uint32_t then = OBI_BIAS_ALONE; then <= OBI_BIAS_ADD; then++) {
        TEST_CASE(obi_case_norm_layernorm_bias, 2, 96, then);
        TEST_CASE(obi_case_norm_layernorm_bias, 3, 127, then);
        TEST_CASE(obi_case_norm_layernorm_bias, 16, 96, then); /* on lavapipe in two steps */
    }
}

/* More rows than one grid axis has; the limit is lowered, since 65536 workgroups with barriers take a minute on one of the
 * software drivers. */
static void test_more_rows_than_a_grid_axis(void **state)
{
    (void)state;
    uint32_t *limit = &test_device()->caps.workgroup_count[0], before = *limit;
    *limit = 50;
    TEST_CASE(obi_case_norm_rmsnorm, 50, 3);
    TEST_CASE(obi_case_norm_rmsnorm, 51, 3);
    TEST_CASE(obi_case_norm_layernorm, 149, 3, 1);
    TEST_CASE(obi_case_norm_layernorm_affine, 149, 3, 1);
    *limit = before;
}

/* The reductions at other workgroup sizes: down to one lane, and for tier A sizes that are no power of two. (Above tier A
 * a size must be a multiple of the subgroup's or below it: shaders/common/reduce.glsl.) */
static void test_workgroup_sizes(void **state)
{
    (void)state;
    obi_device *device = test_device();
    uint32_t *size = &device->caps.workgroup_size, before = *size;
    obi_tier tier = device->tier;
    for (*size = 1; *size < 64; *size *= 2) {
        TEST_CASE(obi_case_norm_rmsnorm, 2, 200);
        TEST_CASE(obi_case_norm_layernorm, 2, 61, 1);
    }
    device->tier = OBI_TIER_A;
    for (*size = 3; *size < 64; *size += 4) TEST_CASE(obi_case_norm_rmsnorm, 2, 200);
    *size = before;
    device->tier = tier;
}

/* A row of one value, however large, has no variance: exact zeros, not amplified rounding errors. */
static void test_layernorm_of_a_constant_row_is_zero(void **state)
{
    (void)state;
    enum { N = 777 };
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    float *x = obi_case_zeros(env, N), *got = obi_case_zeros(env, N);
    for (int i = 0; i < N; i++) x[i] = 12345.678f;
    for (int tier = OBI_TIER_A; tier <= (int)env->device->tier && tier <= OBI_TIER_B; tier++) {
        env->device->kernel_tier[OBI_KERNEL_NORM_LAYERNORM_FWD] = (obi_tier)tier;
        obi_view view;
        TEST_OK(obi_case_upload(env, x, sizeof(float) * N, &view));
        obi_cmd_begin(env->cmd);
        obi_op_layernorm_fwd(env->cmd, view, view, 1, N, 1e-5f);
        TEST_OK(obi_cmd_run(env->cmd));
        TEST_OK(obi_case_download(env, view, got, sizeof(float) * N));
        for (int i = 0; i < N; i++) assert_true(got[i] == 0.0f);
    }
    env->device->kernel_tier[OBI_KERNEL_NORM_LAYERNORM_FWD] = env->device->tier;
}

static void test_sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view view;
    TEST_OK(obi_case_output(env, 4 * 100, &view));
    obi_cmd_begin(env->cmd);
    obi_op_rmsnorm_fwd(env->cmd, view, view, view, 2, 51, 1e-5f);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "rmsnorm: y must have 2 x 51 elements"));
    obi_cmd_begin(env->cmd);
    obi_op_layernorm_fwd(env->cmd, view, view, 0, 51, 1e-5f);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    obi_cmd_begin(env->cmd);
    obi_op_layernorm_affine_fwd(env->cmd, view, view, view, (obi_view){ view.buffer, 0, 4 * 49 }, 2, 50, 1e-5f);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "b must have 1 x 50 elements"));
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm),
        cmocka_unit_test(test_layernorm),
        cmocka_unit_test(test_layernorm_affine),
        cmocka_unit_test(test_layernorm_bias),
        cmocka_unit_test(test_more_rows_than_a_grid_axis),
        cmocka_unit_test(test_workgroup_sizes),
        cmocka_unit_test(test_layernorm_of_a_constant_row_is_zero),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

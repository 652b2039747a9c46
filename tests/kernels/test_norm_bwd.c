/* test_norm_bwd: gradients of the norms against runtime/ref, at every tier of this device. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "ops/op_norm_bwd.h"
#include "selftest/cases.h"

static const uint32_t lengths[] = { 1, 2, 31, 32, 33, 63, 64, 65, 100, 129, 1000, 4096 };
#define LENGTHS (sizeof lengths / sizeof lengths[0])

static void test_rmsnorm(void **state)
{
    (void)state;
    for (uint32_t accumulate = 0; accumulate < 2; accumulate++)
        for (size_t i = 0; i < LENGTHS; i++) TEST_CASE(obi_case_norm_rmsnorm_bwd, 3, lengths[i], accumulate);
    TEST_CASE(obi_case_norm_rmsnorm_bwd, 1, 50001, 0);
}

static void test_rmsnorm_weight(void **state)
{
    (void)state;
    static const uint32_t rows[] = { 1, 2, 63, 64, 65, 129, 1000 };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        TEST_CASE(obi_case_norm_rms_scale, rows[i], 65);
        TEST_CASE(obi_case_norm_rmsnorm_bwd_w, rows[i], 33);
    }
    for (size_t i = 0; i < LENGTHS; i++) TEST_CASE(obi_case_norm_fold_bwd, 66, lengths[i]);
}

static void test_layernorm(void **state)
{
    (void)state;
    for (uint32_t in_place = 0; in_place < 2; in_place++)
        for (size_t i = 0; i < LENGTHS; i++) TEST_CASE(obi_case_norm_layernorm_bwd, 3, lengths[i], in_place);
    TEST_CASE(obi_case_norm_layernorm_bwd, 1, 50001, 1);
}

/* Folded grids, by a lowered limit, and other workgroup sizes. */
static void test_grids_and_workgroups(void **state)
{
    (void)state;
    obi_device *device = test_device();
    uint32_t *limit = &device->caps.workgroup_count[0], *size = &device->caps.workgroup_size, before = *limit, size_before = *size;
    *limit = 50;
    TEST_CASE(obi_case_norm_rmsnorm_bwd, 51, 3, 1);
    TEST_CASE(obi_case_norm_rms_scale, 149, 3);
    TEST_CASE(obi_case_norm_layernorm_bwd, 149, 3, 1);
    *limit = before;
    for (*size = 1; *size < 64; *size *= 4) {
        TEST_CASE(obi_case_norm_rmsnorm_bwd, 2, 200, 0);
        TEST_CASE(obi_case_norm_rms_scale, 70, 20);
        TEST_CASE(obi_case_norm_layernorm_bwd, 2, 61, 1);
    }
    *size = size_before;
}

/* A row of one value: its variance is exactly 0, and only eps holds the gradient. */
static void test_layernorm_of_a_constant_row(void **state)
{
    (void)state;
    enum { N = 300 };
    obi_case_env *env = test_env();
    for (int tier = OBI_TIER_A; tier <= (int)env->device->tier && tier <= OBI_TIER_B; tier++) {
        obi_case_env_clear(env);
        env->device->kernel_tier[OBI_KERNEL_NORM_LAYERNORM_BWD] = (obi_tier)tier;
        float *x = obi_case_zeros(env, N), *dz = obi_case_zeros(env, N), *got = obi_case_zeros(env, N);
        for (int i = 0; i < N; i++) {
            x[i] = 123.456f;
            dz[i] = i % 2 ? 2.0f : 1.0f;
        }
        obi_view x_view, dz_view;
        TEST_OK(obi_case_upload(env, x, sizeof(float) * N, &x_view));
        TEST_OK(obi_case_upload(env, dz, sizeof(float) * N, &dz_view));
        obi_cmd_begin(env->cmd);
        obi_op_layernorm_bwd(env->cmd, dz_view, dz_view, x_view, 1, N, 0.25f);
        TEST_OK(obi_cmd_run(env->cmd));
        TEST_OK(obi_case_download(env, dz_view, got, sizeof(float) * N));
        for (int i = 0; i < N; i++) assert_true(fabsf(got[i] - (i % 2 ? 1.0f : -1.0f)) < 1e-5f);
    }
    env->device->kernel_tier[OBI_KERNEL_NORM_LAYERNORM_BWD] = env->device->tier;
    test_device_check();
}

static void test_sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view view, two;
    TEST_OK(obi_case_output(env, 4 * 100, &view));
    TEST_OK(obi_case_output(env, 4 * 100, &two));
    obi_cmd_begin(env->cmd);
    obi_op_rmsnorm_bwd(env->cmd, view, two, two, two, 2, 51, 1e-5f, false);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "rmsnorm_bwd: dx must have 2 x 51 elements"));
    obi_cmd_begin(env->cmd);
    obi_op_rmsnorm_bwd_w(env->cmd, view, two, two, two, 1, 100, 1e-5f); /* no room for the scales in the scratch */
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    obi_cmd_begin(env->cmd);
    obi_op_layernorm_bwd(env->cmd, view, two, two, 0, 51, 1e-5f);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm),
        cmocka_unit_test(test_rmsnorm_weight),
        cmocka_unit_test(test_layernorm),
        cmocka_unit_test(test_grids_and_workgroups),
        cmocka_unit_test(test_layernorm_of_a_constant_row),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

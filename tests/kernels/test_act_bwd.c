/* test_act_bwd: gradients of the activations against runtime/ref. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "ops/op_act_bwd.h"
#include "selftest/cases.h"

static const uint32_t counts[] = { 1, 31, 32, 33, 63, 64, 65, 100, 1000, 4096 };
#define COUNTS (sizeof counts / sizeof counts[0])

static void test_swiglu(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNTS; i++) TEST_CASE(obi_case_act_swiglu_bwd, counts[i]);
}

static void test_relu(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNTS; i++) TEST_CASE(obi_case_act_relu_bwd, counts[i], (uint32_t)i % 2);
}

static void test_folded_grids(void **state)
{
    (void)state;
    uint32_t *limit = &test_device()->caps.workgroup_count[0], before = *limit;
    *limit = 3;
    TEST_CASE(obi_case_act_swiglu_bwd, 64 * 7 + 1);
    TEST_CASE(obi_case_act_relu_bwd, 64 * 7 + 1, 1);
    *limit = before;
}

/* At the ends of the range of exp: 0, or dy and its like, never NaN. */
static void test_swiglu_at_the_extremes(void **state)
{
    (void)state;
    static const float gates[] = { 0.0f, 90.0f, 1000.0f, -90.0f, -1000.0f, 1e30f, -3e38f };
    static const float dgate[] = { 1.0f, 2.0f, 2.0f, 0, 0, 2.0f, 0 }, dup[] = { 0, 90.0f, 1000.0f, 0, 0, 1e30f, 0 };
    enum { N = sizeof gates / sizeof gates[0] };
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    float up[N], dy[N], got[N];
    for (int i = 0; i < N; i++) {
        up[i] = 2;
        dy[i] = 1;
    }
    obi_view gate_view, up_view, dy_view;
    TEST_OK(obi_case_upload(env, gates, sizeof gates, &gate_view));
    TEST_OK(obi_case_upload(env, up, sizeof up, &up_view));
    TEST_OK(obi_case_upload(env, dy, sizeof dy, &dy_view));
    obi_cmd_begin(env->cmd);
    obi_op_swiglu_bwd(env->cmd, gate_view, up_view, dy_view, N);
    TEST_OK(obi_cmd_run(env->cmd));
    TEST_OK(obi_case_download(env, gate_view, got, sizeof got));
    for (int i = 0; i < N; i++)
        if (!(fabsf(got[i] - dgate[i]) <= 1e-5f)) fail_msg("dgate(%g) = %g, not %g", (double)gates[i], (double)got[i], (double)dgate[i]);
    TEST_OK(obi_case_download(env, up_view, got, sizeof got));
    for (int i = 0; i < N - 1; i++)
        if (!(fabsf(got[i] - dup[i]) <= 1e-5f * fabsf(dup[i]) + 1e-30f)) fail_msg("dup(%g) = %g", (double)gates[i], (double)got[i]);
    assert_true(fabsf(got[N - 1]) < 1e2f);
    test_device_check();
}

static void test_sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view view, two;
    TEST_OK(obi_case_output(env, 4 * 100, &view));
    TEST_OK(obi_case_output(env, 4 * 101, &two));
    obi_cmd_begin(env->cmd);
    obi_op_swiglu_bwd(env->cmd, two, view, two, 101);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "swiglu_bwd: the second array must have 101 x 1 elements"));
    obi_cmd_begin(env->cmd);
    obi_op_relu_bwd(env->cmd, two, two, view, 0);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_relu),
        cmocka_unit_test(test_folded_grids),
        cmocka_unit_test(test_swiglu_at_the_extremes),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

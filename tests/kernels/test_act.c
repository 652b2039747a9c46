/* test_act: the element-wise kernels against runtime/ref, at every tier of this device. */
#include "device.h"

#include <math.h>

#include "ops/op_act.h"
#include "selftest/cases.h"

/* The last is more than 65535 workgroups of 64: the grid is folded. */
static const uint32_t counts[] = { 1, 31, 32, 33, 63, 64, 65, 100, 1000, 4096, 65535 * 64 + 65 };
#define EVERY_COUNT(test) \
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) TEST_CASE(test, counts[i])

static void test_swiglu(void **state)
{
    (void)state;
    EVERY_COUNT(obi_case_act_swiglu);
}

static void test_relu(void **state)
{
    (void)state;
    EVERY_COUNT(obi_case_act_relu);
}

static void test_add(void **state)
{
    (void)state;
    EVERY_COUNT(obi_case_act_add);
}

static void test_bias(void **state)
{
    (void)state;
    static const uint32_t lengths[] = { 1, 31, 32, 33, 1000, 4096 };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (uint32_t then = OBI_BIAS_ALONE; then <= OBI_BIAS_ADD; then++) TEST_CASE(obi_case_act_bias, 3, lengths[i], then, i % 2);
    TEST_CASE(obi_case_act_bias, 66, 64000, OBI_BIAS_ADD, 0); /* more than a grid axis has */
}

static void test_add_in_place(void **state)
{
    (void)state;
    enum { N = 1001 };
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    float *a = obi_case_normal(env, N, 1), *b = obi_case_normal(env, N, 1), *got = obi_case_zeros(env, N);
    obi_view a_view, b_view;
    TEST_OK(obi_case_upload(env, a, sizeof(float) * N, &a_view));
    TEST_OK(obi_case_upload(env, b, sizeof(float) * N, &b_view));
    obi_cmd_begin(env->cmd);
    obi_op_add_fwd(env->cmd, a_view, a_view, b_view, N);
    obi_op_add_fwd(env->cmd, a_view, a_view, b_view, N);
    TEST_OK(obi_cmd_run(env->cmd));
    TEST_OK(obi_case_download(env, a_view, got, sizeof(float) * N));
    for (int i = 0; i < N; i++) {
        float once = a[i] + b[i];
        assert_true(got[i] == once + b[i]);
    }
    test_device_check();
}

/* At the ends of its range exp must not make NaN of a finite gate. */
static void test_swiglu_at_the_extremes(void **state)
{
    (void)state;
    static const float gates[] = { 0.0f, -0.0f, 87.0f, -87.0f, 89.0f, -89.0f, 1000.0f, -1000.0f, 3e38f, -3e38f, NAN };
    enum { N = sizeof gates / sizeof gates[0] };
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    float up[N], got[N];
    for (int i = 0; i < N; i++) up[i] = 0.5f;
    obi_view gate_view, up_view, out_view;
    TEST_OK(obi_case_upload(env, gates, sizeof gates, &gate_view));
    TEST_OK(obi_case_upload(env, up, sizeof up, &up_view));
    TEST_OK(obi_case_output(env, sizeof got, &out_view));
    obi_cmd_begin(env->cmd);
    obi_op_swiglu_fwd(env->cmd, out_view, gate_view, up_view, N);
    TEST_OK(obi_cmd_run(env->cmd));
    TEST_OK(obi_case_download(env, out_view, got, sizeof got));
    for (int i = 0; i < N - 1; i++) {
        double g = (double)gates[i], want = g / (1 + exp(-g)) * 0.5;
        if (!(fabs((double)got[i] - want) <= 1e-4 * fabs(want) + 1e2)) fail_msg("swiglu(%g) = %g, not %g", g, (double)got[i], want);
        if (fabs(g) <= 1000 && !(fabs((double)got[i] - want) <= 1e-4 * fabs(want) + 1e-30))
            fail_msg("swiglu(%g) = %g, not %g", g, (double)got[i], want);
    }
    assert_true(isnan(got[N - 1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swiglu),       cmocka_unit_test(test_relu),
        cmocka_unit_test(test_add),          cmocka_unit_test(test_add_in_place),
        cmocka_unit_test(test_bias),         cmocka_unit_test(test_swiglu_at_the_extremes),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

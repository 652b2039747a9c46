/* test_optim: the optimiser's kernels against runtime/ref, at every tier of this device. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "ops/op_optim.h"
#include "ref/ref_optim.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

static const uint32_t counts[] = { 1, 2, 31, 32, 33, 63, 64, 65, 100, 1000, 1024, 1025, 4096, 100003 };
#define EVERY_COUNT(test, ...) \
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) TEST_CASE(test, counts[i], ##__VA_ARGS__)

static void test_adamw(void **state)
{
    (void)state;
    EVERY_COUNT(obi_case_optim_adamw);
}

static void test_sumsq(void **state)
{
    (void)state;
    for (uint32_t accumulate = 0; accumulate < 2; accumulate++) EVERY_COUNT(obi_case_optim_sumsq, accumulate);
    EVERY_COUNT(obi_case_optim_sumsq_fold, 1);
    TEST_CASE(obi_case_optim_sumsq, 64 * 16 * 1024 + 1, 0); /* more than its workgroups take at the least */
}

static void test_scale(void **state)
{
    (void)state;
    EVERY_COUNT(obi_case_optim_scale);
}

static void test_tie(void **state)
{
    (void)state;
    EVERY_COUNT(obi_case_optim_tie);
}

static void test_estimator(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < OBI_ESTIMATOR_COUNT; kind++)
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i += 2) TEST_CASE(obi_case_optim_estimator, counts[i], kind);
}

static void test_flip_count(void **state)
{
    (void)state;
    EVERY_COUNT(obi_case_optim_flip_count);
}

static void test_fake_quant(void **state)
{
    (void)state;
    static const uint32_t columns[] = { 1, 2, 31, 32, 33, 64, 1000, 4097 };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        for (uint32_t bits = 2; bits <= 4; bits++) TEST_CASE(obi_case_optim_fake_quant, 3, columns[i], OBI_FAKE_QUANT_MINMAX, bits);
        for (uint32_t bits = 1; bits <= 2; bits++) TEST_CASE(obi_case_optim_fake_quant, 3, columns[i], OBI_FAKE_QUANT_MEAN, bits);
    }
    TEST_CASE(obi_case_optim_fake_quant, 37, 65, OBI_FAKE_QUANT_MEAN, 2, 8); /* several blocks */
    TEST_CASE(obi_case_optim_fake_quant, 37, 65, OBI_FAKE_QUANT_MINMAX, 2, 8);
}

/* Levels that the equations name, from a row whose step is exact. */
static void test_fake_quant_levels(void **state)
{
    (void)state;
    const float w[8] = { -1, -0.75f, -0.25f, -0.125f, 0.125f, 0.25f, 0.625f, 0.875f }; /* mean |w| is a half */
    static const struct {
        obi_fake_quant_kind kind;
        uint32_t bits;
        float step, levels[8];
    } forms[] = {
        { OBI_FAKE_QUANT_MEAN, 1, 1, { -0.5f, -0.5f, -0.5f, -0.5f, 0.5f, 0.5f, 0.5f, 0.5f } },
        { OBI_FAKE_QUANT_MEAN, 2, 0.5f, { -0.75f, -0.75f, -0.25f, -0.25f, 0.25f, 0.25f, 0.75f, 0.75f } },
        { OBI_FAKE_QUANT_MINMAX, 2, 1, { -1, -1, 0, 0, 0, 0, 1, 1 } },
        { OBI_FAKE_QUANT_MINMAX,
          3,
          0x1.554p-2f,
          { -0x1.ffep-1f, -0x1.554p-1f, -0x1.554p-2f, 0, 0, 0x1.554p-2f, 0x1.554p-1f, 0x1.ffep-1f } },
    };
    obi_case_env *env = test_env();
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        float q[8], reference[8], step, reference_step;
        obi_weight from, to;
        obi_view steps;
        obi_case_env_clear(env);
        ref_optim_fake_quant(reference, &reference_step, w, 8, forms[f].kind, forms[f].bits);
        TEST_OK(obi_case_weight(env, OBI_WEIGHT_F32, 1, 8, 0, w, &from));
        TEST_OK(obi_case_weight(env, OBI_WEIGHT_F32, 1, 8, 0, w, &to));
        TEST_OK(obi_case_output(env, 4, &steps));
        obi_cmd_begin(env->cmd);
        obi_op_fake_quant(env->cmd, &to, steps, &from, forms[f].kind, forms[f].bits);
        TEST_OK(obi_cmd_run(env->cmd));
        TEST_OK(obi_case_download(env, steps, &step, 4));
        TEST_OK(obi_case_weight_download(env, &to, q));
        assert_true(fabsf(step - forms[f].step) < 1e-7f && fabsf(reference_step - forms[f].step) < 1e-7f);
        for (int i = 0; i < 8; i++)
            if (!(fabsf(q[i] - forms[f].levels[i]) < 2e-7f) || !(fabsf(reference[i] - forms[f].levels[i]) < 2e-7f))
                fail_msg("form %zu, %g: device %g, reference %g", f, (double)w[i], (double)q[i], (double)reference[i]);
        obi_weight_destroy(test_device(), &from);
        obi_weight_destroy(test_device(), &to);
    }
    test_device_check();
}

/* The grids folded, by a lowered limit. */
static void test_folded_grids(void **state)
{
    (void)state;
    uint32_t *limit = &test_device()->caps.workgroup_count[0], before = *limit;
    *limit = 3;
    TEST_CASE(obi_case_optim_adamw, 64 * 7 + 1);
    TEST_CASE(obi_case_optim_scale, 64 * 7 + 1);
    TEST_CASE(obi_case_optim_fake_quant, 7, 33, OBI_FAKE_QUANT_MEAN, 2);
    TEST_CASE(obi_case_optim_estimator, 64 * 7 + 1, 0);
    TEST_CASE(obi_case_optim_flip_count, 64 * 64 * 7 + 1);
    *limit = before;
}

static void test_workgroup_sizes(void **state)
{
    (void)state;
    uint32_t *size = &test_device()->caps.workgroup_size, before = *size;
    for (*size = 1; *size < 64; *size *= 4) {
        TEST_CASE(obi_case_optim_sumsq, 5000, 1);
        TEST_CASE(obi_case_optim_flip_count, 5000);
        TEST_CASE(obi_case_optim_tie, 5000);
    }
    *size = before;
}

/* The estimators at the ends of their range: numbers, never NaN. */
static void test_estimators_far_out(void **state)
{
    (void)state;
    static const float weights[] = { 0.0f, -0.0f, 1e-30f, 10.0f, -20.0f, 1e4f, -3e38f, INFINITY, -INFINITY };
    enum { N = sizeof weights / sizeof weights[0] };
    obi_case_env *env = test_env();
    for (int kind = 0; kind < OBI_ESTIMATOR_COUNT; kind++) {
        obi_case_env_clear(env);
        float ones[N], got[N];
        for (int i = 0; i < N; i++) ones[i] = 1;
        obi_view w, dw;
        TEST_OK(obi_case_upload(env, weights, sizeof weights, &w));
        TEST_OK(obi_case_upload(env, ones, sizeof ones, &dw));
        obi_cmd_begin(env->cmd);
        obi_op_estimator(env->cmd, dw, w, N, (obi_estimator_kind)kind, 100.0f);
        TEST_OK(obi_cmd_run(env->cmd));
        TEST_OK(obi_case_download(env, dw, got, sizeof got));
        const float near[] = { 1.001f, 1, 1, 100 }, far[] = { 0.001f, 1, 0, 0 };
        for (int i = 0; i < 3; i++) assert_true(fabsf(got[i] / near[kind] - 1) < 1e-5f);
        for (int i = kind == OBI_ESTIMATOR_CLIP ? 5 : 4; i < N; i++) assert_true(fabsf(got[i] - far[kind]) < 1e-8f);
    }
    test_device_check();
}

/* Steps on one parabola per element come to its bottom: signs and corrections are right together. */
static void test_adamw_descends(void **state)
{
    (void)state;
    enum { N = 100, STEPS = 300 };
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    float *w = obi_case_normal(env, N, 1.0), *dw = obi_case_zeros(env, N), *zeros = obi_case_zeros(env, N);
    obi_view w_view, dw_view, m_view, v_view;
    TEST_OK(obi_case_upload(env, w, sizeof(float) * N, &w_view));
    TEST_OK(obi_case_upload(env, zeros, sizeof(float) * N, &m_view));
    TEST_OK(obi_case_upload(env, zeros, sizeof(float) * N, &v_view));
    TEST_OK(obi_case_upload(env, zeros, sizeof(float) * N, &dw_view));
    obi_adamw step = { .lr = 0.05f, .beta1 = 0.9f, .beta2 = 0.98f, .eps = 1e-8f, .grad_scale = 1 };
    for (int s = 1; s <= STEPS; s++) {
        for (int i = 0; i < N; i++) dw[i] = w[i] - (float)i / N;
        TEST_OK(obi_upload_bytes(env->upload, dw_view, dw, sizeof(float) * N));
        step.c1 = (float)(1 - pow(0.9, s));
        step.c2 = (float)(1 - pow(0.98, s));
        step.lr = 0.05f * (float)(STEPS - s) / STEPS;
        obi_cmd_begin(env->cmd);
        obi_op_adamw(env->cmd, w_view, dw_view, m_view, v_view, N, &step);
        TEST_OK(obi_cmd_run(env->cmd));
        TEST_OK(obi_case_download(env, w_view, w, sizeof(float) * N));
    }
    for (int i = 0; i < N; i++) assert_true(fabsf(w[i] - (float)i / N) < 0.01f);
    test_device_check();
}

static void test_bad_arguments_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view view, two;
    TEST_OK(obi_case_output(env, 4 * 100, &view));
    TEST_OK(obi_case_output(env, 4 * 100, &two));
    obi_adamw step = { .lr = 1, .c1 = 0, .c2 = 1 };
    obi_cmd_begin(env->cmd);
    obi_op_adamw(env->cmd, view, two, two, two, 100, &step);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "counted from 1"));
    obi_cmd_begin(env->cmd);
    obi_op_estimator(env->cmd, view, two, 100, OBI_ESTIMATOR_COUNT, 1);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    obi_cmd_begin(env->cmd);
    obi_op_flip_count(env->cmd, view, two, two, 101);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    obi_cmd_begin(env->cmd);
    obi_op_scale(env->cmd, view, 0, 1);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    obi_cmd_begin(env->cmd);
    obi_op_tie(env->cmd, view, 101);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    obi_cmd_begin(env->cmd);
    obi_op_sumsq(env->cmd, view, view, two, 101, false);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adamw),
        cmocka_unit_test(test_sumsq),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_tie),
        cmocka_unit_test(test_estimator),
        cmocka_unit_test(test_flip_count),
        cmocka_unit_test(test_fake_quant),
        cmocka_unit_test(test_fake_quant_levels),
        cmocka_unit_test(test_folded_grids),
        cmocka_unit_test(test_workgroup_sizes),
        cmocka_unit_test(test_estimators_far_out),
        cmocka_unit_test(test_adamw_descends),
        cmocka_unit_test(test_bad_arguments_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

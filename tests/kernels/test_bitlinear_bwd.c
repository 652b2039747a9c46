/* test_bitlinear_bwd: the products with signs, the scaled columns and the column sums of training, against runtime/ref. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "ops/op_bitlinear_bwd.h"
#include "ref/ref_bitlinear.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const uint32_t counts[] = { 1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129 };

static void products(const obi_case *test)
{
    for (uint32_t i = 0; i < COUNT(counts); i++) {
        TEST_CASE(*test, counts[i], 37, 9);
        TEST_CASE(*test, 40, counts[i], 11);
        TEST_CASE(*test, 20, 96, counts[i]);
    }
    TEST_CASE(*test, 1000, 64, 33);
    TEST_CASE(*test, 64, 1000, 40);
    TEST_CASE(*test, 130, 96, 65, 1);
    TEST_CASE(*test, 130, 333, 33, 129);
    TEST_CASE(*test, 256, 512, 128, 100);
    TEST_CASE(*test, 16400, 3, 9); /* past the grid of one dispatch on a software driver, along each side */
    TEST_CASE(*test, 3, 16400, 9);
    TEST_CASE(*test, 3, 5, 4100);
}

static void sign_gemm(const obi_case *test)
{
    products(test);
    TEST_CASE(*test, 5, 65536, 8);
}

static void bwd_x(const obi_case *test)
{
    products(test);
    TEST_CASE(*test, 65536 + 70, 5, 8);
}

static void test_sign_gemm(void **state) { (void)state; sign_gemm(&obi_case_bitlinear_sign_gemm); }
static void test_sign_gemm_straight(void **state) { (void)state; sign_gemm(&obi_case_bitlinear_sign_gemm_straight); }
static void test_bwd_x(void **state) { (void)state; bwd_x(&obi_case_bitlinear_bwd_x); }
static void test_bwd_x_straight(void **state) { (void)state; bwd_x(&obi_case_bitlinear_bwd_x_straight); }

static void test_scale(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT(counts); i++) {
        TEST_CASE(obi_case_bitlinear_scale_columns, 9, counts[i], i % 2);
        TEST_CASE(obi_case_bitlinear_scale_columns, counts[i], 70, 1 - i % 2);
    }
    TEST_CASE(obi_case_bitlinear_scale_columns, 100, 4096);
}

static void test_scale_matrix(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT(counts); i++) {
        TEST_CASE(obi_case_bitlinear_scale_matrix, 9, counts[i], 0);
        TEST_CASE(obi_case_bitlinear_scale_matrix, counts[i], 70, 32);
        TEST_CASE(obi_case_bitlinear_scale_matrix_straight, 16 * counts[i], 24, 0);
    }
    TEST_CASE(obi_case_bitlinear_scale_matrix, 1030, 4096, 0); /* past one axis of the grid */
    TEST_CASE(obi_case_bitlinear_scale_matrix_straight, 4112, 264, 0);
    TEST_CASE(obi_case_bitlinear_scale_matrix_straight, 64, 32, 32); /* two blocks: the plain kernel, by the op's own choice */
}

static void column_dot(const obi_case *test)
{
    for (uint32_t i = 0; i < COUNT(counts); i++) {
        TEST_CASE(*test, 9, counts[i]);
        TEST_CASE(*test, counts[i], 70);
        TEST_CASE(*test, counts[i], 24);
    }
    TEST_CASE(*test, 100, 4096);
    TEST_CASE(*test, 70000, 3);
    TEST_CASE(*test, 65536, 8);  /* of a software driver: the most chunks, in several dispatches, folded in several */
    TEST_CASE(*test, 3, 65304); /* past the columns of its dispatch */
}

static void test_column_dot(void **state) { (void)state; column_dot(&obi_case_bitlinear_column_dot); }
static void test_column_dot_straight(void **state) { (void)state; column_dot(&obi_case_bitlinear_column_dot_straight); }

/* Small integers are exact whatever the order: any wrong bit shows, without a tolerance. */
static void test_integers_are_exact(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    static const uint32_t sizes[][3] = { { 67, 333, 40 }, { 128, 256, 33 } };
    for (size_t s = 0; s < COUNT(sizes); s++) {
        uint32_t m = sizes[s][0], n = sizes[s][1], T = sizes[s][2];
        obi_case_env_clear(env);
        float *u = obi_case_zeros(env, (uint64_t)n * T), *dv = obi_case_zeros(env, (uint64_t)m * T);
        float *want = obi_case_zeros(env, (uint64_t)(n + m) * T), *got = obi_case_zeros(env, (uint64_t)(n + m) * T);
        uint32_t *words = obi_case_signs(env, m, n);
        assert_non_null(u);
        assert_non_null(dv);
        assert_non_null(want);
        assert_non_null(got);
        assert_non_null(words);
        for (uint32_t i = 0; i < n * T; i++) u[i] = (float)(int)(obi_rng_next(&env->rng) >> 61) - 3.0f; /* -3..4 */
        for (uint32_t i = 0; i < m * T; i++) dv[i] = (float)(int)(obi_rng_next(&env->rng) >> 61) - 3.0f;
        ref_sign_gemm(want, u, words, m, n, T);
        ref_bitlinear_bwd_x(want + (size_t)m * T, dv, words, m, n, T);
        obi_view u_view, dv_view, v_view, du_view;
        obi_weight signs;
        TEST_OK(obi_case_upload(env, u, (uint64_t)n * T * 4, &u_view));
        TEST_OK(obi_case_upload(env, dv, (uint64_t)m * T * 4, &dv_view));
        TEST_OK(obi_case_output(env, (uint64_t)m * T * 4, &v_view));
        TEST_OK(obi_case_output(env, (uint64_t)n * T * 4, &du_view));
        TEST_OK(obi_case_weight(env, OBI_WEIGHT_SIGN, m, n, 0, words, &signs));
        obi_cmd_begin(env->cmd);
        obi_op_sign_gemm(env->cmd, v_view, u_view, &signs, T);
        obi_op_bitlinear_bwd_x(env->cmd, du_view, dv_view, &signs, T);
        obi_status status = obi_cmd_run(env->cmd);
        obi_weight_destroy(env->device, &signs);
        TEST_OK(status);
        TEST_OK(obi_case_download(env, v_view, got, (uint64_t)m * T * 4));
        TEST_OK(obi_case_download(env, du_view, got + (size_t)m * T, (uint64_t)n * T * 4));
        for (uint32_t i = 0; i < (n + m) * T; i++)
            if (got[i] != want[i])
                fail_msg("%u x %u x %u: [%u] = %g, exactly %g", m, n, T, i, (double)got[i], (double)want[i]);
    }
    test_device_check();
}

/* Two runs give the same bits, and y may be x. */
static void test_sums_repeat_and_scale_in_place(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    enum { TOKENS = 1500, COLUMNS = 70 };
    float *a = obi_case_normal(env, TOKENS * COLUMNS, 1), *s = obi_case_normal(env, COLUMNS, 1), *got = obi_case_zeros(env, TOKENS * COLUMNS);
    assert_non_null(a);
    assert_non_null(s);
    assert_non_null(got);
    float first[COLUMNS], second[COLUMNS], zeros[COLUMNS] = { 0 };
    obi_view a_view, s_view, scratch, out[2];
    TEST_OK(obi_case_upload(env, a, TOKENS * COLUMNS * 4, &a_view));
    TEST_OK(obi_case_upload(env, s, COLUMNS * 4, &s_view));
    TEST_OK(obi_case_upload(env, zeros, sizeof zeros, &out[0]));
    TEST_OK(obi_case_upload(env, zeros, sizeof zeros, &out[1]));
    TEST_OK(obi_case_output(env, obi_column_dot_floats(TOKENS, COLUMNS) * 4, &scratch));
    obi_cmd_begin(env->cmd);
    for (int i = 0; i < 2; i++) obi_op_column_dot(env->cmd, out[i], scratch, a_view, a_view, TOKENS, COLUMNS);
    obi_op_scale_columns(env->cmd, a_view, a_view, s_view, TOKENS, COLUMNS, false);
    TEST_OK(obi_cmd_run(env->cmd));
    TEST_OK(obi_case_download(env, out[0], first, sizeof first));
    TEST_OK(obi_case_download(env, out[1], second, sizeof second));
    TEST_OK(obi_case_download(env, a_view, got, TOKENS * COLUMNS * 4));
    assert_memory_equal(first, second, sizeof first);
    for (int i = 0; i < TOKENS * COLUMNS; i++) assert_true(got[i] == a[i] * s[i % COLUMNS]);
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
    obi_weight sign, dense;
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_SIGN, 10, 40, 0, &sign));
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_F32, 10, 40, 0, &dense));
    for (int i = 0; i < 8; i++) {
        obi_cmd_begin(env->cmd);
        switch (i) {
        case 0: obi_op_sign_gemm(env->cmd, y, x, &sign, 2); break;
        case 1: obi_op_sign_gemm(env->cmd, y, x, &dense, 1); break;
        case 2: obi_op_bitlinear_bwd_x(env->cmd, x, y, &sign, 2); break;
        case 3: obi_op_bitlinear_bwd_x(env->cmd, y, x, &sign, 1); break;
        case 4: obi_op_scale_columns(env->cmd, y, x, x, 2, 20, false); break;
        case 5: obi_op_scale_columns(env->cmd, x, x, y, 1, 40, false); break;
        case 6: obi_op_column_dot(env->cmd, y, y, x, x, 1, 40); break;
        default: obi_op_scale_columns(env->cmd, y, x, x, 0, 20, false); break;
        }
        assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    }
    obi_weight_destroy(env->device, &sign);
    obi_weight_destroy(env->device, &dense);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign_gemm),
        cmocka_unit_test(test_bwd_x),
        cmocka_unit_test(test_sign_gemm_straight),
        cmocka_unit_test(test_bwd_x_straight),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_scale_matrix),
        cmocka_unit_test(test_column_dot),
        cmocka_unit_test(test_column_dot_straight),
        cmocka_unit_test(test_integers_are_exact),
        cmocka_unit_test(test_sums_repeat_and_scale_in_place),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

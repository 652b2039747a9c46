/* test_int8: products of bytes with outliers as they are, against runtime/ref: activations to bytes, products, and both in one. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "ops/op_int8.h"
#include "ref/ref_int8.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void test_activations(void **state)
{
    (void)state;
    static const uint32_t columns[] = { 1, 2, 3, 4, 5, 31, 32, 33, 64, 65, 1000, 4096 }, outliers[] = { 0, 1, 3, 5000 };
    for (size_t i = 0; i < COUNT(columns); i++)
        for (size_t j = 0; j < COUNT(outliers); j++)
            TEST_CASE(obi_case_int8_quantise, 1, columns[i], 1 + (uint32_t)(i + j) % 9, outliers[j]);
    TEST_CASE(obi_case_int8_list, 1, 65536, 1, 65536);
    TEST_CASE(obi_case_int8_flags, 1, 100, 700, 9);
}

static void test_products(void **state)
{
    (void)state;
    static const uint32_t columns[] = { 1, 2, 3, 4, 5, 31, 32, 33, 255, 256, 257, 1000, 4096 };
    static const uint32_t rows[] = { 1, 3, 7, 8, 9, 16, 17, 33, 65, 129 };
    for (size_t i = 0; i < COUNT(columns); i++) {
        TEST_CASE(obi_case_int8_products, 37, columns[i], 1, (uint32_t)i % 3);
        TEST_CASE(obi_case_int8_products, 21, columns[i], 9 + (uint32_t)i, (uint32_t)i % 4);
    }
    for (size_t i = 0; i < COUNT(rows); i++) {
        TEST_CASE(obi_case_int8_products, rows[i], 101, 1 + (uint32_t)i % 7, 2);
        TEST_CASE(obi_case_int8_products, rows[i], 71, 8 + (uint32_t)i, 200);
    }
    TEST_CASE(obi_case_int8_products, 1000, 65, 1, 1);
    TEST_CASE(obi_case_int8_products, 130, 333, 3, 4, 1);   /* 130 row blocks */
    TEST_CASE(obi_case_int8_products, 130, 333, 33, 4, 129);
    TEST_CASE(obi_case_int8_products, 5, 65536, 1, 3);      /* the longest row */
    TEST_CASE(obi_case_int8_products, 3, 65536, 1, 65536);  /* all of it outliers */
}

/* The widths that the kernels for software drivers take, and some that are left to the plain one. */
static void test_gemv_straight(void **state)
{
    (void)state;
    static const uint32_t columns[] = { 32, 64, 96, 128, 333, 512, 1000, 2048, 4096, 11008, 16384, 65536 };
    static const uint32_t rows[] = { 1, 3, 15, 16, 17, 33, 129 };
    for (size_t i = 0; i < COUNT(columns); i++) TEST_CASE(obi_case_int8_gemv_straight, 37, columns[i], 1, (uint32_t)i % 3);
    for (size_t i = 0; i < COUNT(rows); i++)
        TEST_CASE(obi_case_int8_gemv_straight, rows[i], 128, 1 + 8 * (uint32_t)i, 300 * (uint32_t)(i % 2));
    TEST_CASE(obi_case_int8_gemv_straight, 4100, 128, 2, 1);
    TEST_CASE(obi_case_int8_gemv_straight, 65600, 128, 1, 0);    /* more rows than a dispatch */
    TEST_CASE(obi_case_int8_gemv_straight, 200, 128, 3, 1, 64);  /* blocks */
}

/* Where sums are largest they are exact: 65,536 bytes of 127 and -128. */
static void test_sums_do_not_overflow(void **state)
{
    (void)state;
    enum { N = 65536, WORDS = N / 4 + 1 };
    static uint32_t row[WORDS];
    static float x[N], y[1];
    static const float one = 1;
    memset(row, 0x80, sizeof row);
    memcpy(&row[WORDS - 1], &one, 4);
    for (int j = 0; j < N; j++) x[j] = 5;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view x_view, y_view;
    obi_weight weight;
    TEST_OK(obi_case_upload(env, x, sizeof x, &x_view));
    TEST_OK(obi_case_output(env, 4, &y_view));
    TEST_OK(obi_case_weight(env, OBI_WEIGHT_I8, 1, N, 0, row, &weight));
    obi_cmd_begin(env->cmd);
    obi_op_int8_fwd(env->cmd, &(obi_int8_part){ y_view, &weight }, 1, x_view, 1, 6);
    TEST_OK(obi_cmd_run(env->cmd));
    TEST_OK(obi_case_download(env, y_view, y, 4));
    obi_weight_destroy(env->device, &weight);
    double want = -128.0 * N * 5; /* x = 127 steps of 5/127 */
    if (!(fabs((double)y[0] - want) <= 4 * 0x1p-24 * fabs(want))) fail_msg("%.9g, not %.9g", (double)y[0], want);
    test_device_check();
}

/* The whole op on two weights of one x, what outliers are worth: with them the error is that of the bytes; a NaN and an infinity
 * reach their token, and no other. */
static void test_outliers_are_not_rounded(void **state)
{
    (void)state;
    enum { N = 96, M = 5, T = 3, WORDS = N / 4 + 1 };
    static uint32_t rows[2][M * WORDS];
    float x[T * N], y[2][T * M];
    obi_case_env *env = test_env();
    obi_view x_view, y_view[2];
    obi_weight weight[2];
    for (int special = 0; special < 3; special++) {
        obi_case_env_clear(env);
        for (int i = 0; i < T * N; i++) x[i] = 0.01f * (float)(i * 37 % 200 - 100);
        x[7] = special == 0 ? 1000 : special == 1 ? INFINITY : NAN; /* of the first token */
        obi_int8_part parts[2];
        TEST_OK(obi_case_upload(env, x, sizeof x, &x_view));
        for (int p = 0; p < 2; p++) {
            for (int i = 0; i < M; i++)
                for (int j = 0; j < N; j++) ((int8_t *)&rows[p][i * WORDS])[j] = (int8_t)(i * 11 + j * 7 + p * 3 + 1);
            for (int i = 0; i < M; i++) memcpy(&rows[p][(i + 1) * WORDS - 1], &(float){ 0.01f * (float)(i + 1) }, 4);
            TEST_OK(obi_case_output(env, sizeof y[p], &y_view[p]));
            TEST_OK(obi_case_weight(env, OBI_WEIGHT_I8, M, N, 0, rows[p], &weight[p]));
            parts[p] = (obi_int8_part){ y_view[p], &weight[p] };
        }
        obi_cmd_begin(env->cmd);
        obi_op_int8_fwd(env->cmd, parts, 2, x_view, T, 6);
        TEST_OK(obi_cmd_run(env->cmd));
        for (int p = 0; p < 2; p++) {
            TEST_OK(obi_case_download(env, y_view[p], y[p], sizeof y[p]));
            obi_weight_destroy(env->device, &weight[p]);
            for (int t = 0; t < T; t++)
                for (int i = 0; i < M; i++) {
                    const int8_t *w = (const int8_t *)&rows[p][i * WORDS];
                    double want = 0, room = 0, s = 0.01 * (i + 1);
                    for (int j = 0; j < N; j++) {
                        want += s * w[j] * (double)x[t * N + j];
                        room += s * abs(w[j]) * 0.5 / 127 * 1.01; /* half a step of a token whose largest is 1 */
                    }
                    double got = (double)y[p][t * M + i];
                    bool lost = t == 0 && special > 0, good = lost ? !isfinite(got) : fabs(got - want) <= room + 1e-5 * fabs(want);
                    if (!good) fail_msg("token %d, row %d: %.9g, not %.9g", t, i, got, want);
                }
        }
    }
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_gemv_straight),
        cmocka_unit_test(test_sums_do_not_overflow),
        cmocka_unit_test(test_outliers_are_not_rounded),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

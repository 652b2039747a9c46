/* test_svid: the steps of SVID and the sign packing against runtime/ref, at every tier of this device.
 * (tests/engine/test_svid_run.c tests the decomposition as a whole.) */
#include "device.h"

#include <math.h>
#include <string.h>

#include "ops/op_svid.h"
#include "ref/ref_svid.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const uint32_t lengths[] = { 1, 2, 31, 32, 33, 63, 64, 65, 100, 1000, 4096 };

/* Each length as rows and as columns, whole and in row blocks. */
static void all_sizes(const obi_case *test)
{
    for (size_t i = 0; i < COUNT(lengths); i++) {
        TEST_CASE(*test, 37, lengths[i], 0, 1);
        TEST_CASE(*test, lengths[i], 37, 0, 0);
        TEST_CASE(*test, lengths[i], 65, lengths[i] / 3, 1);
    }
    TEST_CASE(*test, 100, 33, 1, 1);
}

static void test_rows(void **state)
{
    (void)state;
    all_sizes(&obi_case_svid_rows);
    TEST_CASE(obi_case_svid_rows, 3, 65536, 0, 1);
    TEST_CASE(obi_case_svid_rows, 65536 * 4 + 3, 1, 0, 1); /* more workgroups than a grid axis has */
}

static void test_columns(void **state)
{
    (void)state;
    all_sizes(&obi_case_svid_columns);
    TEST_CASE(obi_case_svid_columns, 255, 3, 0, 1); /* around the rows of a chunk */
    TEST_CASE(obi_case_svid_columns, 256, 3, 0, 0);
    TEST_CASE(obi_case_svid_columns, 257, 3, 0, 1);
    TEST_CASE(obi_case_svid_columns, 152064, 5, 0, 1); /* a vocabulary */
    TEST_CASE(obi_case_svid_columns, 152064, 5, 40000, 0);
    TEST_CASE(obi_case_svid_columns, 3, 65536, 0, 1);
}

static void test_dot(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lengths); i++) TEST_CASE(obi_case_svid_dot, 1, lengths[i]);
    TEST_CASE(obi_case_svid_dot, 1, 65536);
}

static void test_residual(void **state)
{
    (void)state;
    all_sizes(&obi_case_svid_residual);
    TEST_CASE(obi_case_svid_residual, 3, 65536, 0, 1);
}

static void test_stats(void **state)
{
    (void)state;
    all_sizes(&obi_case_svid_stats);
    TEST_CASE(obi_case_svid_stats, 3, 65536, 0, 0);
}

static void test_sign_pack(void **state)
{
    (void)state;
    all_sizes(&obi_case_svid_sign_pack);
    TEST_CASE(obi_case_svid_sign_pack, 65536 * 64 / 2 + 7, 33, 0, 0); /* two words a row: more workgroups than a grid axis has */
}

static obi_weight upload_weight(uint32_t m, uint32_t n, const float *values)
{
    obi_weight weight;
    TEST_OK(obi_case_weight(test_env(), OBI_WEIGHT_F32, m, n, 0, values, &weight));
    return weight;
}

static void pack(const float *values, uint32_t m, uint32_t n, uint32_t *words)
{
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_weight weight = upload_weight(m, n, values);
    obi_view view;
    uint32_t bytes = m * obi_weight_row_words(OBI_WEIGHT_SIGN, n) * 4;
    TEST_OK(obi_case_output(env, bytes, &view));
    obi_cmd_begin(env->cmd);
    obi_op_sign_pack(env->cmd, view, &weight, 0);
    obi_status status = obi_cmd_run(env->cmd);
    obi_weight_destroy(env->device, &weight);
    TEST_OK(status);
    TEST_OK(obi_case_download(env, view, words, bytes));
}

static void test_sign_of_every_kind_of_number(void **state)
{
    (void)state;
    uint32_t word;
    const float eight[8] = { 1, -2, 0.5f, 3, -1, -0.1f, -7, 1 };
    pack(eight, 1, 8, &word);
    assert_int_equal(word, 0x72);

    const float special[] = { 0.0f, -0.0f, INFINITY, -INFINITY, NAN, -NAN, 0x1p-149f, -0x1p-149f, 0x1p-126f, -0x1p-126f };
    pack(special, 1, COUNT(special), &word);
    assert_int_equal(word, 1u << 3 | 1u << 7 | 1u << 9); /* -infinity and the two negative numbers; zeros and NaN count as + */

    float ones[33];
    uint32_t words[2];
    for (int i = 0; i < 33; i++) ones[i] = -1.0f;
    pack(ones, 1, 33, words);
    assert_int_equal(words[0], UINT32_MAX);
    assert_int_equal(words[1], 1); /* pad bits are 0 */
    test_device_check();
}

/* Runs rows and columns of a weight that is zero in some rows and columns, or everywhere. */
static void test_zeros_give_zeros(void **state)
{
    (void)state;
    enum { M = 70, N = 50 };
    for (int all = 0; all < 2; all++) {
        obi_case_env *env = test_env();
        obi_case_env_clear(env);
        float *w = obi_case_normal(env, M * N, 1.0), a[M], b[N];
        assert_non_null(w);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++)
                if (all || i == 5 || j == 7) w[i * N + j] = 0.0f;
        obi_weight weight = upload_weight(M, N, w);
        obi_view a_view, b_view, scratch, aa, bb;
        for (int j = 0; j < N; j++) b[j] = 1.0f;
        TEST_OK(obi_case_output(env, sizeof a, &a_view));
        TEST_OK(obi_case_upload(env, b, sizeof b, &b_view));
        TEST_OK(obi_case_output(env, obi_svid_scratch_floats(&weight) * 4, &scratch));
        TEST_OK(obi_case_output(env, 4, &aa));
        TEST_OK(obi_case_output(env, 4, &bb));
        obi_cmd_begin(env->cmd);
        for (int round = 0; round < 2; round++) { /* the second round starts from b = 0 when all is zero */
            obi_op_svid_dot(env->cmd, bb, b_view, N);
            obi_op_svid_rows(env->cmd, a_view, &weight, b_view, bb, true);
            obi_op_svid_dot(env->cmd, aa, a_view, M);
            obi_op_svid_columns(env->cmd, b_view, scratch, &weight, a_view, aa, true);
        }
        obi_status status = obi_cmd_run(env->cmd);
        obi_weight_destroy(env->device, &weight);
        TEST_OK(status);
        TEST_OK(obi_case_download(env, a_view, a, sizeof a));
        TEST_OK(obi_case_download(env, b_view, b, sizeof b));
        for (int i = 0; i < M; i++) assert_true(all || i == 5 ? a[i] == 0.0f : a[i] > 0.0f);
        for (int j = 0; j < N; j++) assert_true(all || j == 7 ? b[j] == 0.0f : b[j] > 0.0f);
    }
    test_device_check();
}

static void test_sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_weight weight, half;
    obi_view small, one, large;
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_F32, 300, 40, 0, &weight));
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_F16, 300, 40, 0, &half));
    TEST_OK(obi_case_output(env, 4 * 39, &small));
    TEST_OK(obi_case_output(env, 4, &one));
    TEST_OK(obi_case_output(env, 4 * 1000, &large));
    for (int i = 0; i < 8; i++) {
        obi_cmd_begin(env->cmd);
        switch (i) {
        case 0: obi_op_svid_rows(env->cmd, large, &weight, small, one, true); break;
        case 1: obi_op_svid_rows(env->cmd, large, &half, large, one, true); break;
        case 2: obi_op_svid_columns(env->cmd, large, small, &weight, large, one, true); break;
        case 3: obi_op_svid_dot(env->cmd, one, small, 40); break;
        case 4: obi_op_svid_residual(env->cmd, small, &weight, large, large, true); break;
        case 5: obi_op_svid_stats(env->cmd, small, large, &weight); break;
        case 6: obi_op_sign_pack(env->cmd, small, &weight, 0); break;
        default: obi_op_sign_pack(env->cmd, large, &weight, 1); break;
        }
        assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    }
    obi_weight_destroy(env->device, &weight);
    obi_weight_destroy(env->device, &half);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_dot),
        cmocka_unit_test(test_residual),
        cmocka_unit_test(test_stats),
        cmocka_unit_test(test_sign_pack),
        cmocka_unit_test(test_sign_of_every_kind_of_number),
        cmocka_unit_test(test_zeros_give_zeros),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

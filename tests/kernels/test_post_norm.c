/* test_post_norm: what follows a projection, norm included, against runtime/ref, at every tier of this device. */
#include "device.h"

#include <string.h>

#include "ops/op_post_norm.h"
#include "selftest/cases.h"

static const uint32_t lengths[] = { 1, 2, 3, 31, 32, 33, 63, 64, 65, 100, 129, 1000, 4096 };

static void test_residual(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (uint32_t post = 0; post < 2; post++) TEST_CASE(obi_case_post_norm_residual, 3, lengths[i], post);
    TEST_CASE(obi_case_post_norm_residual, 1, 50001, 1);
    TEST_CASE(obi_case_post_norm_residual, 16, 264, 1);
}

static void test_swiglu(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (uint32_t post = 0; post < 2; post++) TEST_CASE(obi_case_post_norm_swiglu, 3, lengths[i], post);
    TEST_CASE(obi_case_post_norm_swiglu, 1, 50001, 1);
    TEST_CASE(obi_case_post_norm_swiglu, 16, 264, 1);
}

static void test_qkv(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < 4; kind++) { /* with the norm or without, pairs as halves or neighbours */
        TEST_CASE(obi_case_post_norm_qkv, 1, 1, 1, 2, 2, kind);
        TEST_CASE(obi_case_post_norm_qkv, 1, 8, 4, 8, 8, kind);
        TEST_CASE(obi_case_post_norm_qkv, 5, 6, 3, 34, 10, kind);
        TEST_CASE(obi_case_post_norm_qkv, 1, 32, 4, 64, 64, kind);
        TEST_CASE(obi_case_post_norm_qkv, 16, 4, 2, 64, 64, kind); /* the separate kernels, on lavapipe */
        TEST_CASE(obi_case_post_norm_qkv_f16, 1, 1, 1, 2, 2, kind);
        TEST_CASE(obi_case_post_norm_qkv_f16, 5, 6, 3, 34, 10, kind); /* words with a turned element and one that stays, ... */
        TEST_CASE(obi_case_post_norm_qkv_f16, 5, 4, 2, 34, 34, kind); /* and with the last of one half and the first of the other */
        TEST_CASE(obi_case_post_norm_qkv_f16, 1, 32, 4, 64, 64, kind);
        TEST_CASE(obi_case_post_norm_qkv_f16, 16, 4, 2, 64, 64, kind);
        TEST_CASE(obi_case_post_norm_qkv_int8, 1, 1, 1, 2, 2, kind);
        TEST_CASE(obi_case_post_norm_qkv_int8, 5, 6, 3, 34, 10, kind);
        TEST_CASE(obi_case_post_norm_qkv_int8, 5, 4, 2, 34, 34, kind);
        TEST_CASE(obi_case_post_norm_qkv_int8, 1, 32, 4, 64, 64, kind);
        TEST_CASE(obi_case_post_norm_qkv_int8, 3, 142, 71, 6, 4, kind); /* more heads than are stored at once */
        TEST_CASE(obi_case_post_norm_qkv_int8, 16, 4, 2, 64, 64, kind); /* the separate kernels, on lavapipe */
    }
}

/* A workgroup a token, on software drivers: whole chunks, some that reach past the end, and rows that are too long for it. */
static void test_straight(void **state)
{
    (void)state;
    static const uint32_t columns[] = { 1, 2, 7, 8, 9, 65, 172, 288, 296, 1376, 2049, 5632, 16384, 16385 };
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        TEST_CASE(obi_case_post_norm_residual_straight, 1, columns[i], 1);
        TEST_CASE(obi_case_post_norm_swiglu_straight, 1, columns[i], 1);
    }
    TEST_CASE(obi_case_post_norm_residual_straight, 1, 172, 0);
    TEST_CASE(obi_case_post_norm_swiglu_straight, 1, 172, 0);
    static const uint32_t shapes[][4] = { { 1, 1, 8, 0 },   { 8, 4, 8, 1 },    { 8, 4, 8, 3 },    { 32, 4, 64, 1 },  { 32, 4, 64, 3 },
                                          { 9, 3, 256, 2 }, { 33, 3, 128, 1 }, { 71, 71, 24, 3 }, { 71, 71, 24, 1 }, { 6, 2, 34, 1 } };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        uint32_t H = shapes[i][0], K = shapes[i][1], C = shapes[i][2], kind = shapes[i][3];
        TEST_CASE(obi_case_post_norm_qkv_straight, 1, H, K, C, C, kind);
        TEST_CASE(obi_case_post_norm_qkv_f16_straight, 1, H, K, C, C, kind);
    }
    TEST_CASE(obi_case_post_norm_qkv_straight, 1, 4, 2, 32, 24, 1); /* some elements stay: the usual way */
    static const uint32_t tokens[] = { 2, 5, 16, 256, 300 }; /* more than a dispatch takes */
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        TEST_CASE(obi_case_post_norm_residual_straight, tokens[i], 296, 1);
        TEST_CASE(obi_case_post_norm_residual_straight, tokens[i], 65, 0);
        TEST_CASE(obi_case_post_norm_swiglu_straight, tokens[i], 65, 1);
        TEST_CASE(obi_case_post_norm_swiglu_straight, tokens[i], 288, 0);
        TEST_CASE(obi_case_post_norm_qkv_straight, tokens[i], 9, 3, 64, 64, i % 2 ? 3 : 1);
        TEST_CASE(obi_case_post_norm_qkv_f16_straight, tokens[i], 9, 3, 16, 16, i % 2 ? 3 : 1);
    }
}

/* More rows than one grid axis has; the limit is lowered. */
static void test_more_rows_than_a_grid_axis(void **state)
{
    (void)state;
    uint32_t *limit = &test_device()->caps.workgroup_count[0], before = *limit;
    *limit = 10;
    TEST_CASE(obi_case_post_norm_residual, 29, 3, 1);
    TEST_CASE(obi_case_post_norm_swiglu, 29, 3, 1);
    TEST_CASE(obi_case_post_norm_qkv, 29, 2, 1, 6, 4, 3);
    *limit = before;
}

static void test_sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view view;
    TEST_OK(obi_case_output(env, 4 * 1000, &view));
    obi_cmd_begin(env->cmd);
    obi_op_post_residual_fwd(env->cmd, view, view, view, view, 20, 51, 1e-5f, 1e-5f);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "post_residual: x must have 20 x 51 elements"));
    obi_cmd_begin(env->cmd);
    obi_op_post_swiglu_fwd(env->cmd, view, view, 20, 51, 1e-5f);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    obi_post_qkv what = { .T = 2, .H = 2, .K = 1, .C = 8, .R = 8, .first_position = 3, .context = 4, .post_eps = 1e-5f };
    obi_cmd_begin(env->cmd);
    obi_op_post_qkv_fwd(env->cmd, view, view, (obi_kv_cache){ OBI_KV_F32, view, view }, &what);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "do not fit the context"));
    what.first_position = 0;
    what.R = 7;
    obi_cmd_begin(env->cmd);
    obi_op_post_qkv_fwd(env->cmd, view, view, (obi_kv_cache){ OBI_KV_F32, view, view }, &what);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_residual),
        cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_qkv),
        cmocka_unit_test(test_straight),
        cmocka_unit_test(test_more_rows_than_a_grid_axis),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

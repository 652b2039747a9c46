/* test_blocks: weights larger than one binding may be. 9000 x 4096 floats are 147 MB; lavapipe binds 128 MiB at most. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "ops/op_bitlinear.h"
#include "ops/op_dense.h"
#include "ops/op_svid.h"
#include "ref/ref_bitlinear.h"
#include "ref/ref_dense.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

enum { M = 9000, N = 4096 };

/* W[i,j] = u[i] v[j] with a sign from the bits; u and v are powers of two, so that W is exact and |W| = u vT. */
static float *large, *u, *v;
static uint32_t *large_bits; /* (M, N/32): 1 where W is negative */
static obi_weight weight;

static int set_up(void **state)
{
    (void)state;
    obi_rng rng = obi_rng_seed(3);
    large = obi_calloc((size_t)M * N, sizeof *large);
    large_bits = obi_calloc((size_t)M * N / 32, sizeof *large_bits);
    u = obi_calloc(M, sizeof *u);
    v = obi_calloc(N, sizeof *v);
    if (!large || !large_bits || !u || !v) return 1;
    for (int i = 0; i < M; i++) u[i] = 0x1p-3f * (float)(1u << obi_rng_next(&rng) % 7);
    for (int j = 0; j < N; j++) v[j] = 0x1p-3f * (float)(1u << obi_rng_next(&rng) % 7);
    for (size_t i = 0; i < (size_t)M * N / 32; i++) {
        large_bits[i] = (uint32_t)(obi_rng_next(&rng) >> 32);
        size_t row = i / (N / 32), column = i % (N / 32) * 32;
        for (unsigned k = 0; k < 32; k++) large[row * N + column + k] = (large_bits[i] >> k & 1 ? -u[row] : u[row]) * v[column + k];
    }
    obi_case_env *env = test_env();
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_F32, M, N, 0, &weight));
    TEST_OK(obi_weight_upload(env->upload, &weight, 0, M, (const uint32_t *)(const void *)large));
    TEST_OK(obi_upload_finish(env->upload));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    obi_weight_destroy(test_device(), &weight);
    obi_free(large);
    obi_free(large_bits);
    obi_free(u);
    obi_free(v);
    return 0;
}

static void test_it_is_more_than_one_binding(void **state)
{
    (void)state;
    uint64_t bytes = (uint64_t)M * N * 4, limit = UINT64_C(128) << 20, rows = 0;
    assert_true(bytes > limit);
    assert_int_equal(weight.block_count, 2);
    for (uint32_t i = 0; i < weight.block_count; i++) {
        uint32_t first, count;
        obi_view view = obi_weight_block(&weight, i, &first, &count);
        assert_true(view.size <= limit && view.size <= test_device()->caps.storage_range);
        assert_int_equal(view.size, (uint64_t)count * N * 4);
        assert_int_equal(first, rows);
        rows += count;
    }
    assert_int_equal(rows, M);
    test_device_check();
}

/* Where the limit is below the weight's size, one binding of it all is refused with a sentence, not left to the driver; where it
 * is not, it is taken. */
static void test_one_binding_of_it_all(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_device *device = env->device;
    uint64_t bytes = (uint64_t)M * N * 4;
    obi_cmd *cmd = env->cmd;
    obi_buffer *whole;
    obi_view sums, squares;
    obi_case_env_clear(env);
    TEST_OK(obi_case_output(env, M * 4, &sums));
    TEST_OK(obi_case_output(env, M * 4, &squares));
    TEST_OK(obi_buffer_create(device, bytes, OBI_MEMORY_DEVICE, &whole));
    obi_weight forced = {
        .type = OBI_WEIGHT_F32, .rows = M, .columns = N, .row_words = N, .block_rows = M, .block_count = 1, .blocks = &whole
    };
    obi_cmd_begin(cmd);
    obi_op_svid_stats(cmd, sums, squares, &forced);
    obi_status status = obi_cmd_run(cmd);
    obi_buffer_destroy(device, whole);
    assert_int_equal(status, device->caps.storage_range < bytes ? OBI_ERROR_ARGUMENT : OBI_OK);
    if (status != OBI_OK) assert_non_null(strstr(obi_last_error(), "svid_stats"));
    test_device_check();
}

static void test_dense(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    for (uint32_t T = 1; T <= 9; T += 8) { /* the matrix-vector and the matrix-matrix kernel */
        obi_case_env_clear(env);
        float *x = obi_case_zeros(env, N * T), *got = obi_case_zeros(env, M * T), *want = obi_case_zeros(env, M * T);
        float *squares = obi_case_zeros(env, M);
        assert_non_null(x);
        assert_non_null(got);
        assert_non_null(want);
        assert_non_null(squares);
        for (uint32_t i = 0; i < N * T; i++) x[i] = (float)obi_rng_normal(&env->rng);
        obi_view x_view, y_view;
        TEST_OK(obi_case_upload(env, x, N * T * 4, &x_view));
        TEST_OK(obi_case_output(env, M * T * 4, &y_view));
        obi_cmd_begin(env->cmd);
        obi_op_dense_fwd(env->cmd, y_view, x_view, &weight, T);
        TEST_OK(obi_cmd_run(env->cmd));
        TEST_OK(obi_case_download(env, y_view, got, M * T * 4));
        for (uint32_t t = 0; t < T; t += 8) {
            obi_case_result result = { 0 };
            ref_dense_fwd(want, squares, x + t * N, large, M, N, 1);
            for (uint32_t i = 0; i < M; i++) squares[i] = (float)obi_case_sum_error(2.0 * N, (double)squares[i]);
            obi_case_compare(&result, "y", got + t * M, want, M, squares, 0, 0);
            if (!(result.worst <= 1)) fail_msg("T = %u, token %u: %s", T, t, result.where);
        }
    }
    test_device_check();
}

static void test_svid_steps(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    float *a = obi_case_zeros(env, M), *b = obi_case_zeros(env, N), *host = obi_case_zeros(env, obi_svid_residual_floats(&weight));
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(host);
    double vb = 0, bb = 0, vv = 0, uu = 0;
    for (int j = 0; j < N; j++) {
        b[j] = 1.0f + (float)(j % 5);
        vb += (double)v[j] * (double)b[j];
        bb += (double)b[j] * (double)b[j];
        vv += (double)v[j] * (double)v[j];
    }
    for (int i = 0; i < M; i++) uu += (double)u[i] * (double)u[i];
    obi_view a_view, b_view, u_view, v_view, scratch, partials, aa_view, bb_view;
    TEST_OK(obi_case_output(env, M * 4, &a_view));
    TEST_OK(obi_case_upload(env, b, N * 4, &b_view));
    TEST_OK(obi_case_upload(env, u, M * 4, &u_view));
    TEST_OK(obi_case_upload(env, v, N * 4, &v_view));
    TEST_OK(obi_case_output(env, obi_svid_scratch_floats(&weight) * 4, &scratch));
    TEST_OK(obi_case_output(env, obi_svid_residual_floats(&weight) * 4, &partials));
    TEST_OK(obi_case_output(env, 4, &aa_view));
    TEST_OK(obi_case_output(env, 4, &bb_view));

    /* a = |W| b / (b.b) = u (v.b) / (b.b); then b = |W|T a / (a.a) = v (u.a) / (a.a) = v (b.b) / (v.b) */
    obi_cmd_begin(env->cmd);
    obi_op_svid_dot(env->cmd, bb_view, b_view, N);
    obi_op_svid_rows(env->cmd, a_view, &weight, b_view, bb_view, true);
    obi_op_svid_dot(env->cmd, aa_view, a_view, M);
    obi_op_svid_columns(env->cmd, b_view, scratch, &weight, a_view, aa_view, true);
    TEST_OK(obi_cmd_run(env->cmd));
    TEST_OK(obi_case_download(env, a_view, a, M * 4));
    TEST_OK(obi_case_download(env, b_view, b, N * 4));
    for (int i = 0; i < M; i++) assert_true(fabs((double)a[i] / ((double)u[i] * vb / bb) - 1) < 1e-4);
    for (int j = 0; j < N; j++) assert_true(fabs((double)b[j] / ((double)v[j] * bb / vb) - 1) < 1e-4);

    /* |W| - u vT is exactly 0; against u and b = 0 it is |W| itself: uu * vv */
    obi_cmd_begin(env->cmd);
    obi_op_svid_residual(env->cmd, partials, &weight, u_view, v_view, true);
    TEST_OK(obi_cmd_run(env->cmd));
    TEST_OK(obi_case_download(env, partials, host, partials.size));
    for (uint64_t i = 0; i < partials.size / 4; i++) assert_true(host[i] == 0.0f);
    obi_cmd_begin(env->cmd);
    obi_cmd_fill(env->cmd, b_view, 0);
    obi_op_svid_residual(env->cmd, partials, &weight, u_view, b_view, true);
    TEST_OK(obi_cmd_run(env->cmd));
    TEST_OK(obi_case_download(env, partials, host, partials.size));
    double sum = 0;
    for (uint64_t i = 0; i < partials.size / 4; i++) sum += (double)host[i];
    assert_true(fabs(sum / (uu * vv) - 1) < 1e-5);

    /* row sums and sums of squares */
    obi_view squares;
    TEST_OK(obi_case_output(env, M * 4, &squares));
    obi_cmd_begin(env->cmd);
    obi_op_svid_stats(env->cmd, a_view, squares, &weight);
    TEST_OK(obi_cmd_run(env->cmd));
    double v1 = 0;
    for (int j = 0; j < N; j++) v1 += (double)v[j];
    TEST_OK(obi_case_download(env, a_view, a, M * 4));
    for (int i = 0; i < M; i++) assert_true(fabs((double)a[i] / ((double)u[i] * v1) - 1) < 1e-5);
    TEST_OK(obi_case_download(env, squares, a, M * 4));
    for (int i = 0; i < M; i++) assert_true(fabs((double)a[i] / ((double)u[i] * (double)u[i] * vv) - 1) < 1e-5);
    test_device_check();
}

static void test_sign_pack(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    uint32_t *got = (uint32_t *)(void *)obi_case_zeros(env, (uint64_t)M * N / 32);
    assert_non_null(got);
    obi_view words;
    TEST_OK(obi_case_output(env, (uint64_t)weight.block_rows * N / 8, &words));
    for (uint32_t i = 0; i < weight.block_count; i++) {
        uint32_t first, count;
        (void)obi_weight_block(&weight, i, &first, &count);
        obi_cmd_begin(env->cmd);
        obi_op_sign_pack(env->cmd, words, &weight, i);
        TEST_OK(obi_cmd_run(env->cmd));
        TEST_OK(obi_case_download(env, words, got + (size_t)first * N / 32, (uint64_t)count * N / 8));
    }
    assert_memory_equal(got, large_bits, (size_t)M * N / 8);
    test_device_check();
}

/* The signs alone are 4.6 MB; cut into blocks of 1000 rows they must give the same bits as in one. */
static void test_signs_in_many_blocks(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    for (uint32_t T = 1; T <= 9; T += 8) {
        float *first = NULL;
        obi_case_env_clear(env);
        float *x = obi_case_normal(env, N * T, 1.0), *scales = obi_case_normal(env, obi_scales_floats(M, N), 1.0);
        assert_non_null(x);
        assert_non_null(scales);
        obi_view x_view, scales_view, y_view;
        TEST_OK(obi_case_upload(env, x, N * T * 4, &x_view));
        TEST_OK(obi_case_upload(env, scales, obi_scales_floats(M, N) * 4, &scales_view));
        static const uint32_t block_rows[] = { 0, 1000, 77 };
        for (int i = 0; i < 3; i++) {
            obi_weight signs;
            float *got = obi_case_zeros(env, M * T);
            assert_non_null(got);
            TEST_OK(obi_case_output(env, M * T * 4, &y_view));
            TEST_OK(obi_case_weight(env, OBI_WEIGHT_SIGN, M, N, block_rows[i], large_bits, &signs));
            uint32_t blocks = signs.block_count;
            obi_cmd_begin(env->cmd);
            obi_op_bitlinear_fwd(env->cmd, y_view, x_view, &signs, scales_view, T);
            obi_status status = obi_cmd_run(env->cmd);
            obi_weight_destroy(env->device, &signs);
            TEST_OK(status);
            TEST_OK(obi_case_download(env, y_view, got, M * T * 4));
            assert_int_equal(blocks, block_rows[i] ? (M + block_rows[i] - 1) / block_rows[i] : 1);
            if (first) assert_memory_equal(first, got, M * T * sizeof *got);
            else first = got;
        }
        float want[3];
        uint32_t at[3] = { 0, M / 2, M - 1 };
        for (int i = 0; i < 3; i++) {
            ref_bitlinear_fwd(&want[i], x, large_bits + (size_t)at[i] * N / 32, scales, scales + obi_scales_h_offset(N) + at[i], 1, N, 1);
            assert_true(fabs((double)first[at[i]] - (double)want[i]) < 0.5); /* the sums are about 64; a flipped sign is about 2 */
        }
    }
    test_device_check();
}

/* A vocabulary: many short rows. */
static void test_tall(void **state)
{
    (void)state;
    TEST_CASE(obi_case_dense_gemv_f32, 152064, 20, 1, 50000);
    TEST_CASE(obi_case_dense_gemv_f16, 152064, 20, 1, 50000);
    TEST_CASE(obi_case_bitlinear_gemv, 152064, 40, 1, 50000);
    TEST_CASE(obi_case_dense_gemm_f16, 152064, 3, 8, 50000);
    TEST_CASE(obi_case_bitlinear_gemm, 152064, 3, 8, 50000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_more_than_one_binding),
        cmocka_unit_test(test_one_binding_of_it_all),
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_svid_steps),
        cmocka_unit_test(test_sign_pack),
        cmocka_unit_test(test_signs_in_many_blocks),
        cmocka_unit_test(test_tall),
    };
    return test_device_finish(cmocka_run_group_tests(tests, set_up, tear_down));
}

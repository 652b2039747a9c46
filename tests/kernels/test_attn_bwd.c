/* test_attn_bwd: attention's gradient against runtime/ref, at every tier of this device. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "ops/op_attn.h"
#include "ops/op_attn_bwd.h"
#include "selftest/cases.h"

static void test_rope(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 2, 4, 32, 34, 64, 100, 256 };
    for (uint32_t layout = 0; layout < 2; layout++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            TEST_CASE(obi_case_attn_rope_bwd, 3, 5, sizes[i] + (uint32_t)(i % 2) * 3, sizes[i], 7 * (uint32_t)i, layout);
}

static void test_lengths(void **state)
{
    (void)state;
    static const uint32_t tokens[] = { 1, 2, 3, 4, 5, 31, 32, 33, 63, 64, 65, 100 };
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) TEST_CASE(obi_case_attn_stats_bwd, 1, tokens[i], 4, 2, 16);
    TEST_CASE(obi_case_attn_q_bwd, 1, 300, 1, 1, 8);
}

static void test_head_sizes(void **state)
{
    (void)state;
    static const uint32_t head_sizes[] = { 2, 6, 32, 62, 64, 66, 130, 256 };
    for (size_t i = 0; i < sizeof head_sizes / sizeof head_sizes[0]; i++) TEST_CASE(obi_case_attn_kv_bwd, 1, 21, 2, 1, head_sizes[i]);
    uint32_t *size = &test_device()->caps.workgroup_size, before = *size;
    *size = 32; /* more columns a lane */
    TEST_CASE(obi_case_attn_stats_bwd, 1, 70, 2, 1, 66);
    TEST_CASE(obi_case_attn_stats_bwd, 1, 9, 2, 1, 128);
    *size = before;
}

static void test_shared_heads_and_sequences(void **state)
{
    (void)state;
    TEST_CASE(obi_case_attn_kv_bwd, 1, 40, 6, 6, 8);
    TEST_CASE(obi_case_attn_kv_bwd, 1, 40, 6, 1, 8);
    TEST_CASE(obi_case_attn_kv_bwd, 2, 33, 6, 3, 8);
    TEST_CASE(obi_case_attn_stats_bwd, 3, 13, 3, 1, 6); /* parts whose sizes are no multiples of 64 floats */
    TEST_CASE(obi_case_attn_stats_bwd, 5, 1, 3, 3, 2);
}

/* The products of software drivers: whole blocks and parts of them, shared heads, heads that come in several rounds. */
static void test_straight(void **state)
{
    (void)state;
    TEST_CASE(obi_case_attn_rows_straight, 1, 32, 1, 1, 8);
    TEST_CASE(obi_case_attn_rows_straight, 2, 96, 3, 3, 16);
    TEST_CASE(obi_case_attn_rows_straight, 1, 128, 2, 1, 24);
    TEST_CASE(obi_case_attn_rows_straight, 2, 256, 4, 2, 32);
    TEST_CASE(obi_case_attn_rows_straight, 3, 512, 4, 2, 8);   /* two sequences at a time, by their memory, then one */
    TEST_CASE(obi_case_attn_rows_straight, 3, 32, 100, 50, 8); /* and by the grid */
    TEST_CASE(obi_case_attn_rows_straight, 1, 256, 5, 5, 8);
    TEST_CASE(obi_case_attn_rows_straight, 1, 288, 6, 2, 64);
    TEST_CASE(obi_case_attn_rows_straight, 1, 736, 3, 3, 8);
}

/* Scores far apart: no overflow, and the gradient of a query that sees one position only (in effect) is zero. */
static void test_extreme_scores(void **state)
{
    (void)state;
    enum { T = 96, C = 8, PART = T * C };
    obi_case_env *env = test_env();
    for (int tier = OBI_TIER_A; tier <= (int)env->device->tier && tier <= OBI_TIER_B; tier++) {
        obi_case_env_clear(env);
        env->device->kernel_tier[OBI_KERNEL_ATTN_STATS_BWD] = (obi_tier)tier;
        uint64_t bytes = obi_attn_parts_bytes(T, 1, 1, C);
        float *data = obi_case_normal(env, bytes / 4, 1.0), *dout_data = obi_case_normal(env, PART, 1.0),
              *got = obi_case_zeros(env, bytes / 4);
        obi_view none = { 0 }, qkv, dqkv, out, dout, stats;
        obi_attn_parts at = obi_attn_parts_of(none, T, 1, 1, C);
        for (int t = 0; t < T; t++)
            for (int c = 0; c < C; c++) {
                data[t * C + c] = c == 0 ? 1000.0f : 0.0f;
                data[at.k.offset / 4 + (uint64_t)(t * C + c)] = c == 0 ? (t == 3 ? 500.0f : -500.0f) : 1.0f;
            }
        TEST_OK(obi_case_upload(env, data, bytes, &qkv));
        TEST_OK(obi_case_upload(env, dout_data, sizeof(float) * PART, &dout));
        TEST_OK(obi_case_output(env, bytes, &dqkv));
        TEST_OK(obi_case_output(env, sizeof(float) * PART, &out));
        TEST_OK(obi_case_output(env, obi_attn_stats_bytes(T, 1), &stats));
        obi_attn_parts parts = obi_attn_parts_of(qkv, T, 1, 1, C);
        obi_cmd_begin(env->cmd);
        obi_op_attn_train_fwd(env->cmd, out, parts.q, parts.k, parts.v, 1, T, 1, 1, C);
        obi_op_attn_bwd(env->cmd, dqkv, stats, qkv, out, dout, 1, T, 1, 1, C);
        TEST_OK(obi_cmd_run(env->cmd));
        TEST_OK(obi_case_download(env, dqkv, got, bytes));
        for (int i = 3 * C; i < PART; i++) assert_true(fabsf(got[i]) < 0.1f); /* a rounding of the difference, times k = 500 */
        for (int c = 0; c < C; c++) { /* position 3 has the whole gradient of all that see it */
            double sum = 0;
            for (int t = 3; t < T; t++) sum += (double)dout_data[t * C + c];
            assert_true(fabs((double)got[at.v.offset / 4 + (uint64_t)(3 * C + c)] - sum) < 1e-4);
        }
        for (uint64_t i = 4 * C; i < PART; i++) assert_true(got[at.v.offset / 4 + i] == 0.0f);
    }
    env->device->kernel_tier[OBI_KERNEL_ATTN_STATS_BWD] = env->device->tier;
    test_device_check();
}

/* The same bits every time. */
static void test_repeatable(void **state)
{
    (void)state;
    enum { B = 2, T = 96, H = 4, K = 2, C = 16 };
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    uint64_t bytes = obi_attn_parts_bytes(B * T, H, K, C), count = B * T * H * C;
    float *data = obi_case_normal(env, bytes / 4, 1.0), *dout_data = obi_case_normal(env, count, 1.0);
    float *first = obi_case_zeros(env, bytes / 4), *again = obi_case_zeros(env, bytes / 4);
    obi_view qkv, dqkv, out, dout, stats;
    TEST_OK(obi_case_upload(env, data, bytes, &qkv));
    TEST_OK(obi_case_upload(env, dout_data, count * 4, &dout));
    TEST_OK(obi_case_output(env, bytes, &dqkv));
    TEST_OK(obi_case_output(env, count * 4, &out));
    TEST_OK(obi_case_output(env, obi_attn_stats_bytes(B * T, H), &stats));
    obi_attn_parts parts = obi_attn_parts_of(qkv, B * T, H, K, C);
    for (int round = 0; round < 5; round++) {
        obi_cmd_begin(env->cmd);
        obi_op_attn_train_fwd(env->cmd, out, parts.q, parts.k, parts.v, B, T, H, K, C);
        obi_op_attn_bwd(env->cmd, dqkv, stats, qkv, out, dout, B, T, H, K, C);
        TEST_OK(obi_cmd_run(env->cmd));
        TEST_OK(obi_case_download(env, dqkv, round ? again : first, bytes));
        if (round) assert_memory_equal(first, again, bytes);
    }
    test_device_check();
}

static void test_bad_sizes_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view view, two;
    TEST_OK(obi_case_output(env, 1 << 12, &view));
    TEST_OK(obi_case_output(env, 1 << 12, &two));
    static const uint32_t sizes[][5] = { /* B T H K C */
        { 1, 1, 4, 3, 8 }, { 1, 1, 4, 0, 8 }, { 1, 1, 1, 1, 7 }, { 1, 1, 1, 1, 258 }, { 1, 1u << 20, 1, 1, 8 }, { 0, 1, 1, 1, 8 },
        { 1, 0, 1, 1, 8 }, { 1, 30, 4, 1, 8 } };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        obi_cmd_begin(env->cmd);
        obi_op_attn_bwd(env->cmd, view, two, two, two, two, sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], sizes[i][4]);
        assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    }
    assert_non_null(strstr(obi_last_error(), "stats: qkv must have"));
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_head_sizes),
        cmocka_unit_test(test_shared_heads_and_sequences),
        cmocka_unit_test(test_straight),
        cmocka_unit_test(test_extreme_scores),
        cmocka_unit_test(test_repeatable),
        cmocka_unit_test(test_bad_sizes_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

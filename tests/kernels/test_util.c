/* test_util: top-k and the largest against runtime/ref: exact ids and values. */
#include "device.h"

#include <string.h>

#include "ops/op_util.h"
#include "selftest/cases.h"

static void test_topk(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 1, 31, 32, 33, 64, 65, 1000, 1023, 1024, 1025, 2048, 4096, 32000, 262144 + 1 };
    static const uint32_t keeps[] = { 2, 40, 128 };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (size_t j = 0; j < sizeof keeps / sizeof keeps[0]; j++)
            for (uint32_t hostile = 0; hostile < 2; hostile++) {
                if (keeps[j] > counts[i]) continue;
                TEST_CASE(obi_case_util_topk, counts[i], keeps[j], hostile);
            }
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (uint32_t hostile = 0; hostile < 2; hostile++) TEST_CASE(obi_case_util_argmax, counts[i], 1, hostile);
    uint32_t *limit = &test_device()->caps.workgroup_count[0], before = *limit;
    *limit = 3; /* a folded grid, without 67 million elements */
    TEST_CASE(obi_case_util_topk, 4 * 16384 + 1, 7, 0);
    TEST_CASE(obi_case_util_argmax, 4 * 32768 + 1, 1, 0);
    *limit = before;
    TEST_CASE(obi_case_util_topk, 33, 33, 1); /* everything, NaN included */
    TEST_CASE(obi_case_util_topk, 128, 128, 1);
}

/* Runs top-k over `logits`. */
static void run(const float *logits, uint32_t V, uint32_t k, obi_topk_pair *pairs)
{
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view in, scratch, out;
    TEST_OK(obi_case_upload(env, logits, (uint64_t)V * 4, &in));
    TEST_OK(obi_case_output(env, obi_op_topk_scratch_bytes(V, k), &scratch));
    TEST_OK(obi_case_output(env, k * sizeof *pairs, &out));
    obi_cmd_begin(env->cmd);
    obi_op_topk_fwd(env->cmd, out, in, scratch, V, k);
    TEST_OK(obi_cmd_run(env->cmd));
    TEST_OK(obi_case_download(env, out, pairs, k * sizeof *pairs));
    test_device_check();
}

static void test_equal_values_come_in_order_of_their_ids(void **state)
{
    (void)state;
    enum { V = 5000, K = 100 };
    static float logits[V];
    obi_topk_pair pairs[K];
    for (int i = 0; i < V; i++) logits[i] = -1.0f;
    logits[4999] = 3.0f;
    run(logits, V, 1, pairs);
    assert_int_equal(pairs[0].id, 4999);
    logits[4999] = -1.0f;
    run(logits, V, 1, pairs);
    assert_int_equal(pairs[0].id, 0);
    logits[4999] = 3.0f;
    run(logits, V, K, pairs);
    assert_int_equal(pairs[0].id, 4999);
    for (uint32_t i = 1; i < K; i++) assert_int_equal(pairs[i].id, i - 1);
}

/* Logits that are not thinned by the first sieve: all the largest in one of the strided parts, or in order. */
static void test_what_is_hard_to_thin(void **state)
{
    (void)state;
    enum { V = 32000, K = 128 };
    static float logits[V];
    obi_topk_pair pairs[K];
    for (int kind = 0; kind < 4; kind++)
        for (uint32_t k = 2; k <= K; k += 63) {
            for (uint32_t i = 0; i < V; i++) {
                uint32_t in_row = i / 256, row = i % 256;
                if (kind == 0) logits[i] = (float)i;
                if (kind == 1) logits[i] = -(float)i;
                if (kind == 2) logits[i] = row < k - 1 ? 1e6f + (float)i : (float)in_row; /* more than a list, all before the sieve */
                if (kind == 3) logits[i] = row == 7 ? 1e6f - (float)i : -(float)i;
            }
            run(logits, V, k, pairs);
            for (uint32_t i = 0; i < k; i++) {
                uint32_t want = kind == 0 ? V - 1 - i : kind == 1 ? i : kind == 2 ? 0 : i < 125 ? 256 * i + 7 : i - 125;
                if (kind == 2) /* the last rows of the first k - 1 parts, from behind */
                    want = (V / 256 - 1 - i / (k - 1)) * 256 + (k - 2 - i % (k - 1));
                assert_int_equal(pairs[i].id, want);
            }
        }
}

static void test_bad_sizes_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view view;
    TEST_OK(obi_case_output(env, 1 << 16, &view));
    static const uint32_t sizes[][2] = { { 100, 0 }, { 100, 129 }, { 10, 11 }, { 100000, 5 } };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        obi_cmd_begin(env->cmd);
        obi_op_topk_fwd(env->cmd, view, view, view, sizes[i][0], sizes[i][1]);
        assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
        assert_non_null(strstr(obi_last_error(), "top-k"));
    }
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topk),
        cmocka_unit_test(test_equal_values_come_in_order_of_their_ids),
        cmocka_unit_test(test_what_is_hard_to_thin),
        cmocka_unit_test(test_bad_sizes_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

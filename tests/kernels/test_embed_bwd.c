/* test_embed_bwd: the gradient of the embedding lookup against runtime/ref, with one and with many row blocks. */
#include "device.h"

#include <string.h>

#include "ops/op_embed_bwd.h"
#include "selftest/cases.h"

static void test_widths(void **state)
{
    (void)state;
    static const uint32_t widths[] = { 1, 2, 31, 32, 33, 63, 64, 65, 100, 129, 1000, 4096 };
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) TEST_CASE(obi_case_embed_scatter_bwd, 19, 7, widths[i], 0);
}

static void test_token_counts(void **state)
{
    (void)state;
    static const uint32_t tokens[] = { 1, 2, 3, 5, 31, 33, 64, 100, 1000 };
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        TEST_CASE(obi_case_embed_scatter_bwd, tokens[i], 13, 5, 0);
        TEST_CASE(obi_case_embed_scatter_bwd, tokens[i], 1, 5, 0);
    }
}

static void test_row_blocks(void **state)
{
    (void)state;
    TEST_CASE(obi_case_embed_scatter_bwd, 200, 97, 33, 33 * 4);      /* a row a block */
    TEST_CASE(obi_case_embed_scatter_bwd, 40, 97, 64, 10 * 64 * 4);  /* the last block is short */
}

/* The grid folded, by a lowered limit. */
static void test_folded_grid(void **state)
{
    (void)state;
    uint32_t *limit = &test_device()->caps.workgroup_count[0], before = *limit;
    *limit = 7;
    TEST_CASE(obi_case_embed_scatter_bwd, 60, 50, 130, 0);
    *limit = before;
}

static void test_plan(void **state)
{
    (void)state;
    enum { T = 8 };
    static const uint32_t ids[T] = { 5, 2, 5, 9, 0, 2, 5, 0xffffffffu };
    static const uint32_t want[OBI_EMBED_PLAN_WORDS(T)] = { 4, 1, 5, 0, 2, 6, 0, 0, /**/ 0, 1, 3, 6, 0, 0, 0, 0, 0, /**/ 0, 2, 5 };
    uint32_t plan[OBI_EMBED_PLAN_WORDS(T)], distinct;
    memset(plan, 0xff, sizeof plan);
    TEST_OK(obi_embed_plan(plan, &distinct, ids, T, 9));
    assert_int_equal(distinct, 3);
    assert_memory_equal(plan, want, sizeof plan);
    TEST_OK(obi_embed_plan(plan, &distinct, ids, T, 0));
    assert_int_equal(distinct, 0);
    (void)test_device();
}

static void test_bad_arguments_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view dx, plan;
    obi_weight half, table;
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_F16, 4, 32, 0, &half));
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_F32, 4, 32, 0, &table));
    TEST_OK(obi_case_output(env, 32 * 10 * 4, &dx));
    TEST_OK(obi_case_output(env, 31 * 4, &plan));
    obi_cmd_begin(env->cmd);
    obi_op_embed_scatter_add(env->cmd, &half, dx, plan, 10, 1);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "must be F32"));
    obi_cmd_begin(env->cmd);
    obi_op_embed_scatter_add(env->cmd, &table, dx, plan, 11, 1);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    obi_cmd_begin(env->cmd);
    obi_op_embed_scatter_add(env->cmd, &table, dx, plan, 9, 10);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    obi_cmd_begin(env->cmd);
    obi_op_embed_scatter_add(env->cmd, &table, dx, plan, 10, 0); /* nothing to do */
    TEST_OK(obi_cmd_run(env->cmd));
    assert_int_equal(obi_cmd_dispatches(env->cmd), 0);
    obi_weight_destroy(env->device, &half);
    obi_weight_destroy(env->device, &table);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widths),      cmocka_unit_test(test_token_counts), cmocka_unit_test(test_row_blocks),
        cmocka_unit_test(test_folded_grid), cmocka_unit_test(test_plan),         cmocka_unit_test(test_bad_arguments_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

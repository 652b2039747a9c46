/* test_rate: the kernel that measures arithmetic against runtime/ref: a rate counts only if the work was done. */
#include "device.h"

#include "ops/op_rate.h"
#include "selftest/cases.h"

static void test_multiply_add(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 1, 31, 32, 33, 63, 64, 65, 100, 1000, 4096 }, turns[] = { 1, 2, 7, 100 };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (size_t k = 0; k < sizeof turns / sizeof *turns; k++) TEST_CASE(obi_case_rate_multiply_add, counts[i], turns[k]);
    TEST_CASE(obi_case_rate_multiply_add, 65535 * 64 + 65, 1); /* a folded grid */
    TEST_CASE(obi_case_rate_multiply_add, 1, 65535);
}

static void refuses(uint32_t turns, uint64_t count)
{
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view y;
    TEST_OK(obi_case_output(env, 64 * 4, &y));
    obi_cmd_begin(env->cmd);
    obi_op_rate_multiply_add(env->cmd, y, count, turns, 0.5f, 1);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
}

static void test_refused(void **state)
{
    (void)state;
    refuses(0, 64);
    refuses(65536, 64);
    refuses(1, 65);
    refuses(1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_multiply_add), cmocka_unit_test(test_refused) };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

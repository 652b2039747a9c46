/* test_planes_fwd: outputs from the products of several sign planes against runtime/ref. The products themselves are test_bitlinear's, and
 * whole models of planes test_onebit's. */
#include "device.h"

#include <string.h>

#include "ops/op_planes.h"
#include "selftest/cases.h"

static void test_sizes(void **state)
{
    (void)state;
    static const uint32_t outputs[] = { 1, 31, 32, 33, 64, 1000, 4096 }, tokens[] = { 1, 7, 37 };
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        for (size_t j = 0; j < sizeof tokens / sizeof *tokens; j++)
            for (uint32_t planes = 1; planes <= 4; planes++)
                TEST_CASE(obi_case_bitlinear_planes, outputs[i], planes, tokens[j], planes % 2);
    TEST_CASE(obi_case_bitlinear_planes, 33, 2, 5, 1);
    TEST_CASE(obi_case_bitlinear_planes, 33, 3, 5, 0);
    for (uint32_t i = 0; i < 8; i++) TEST_CASE(obi_case_bitlinear_planes, 1 + 61 * i, 1 + i % 4, 1 + 2 * i, i / 4, 2 + i % 2);
    uint32_t *limit = &test_device()->caps.workgroup_count[0], before = *limit;
    *limit = 3; /* a folded grid */
    TEST_CASE(obi_case_bitlinear_planes, 1000, 2, 3, 1, 3);
    *limit = before;
}

static void refused(obi_view y, obi_view stack, obi_view c, uint32_t m, uint32_t planes, uint32_t T, const char *words)
{
    obi_cmd *cmd = test_env()->cmd;
    obi_cmd_begin(cmd);
    obi_op_planes_fwd(cmd, &(obi_planes_part){ y, stack, c, m }, 1, planes, T);
    assert_int_equal(obi_cmd_run(cmd), OBI_ERROR_ARGUMENT);
    if (!strstr(obi_last_error(), words)) fail_msg("\"%s\" does not say \"%s\"", obi_last_error(), words);
}

static void test_wrong_sizes(void **state)
{
    (void)state;
    obi_view y, stack, c, none = { 0 };
    obi_case_env_clear(test_env());
    TEST_OK(obi_case_output(test_env(), 4 * 10, &y));
    TEST_OK(obi_case_output(test_env(), 4 * 21, &stack));
    TEST_OK(obi_case_output(test_env(), 4 * 9, &c));
    refused(y, stack, c, 10, 2, 1, "the offset");
    refused(y, stack, none, 11, 1, 1, "y must have");
    refused(y, stack, none, 10, 3, 1, "the stack must have");
    refused(y, stack, none, 10, 0, 1, "too many");
    refused(y, stack, none, 1u << 30, 4, 1, "too many");
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_sizes), cmocka_unit_test(test_wrong_sizes) };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

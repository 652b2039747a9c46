/* test_embed: the embedding lookup against runtime/ref, F32 and F16, with one and with many row blocks. */
#include "device.h"

#include <string.h>

#include "ops/op_embed.h"
#include "selftest/cases.h"

static const obi_case *const cases[] = { &obi_case_embed_gather_f32, &obi_case_embed_gather_f16 };

static void test_widths(void **state)
{
    (void)state;
    static const uint32_t widths[] = { 1, 2, 31, 32, 33, 63, 64, 65, 100, 127, 129, 1000, 4096 };
    for (size_t c = 0; c < 2; c++)
        for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) TEST_CASE(*cases[c], 9, 13, widths[i], 0);
}

static void test_row_blocks(void **state)
{
    (void)state;
    for (size_t c = 0; c < 2; c++) {
        TEST_CASE(*cases[c], 40, 97, 33, 33 * 4);      /* a row or two a block */
        TEST_CASE(*cases[c], 40, 97, 64, 10 * 64 * 4); /* the last block is short */
        TEST_CASE(*cases[c], 1, 1, 5, 0);
    }
}

/* More tokens than one grid axis has. */
static void test_many_tokens(void **state)
{
    (void)state;
    for (size_t c = 0; c < 2; c++) TEST_CASE(*cases[c], 65535 + 3, 11, 3, 0);
}

static void test_tables_of_signs_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view view;
    obi_weight table;
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_SIGN, 4, 32, 0, &table));
    TEST_OK(obi_case_output(env, 4096, &view));
    obi_cmd_begin(env->cmd);
    obi_op_embed_gather_fwd(env->cmd, view, view, &table, 1);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "F32 or F16"));
    obi_weight_destroy(env->device, &table);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_row_blocks),
        cmocka_unit_test(test_many_tokens),
        cmocka_unit_test(test_tables_of_signs_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

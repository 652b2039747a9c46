/* test_grid: uniform quantisation and the gradient of its steps against runtime/ref, at every tier of this device. */
#include "device.h"

#include "selftest/cases.h"

static const uint32_t lengths[] = { 1, 31, 32, 33, 1000, 4096 };

static void all_sizes(const obi_case *test)
{
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) TEST_CASE(*test, 7, lengths[i], 0, 0, 1); /* a grid for each row */
    TEST_CASE(*test, 1000, 70, 501, 64, 2); /* a last group that is shorter, and row blocks */
    TEST_CASE(*test, 3, 1000, 2, 32, 4);
}

static void test_round(void **state)
{
    (void)state;
    all_sizes(&obi_case_grid_round);
    TEST_CASE(obi_case_grid_round, 65536 * 2 + 3, 33, 0, 0, 3); /* more workgroups than a grid axis has; the others fold theirs alike */
}

static void test_round_bwd(void **state)
{
    (void)state;
    all_sizes(&obi_case_grid_round_bwd);
    TEST_CASE(obi_case_grid_round_bwd, 2, 65536, 0, 0, 2); /* the longest group */
}

static void test_extremes(void **state)
{
    (void)state;
    all_sizes(&obi_case_grid_extremes);
    TEST_CASE(obi_case_grid_extremes, 2, 65536, 0, 0, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_round), cmocka_unit_test(test_round_bwd), cmocka_unit_test(test_extremes) };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

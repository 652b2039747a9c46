/* test_dense_bwd: dx = dy W and dW += dy^T x against runtime/ref. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "ops/op_dense.h"
#include "ops/op_dense_bwd.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const uint32_t counts[] = { 1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 128, 129 };

static void bwd_x(const obi_case *test)
{
    for (uint32_t i = 0; i < COUNT(counts); i++) {
        TEST_CASE(*test, counts[i], 37, 9, 0, i % 2);
        TEST_CASE(*test, 40, counts[i], 11);
        TEST_CASE(*test, 20, 24, counts[i]);
    }
    TEST_CASE(*test, 1000, 68, 33);
    TEST_CASE(*test, 68, 1000, 40, 30, 1);
    TEST_CASE(*test, 130, 96, 65, 1);
    TEST_CASE(*test, 130, 333, 33, 129);
    TEST_CASE(*test, 40, 768, 704); /* enough for the large tiles */
    TEST_CASE(*test, 65536 + 70, 5, 8);
    TEST_CASE(*test, 3, 8200, 9); /* past the grid of one dispatch on a software driver, along each side */
    TEST_CASE(*test, 3, 5, 8200);
}

static void test_bwd_x_f32(void **state) { (void)state; bwd_x(&obi_case_dense_bwd_x_f32); }
static void test_bwd_x_f16(void **state) { (void)state; bwd_x(&obi_case_dense_bwd_x_f16); }
static void test_turn_straight(void **state) { (void)state; bwd_x(&obi_case_dense_turn_straight); }
static void test_bwd_x_f16_straight(void **state) { (void)state; bwd_x(&obi_case_dense_bwd_x_f16_straight); }

static void bwd_w(const obi_case *test)
{
    for (uint32_t i = 0; i < COUNT(counts); i++) {
        TEST_CASE(*test, counts[i], 37, 9);
        TEST_CASE(*test, 40, counts[i], 11);
        TEST_CASE(*test, 20, 24, counts[i]);
    }
    TEST_CASE(*test, 68, 1000, 33);
    TEST_CASE(*test, 130, 96, 65, 1);
    TEST_CASE(*test, 130, 333, 33, 129);
    TEST_CASE(*test, 768, 704, 40);
    TEST_CASE(*test, 8, 5, 65536 + 70);
    TEST_CASE(*test, 16400, 3, 5);
    TEST_CASE(*test, 3, 8200, 5);
}

static void test_bwd_w(void **state) { (void)state; bwd_w(&obi_case_dense_bwd_w); }
static void test_bwd_w_straight(void **state) { (void)state; bwd_w(&obi_case_dense_bwd_w_straight); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bwd_x_f32),
        cmocka_unit_test(test_bwd_x_f16),
        cmocka_unit_test(test_bwd_w),
        cmocka_unit_test(test_turn_straight),
        cmocka_unit_test(test_bwd_x_f16_straight),
        cmocka_unit_test(test_bwd_w_straight),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

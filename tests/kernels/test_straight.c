/* test_straight: the row kernels of software drivers against runtime/ref, at sizes that take one chunk, several, and several
 * dispatches. Where a device has no such kernels the cases pass at once, as its ops do not take them either; lavapipe with 8
 * lanes, which every test run has, does. The products of software drivers are in the tests of their ops. */
#include "device.h"

#include "selftest/cases.h"

static const uint32_t shapes[][2] = { { 16, 32 }, { 32, 128 }, { 48, 160 }, { 16, 352 }, { 4096, 96 }, { 80, 1376 }, { 16, 8 }, { 32, 688 } };
#define SHAPES (sizeof shapes / sizeof shapes[0])

static void test_norms(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        TEST_CASE(obi_case_norm_rmsnorm_straight, shapes[i][0], shapes[i][1]);
        for (uint32_t way = 0; way < 2; way++) { /* in place, or added to what is there */
            TEST_CASE(obi_case_norm_rmsnorm_bwd_straight, shapes[i][0], shapes[i][1], way);
            TEST_CASE(obi_case_norm_layernorm_straight, shapes[i][0], shapes[i][1], way);
            TEST_CASE(obi_case_norm_layernorm_bwd_straight, shapes[i][0], shapes[i][1], way);
        }
    }
}

static void test_hidden(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++)
        for (uint32_t kind = 0; kind < 2; kind++) TEST_CASE(obi_case_loss_hidden_straight, shapes[i][0], shapes[i][1], kind);
}

static void test_kd(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) TEST_CASE(obi_case_loss_kd_straight, shapes[i][0], shapes[i][1]);
    TEST_CASE(obi_case_loss_kd_straight, 16, 32000);
}

static void test_elements(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        TEST_CASE(obi_case_bitlinear_scale_columns_straight, shapes[i][0], shapes[i][1], 0);
        TEST_CASE(obi_case_bitlinear_scale_columns_straight, shapes[i][0], shapes[i][1], 1);
    }
    static const uint32_t counts[] = { 2048, 6144, 128 * 4096 };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        TEST_CASE(obi_case_act_add_straight, counts[i]);
        TEST_CASE(obi_case_act_swiglu_straight, counts[i]);
        TEST_CASE(obi_case_act_swiglu_bwd_straight, counts[i]);
    }
}

/* The shape decides; what it refuses goes the usual way and is right too. */
static void test_other_shapes(void **state)
{
    (void)state;
    TEST_CASE(obi_case_norm_rmsnorm_straight, 15, 32);
    TEST_CASE(obi_case_norm_layernorm_bwd_straight, 16, 33, 1);
    TEST_CASE(obi_case_act_swiglu_bwd_straight, 2049);
    TEST_CASE(obi_case_loss_hidden_straight, 15, 32, 0);
    TEST_CASE(obi_case_loss_hidden_straight, 16, 33, 1);
    TEST_CASE(obi_case_loss_kd_straight, 17, 256);
    TEST_CASE(obi_case_loss_kd_straight, 16, 257);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_kd),
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_other_shapes),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

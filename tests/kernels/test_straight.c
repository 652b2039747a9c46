/* test_straight: the row kernels of software drivers against runtime/ref, at sizes that take one chunk, several, and several
 * dispatches. Where a device has no such kernels the cases pass at once, as its ops do not take them either; lavapipe with 8
 * lanes, which every test run has, must have them. The products of software drivers are in the tests of their ops. */
#include "device.h"

#include <string.h>

#include "ops/op_attn.h"
#include "ops/op_optim.h"
#include "ops/sign_family.h"
#include "selftest/cases.h"

static const uint32_t shapes[][2] = { { 16, 32 }, { 4096, 96 }, { 80, 1376 }, { 16, 8 }, { 32, 688 } };
#define SHAPES (sizeof shapes / sizeof shapes[0])

/* Cases of kernels that a device lacks pass in silence, those of products with signs in tiles and of attention too: not here. */
static void test_lavapipe_of_eight_lanes_has_them(void **state)
{
    (void)state;
    const obi_device *device = test_device();
    const obi_caps *caps = &device->caps;
    if (strstr(caps->driver, "llvmpipe") && caps->subgroup_size == 8 && !getenv("ONEBIT_PROFILE")) assert_true(caps->straight);
    assert_int_equal(obi_sign_family_offered(device, OBI_SIGN_STRAIGHT, NULL), caps->straight);
    assert_int_equal(obi_op_attn_by_heads(device, OBI_KV_F32, 14, 6, 16, 64), caps->straight);
}

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

static const uint32_t flat_counts[] = { 1024, 1025, 2047, 10240, 1024 * 256, 1024 * 300 + 77, 1024 * 512 + 1024 };
#define FLAT_COUNTS (sizeof flat_counts / sizeof flat_counts[0])

static void test_optim(void **state)
{
    (void)state;
    for (size_t i = 0; i < FLAT_COUNTS; i++) {
        TEST_CASE(obi_case_optim_adamw_straight, flat_counts[i]);
        TEST_CASE(obi_case_optim_estimator_straight, flat_counts[i], (uint32_t)i % OBI_ESTIMATOR_COUNT);
        for (uint32_t accumulate = 0; accumulate < 2; accumulate++) TEST_CASE(obi_case_optim_sumsq_straight, flat_counts[i], accumulate);
    }
    TEST_CASE(obi_case_optim_sumsq_straight, 1024 * 2070 + 5, 1); /* several dispatches */
}

static void test_sign_pack(void **state)
{
    (void)state;
    static const uint32_t packed[][3] = { { 128, 32, 0 }, { 2, 2048, 0 }, { 64, 96, 0 }, { 192, 64, 64 },
                                          { 256, 512, 100 }, { 64, 33, 0 } };
    for (size_t i = 0; i < sizeof packed / sizeof packed[0]; i++)
        TEST_CASE(obi_case_svid_sign_pack_straight, packed[i][0], packed[i][1], packed[i][2]);
    TEST_CASE(obi_case_svid_sign_pack_straight, 1024, 1184); /* more workgroups than lie along an axis, and a row that is not full */
}

/* A run that goes on with the other kernels goes on the same way. */
static void test_adamw_is_the_same_bits(void **state)
{
    (void)state;
    enum { N = 3000 };
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    const obi_adamw step = { 3e-3f, 0.9f, 0.98f, 1e-8f, 0.1f, 0.271f, 0.0588f, 0.7f };
    float *start[4], *got[2] = { obi_case_zeros(env, N), obi_case_zeros(env, N) };
    for (int i = 0; i < 4; i++) assert_non_null(start[i] = obi_case_normal(env, N, 0.1));
    for (int i = 0; i < N; i++) start[3][i] *= start[3][i];
    bool *straight = &test_device()->caps.straight, before = *straight;
    obi_view view[2][4];
    for (int form = 0; form < 2; form++) {
        for (int i = 0; i < 4; i++) TEST_OK(obi_case_upload(env, start[i], N * sizeof(float), &view[form][i]));
        *straight = before && form == 1;
        obi_cmd_begin(env->cmd);
        obi_op_adamw(env->cmd, view[form][0], view[form][1], view[form][2], view[form][3], N, &step);
        *straight = before;
        TEST_OK(obi_cmd_run(env->cmd));
    }
    for (int i = 0; i < 4; i++) {
        for (int form = 0; form < 2; form++) TEST_OK(obi_case_download(env, view[form][i], got[form], N * sizeof(float)));
        assert_memory_equal(got[0], got[1], N * sizeof(float));
    }
    test_device_check();
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
        cmocka_unit_test(test_lavapipe_of_eight_lanes_has_them),
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_kd),
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_optim),
        cmocka_unit_test(test_sign_pack),
        cmocka_unit_test(test_adamw_is_the_same_bits),
        cmocka_unit_test(test_other_shapes),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

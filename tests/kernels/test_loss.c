/* test_loss: the training losses against runtime/ref, at every tier of this device. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "ops/op_loss.h"
#include "selftest/cases.h"

static const uint32_t lengths[] = { 1, 2, 31, 32, 33, 63, 64, 65, 100, 129, 1000, 4096 };
#define LENGTHS (sizeof lengths / sizeof lengths[0])

static void test_xent(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTHS; i++) TEST_CASE(obi_case_loss_xent, 5, lengths[i]);
    TEST_CASE(obi_case_loss_xent, 1, 50001);
}

static void test_kd_xent(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTHS; i++) TEST_CASE(obi_case_loss_kd_xent, 4, lengths[i]);
    TEST_CASE(obi_case_loss_kd_xent, 1, 50001);
}

static void test_hidden(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < 2; kind++) {
        for (size_t i = 0; i < LENGTHS; i++) TEST_CASE(obi_case_loss_hidden, 5, lengths[i], kind);
        TEST_CASE(obi_case_loss_hidden, 130, 65, kind);
    }
}

/* The grid is folded, and the reductions have other workgroup sizes. */
static void test_grids_and_workgroups(void **state)
{
    (void)state;
    obi_device *device = test_device();
    uint32_t *limit = &device->caps.workgroup_count[0], *size = &device->caps.workgroup_size, before = *limit, size_before = *size;
    *limit = 20;
    TEST_CASE(obi_case_loss_xent, 21, 5);
    TEST_CASE(obi_case_loss_kd_xent, 41, 5);
    TEST_CASE(obi_case_loss_hidden, 21, 5, OBI_HIDDEN_COS);
    *limit = before;
    for (*size = 1; *size < 64; *size *= 4) {
        TEST_CASE(obi_case_loss_xent, 4, 61);
        TEST_CASE(obi_case_loss_kd_xent, 4, 61);
        TEST_CASE(obi_case_loss_hidden, 4, 61, OBI_HIDDEN_COS);
    }
    *size = size_before;
}

static void use_tier(int kernel, int tier) { test_device()->kernel_tier[kernel] = (obi_tier)tier; }

/* A student that has its teacher's logits has no divergence and no gradient, to the bit. */
static void test_a_student_like_its_teacher_learns_nothing(void **state)
{
    (void)state;
    enum { T = 3, V = 1003 };
    obi_case_env *env = test_env();
    for (int tier = OBI_TIER_A; tier <= (int)env->device->tier && tier <= OBI_TIER_B; tier++) {
        obi_case_env_clear(env);
        use_tier(OBI_KERNEL_LOSS_KD_XENT, tier);
        float *logits = obi_case_normal(env, T * V, 5.0), *got = obi_case_zeros(env, T * V), loss[2 * T];
        uint32_t mask[T] = { 0 };
        obi_view student, teacher, mask_view, loss_view;
        TEST_OK(obi_case_upload(env, logits, sizeof(float) * T * V, &student));
        TEST_OK(obi_case_upload(env, logits, sizeof(float) * T * V, &teacher));
        TEST_OK(obi_case_upload(env, mask, sizeof mask, &mask_view));
        TEST_OK(obi_case_output(env, sizeof loss, &loss_view));
        obi_cmd_begin(env->cmd);
        obi_op_kd_xent(env->cmd, loss_view, student, teacher, mask_view, T, V, 20.48f);
        TEST_OK(obi_cmd_run(env->cmd));
        TEST_OK(obi_case_download(env, student, got, sizeof(float) * T * V));
        TEST_OK(obi_case_download(env, loss_view, loss, sizeof loss));
        for (int i = 0; i < T * V; i++) assert_true(got[i] == 0.0f);
        for (int t = 0; t < T; t++) assert_true(loss[2 * t] == 0.0f && loss[2 * t + 1] > 0.0f);
    }
    use_tier(OBI_KERNEL_LOSS_KD_XENT, env->device->tier);
    test_device_check();
}

/* The ends of the hidden term: 0 for the same row, 4 for the opposite one; and no gradient at the first. */
static void test_the_ends_of_the_hidden_term(void **state)
{
    (void)state;
    enum { T = 2, D = 777 };
    obi_case_env *env = test_env();
    for (int tier = OBI_TIER_A; tier <= (int)env->device->tier && tier <= OBI_TIER_B; tier++) {
        obi_case_env_clear(env);
        use_tier(OBI_KERNEL_LOSS_HIDDEN, tier);
        float *teacher = obi_case_normal(env, T * D, 2.0), *student = obi_case_zeros(env, T * D), *zeros = obi_case_zeros(env, T * D);
        float *got = obi_case_zeros(env, T * D), loss[T];
        for (int i = 0; i < D; i++) {
            student[i] = teacher[i];
            student[D + i] = -8 * teacher[D + i];
        }
        obi_view student_view, teacher_view, dh, loss_view;
        TEST_OK(obi_case_upload(env, student, sizeof(float) * T * D, &student_view));
        TEST_OK(obi_case_upload(env, teacher, sizeof(float) * T * D, &teacher_view));
        TEST_OK(obi_case_upload(env, zeros, sizeof(float) * T * D, &dh));
        TEST_OK(obi_case_output(env, (T + 1) * sizeof(float), &loss_view));
        obi_cmd_begin(env->cmd);
        obi_op_hidden(env->cmd, loss_view, dh, student_view, teacher_view, loss_view, T, D, 3.0f, OBI_HIDDEN_COS);
        TEST_OK(obi_cmd_run(env->cmd));
        TEST_OK(obi_case_download(env, dh, got, sizeof(float) * T * D));
        TEST_OK(obi_case_download(env, loss_view, loss, sizeof loss));
        assert_true(loss[0] == 0.0f);
        assert_true(fabsf(loss[1] - 4) < 1e-5f);
        for (int i = 0; i < D; i++) assert_true(got[i] == 0.0f);
    }
    use_tier(OBI_KERNEL_LOSS_HIDDEN, env->device->tier);
    test_device_check();
}

/* Logits far apart overflow nothing; a NaN among them comes through, so that the trainer sees it. */
static void test_extreme_logits(void **state)
{
    (void)state;
    enum { T = 3, V = 70 };
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    float *logits = obi_case_zeros(env, T * V), *got = obi_case_zeros(env, T * V), loss[T];
    uint32_t targets[T] = { 3, 4, 5 };
    for (int i = 0; i < V; i++) logits[i] = logits[V + i] = i == 3 ? 3e38f : -3e38f;
    logits[V + 3] = 1e4f;
    logits[V + 4] = -1e4f;
    logits[2 * V + 9] = NAN;
    obi_view view, targets_view, loss_view;
    TEST_OK(obi_case_upload(env, logits, sizeof(float) * T * V, &view));
    TEST_OK(obi_case_upload(env, targets, sizeof targets, &targets_view));
    TEST_OK(obi_case_output(env, sizeof loss, &loss_view));
    obi_cmd_begin(env->cmd);
    obi_op_xent(env->cmd, loss_view, view, targets_view, T, V, 1.0f);
    TEST_OK(obi_cmd_run(env->cmd));
    TEST_OK(obi_case_download(env, view, got, sizeof(float) * T * V));
    TEST_OK(obi_case_download(env, loss_view, loss, sizeof loss));
    for (int i = 0; i < V; i++) {
        assert_true(fabsf(got[i]) < 1e-6f);
        assert_true(fabsf(got[V + i] - (i == 3 ? 1.0f : i == 4 ? -1.0f : 0.0f)) < 1e-6f);
    }
    assert_true(fabsf(loss[0]) < 1e-5f);
    assert_true(fabsf(loss[1] - 2e4f) < 1.0f);
    assert_true(isnan(loss[2]) && isnan(got[2 * V]));
    test_device_check();
}

static void test_sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view view;
    TEST_OK(obi_case_output(env, 4 * 100, &view));
    obi_cmd_begin(env->cmd);
    obi_op_xent(env->cmd, view, view, view, 2, 51, 1);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "xent: logits must have 2 x 51 elements"));
    obi_cmd_begin(env->cmd);
    obi_op_kd_xent(env->cmd, view, view, view, view, 51, 1, 1);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    obi_cmd_begin(env->cmd);
    obi_op_hidden(env->cmd, view, view, view, view, view, 10, 10, 1, (obi_hidden_kind)2);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    obi_cmd_begin(env->cmd);
    obi_op_hidden(env->cmd, view, view, view, view, view, 100, 1, 1, OBI_HIDDEN_COS); /* loss has one element more */
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xent),
        cmocka_unit_test(test_kd_xent),
        cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_grids_and_workgroups),
        cmocka_unit_test(test_a_student_like_its_teacher_learns_nothing),
        cmocka_unit_test(test_the_ends_of_the_hidden_term),
        cmocka_unit_test(test_extreme_logits),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

/* test_sign_family: products of activations in bytes against their reference and against the exact ones; which family a matrix
 * gets, by what was kept, by ONEBIT_KERNEL, by a trial; and what happens to a family that does not work. */
#include "device.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "core/log.h"
#include "ops/gemv_int8.h"
#include "ops/gemv_table.h"
#include "ops/op_bitlinear.h"
#include "ops/sign_gemv.h"
#include "ops/sign_trial.h"
#include "ref/ref_bitlinear.h"
#include "scratch.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- which there must be ------------------------------------------------------------------------------------------ */

/* The cases of a family that the device lacks pass in silence. */
static void test_every_device_has_its_families(void **state)
{
    (void)state;
    const obi_device *device = test_device();
    bool lavapipe = strstr(device->caps.driver, "llvmpipe") != NULL;
    if (lavapipe) assert_int_equal(device->caps.tier, OBI_TIER_C); /* so that some driver runs the cases of halves, */
    if (lavapipe && device->tier >= OBI_TIER_B) assert_true(obi_gemv_table_possible(device)); /* and of tables */
    assert_int_equal(obi_gemv_half_possible(device), device->tier >= OBI_TIER_C);
    assert_true(obi_gemv_int8_possible(device));
}

/* ---- int8 --------------------------------------------------------------------------------------------------------- */

static const uint32_t columns[] = { 1, 2, 31, 32, 33, 63, 64, 65, 100, 1000, 2047, 2048, 2049, 4096 };

static void test_quantise(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(columns); i++) TEST_CASE(obi_case_bitlinear_quantise, 1, columns[i], 1 + (uint32_t)i % 7);
    TEST_CASE(obi_case_bitlinear_quantise, 1, 65536, 1);
}

static void int8_sizes(const obi_case *test)
{
    static const uint32_t rows[] = { 1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 63, 64, 65, 129 };
    for (size_t i = 0; i < COUNT(columns); i++) {
        TEST_CASE(*test, 37, columns[i], 1);
        TEST_CASE(*test, rows[i], 100, 1 + (uint32_t)i % 7);
    }
    TEST_CASE(*test, 1000, 65, 1);
    TEST_CASE(*test, 130, 333, 3, 1);   /* 130 row blocks */
    TEST_CASE(*test, 130, 333, 2, 129); /* the second block has one row */
    TEST_CASE(*test, 5, 65536, 1);
}

static void test_int8(void **state) { (void)state; int8_sizes(&obi_case_bitlinear_gemv_int8); }
static void test_int8_dot(void **state) { (void)state; int8_sizes(&obi_case_bitlinear_gemv_int8_dot); }

/* What a block's scale is made for: its ends, and what is no number. */
static void test_scales_of_blocks(void **state)
{
    (void)state;
    static const float tops[] = { 1.0f, 127.0f, 127.00001f, 127.99999f, 64.0f, 65.6f, 0x1p-100f, 0x1p-101f, 0x1p127f, 3e38f, 1e-40f, 0.0f,
                                  INFINITY, -INFINITY, NAN };
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    float x[COUNT(tops) * 32], g[COUNT(tops) * 32 + 64], steps[COUNT(tops)];
    int8_t q[COUNT(tops) * 32];
    uint32_t records[COUNT(tops) * 12], n = (uint32_t)COUNT(x);
    for (uint32_t j = 0; j < COUNT(g); j++) g[j] = 1.0f;
    for (uint32_t j = 0; j < n; j++) x[j] = tops[j / 32] * (j % 32 == 7 ? 1.0f : 0.01f * (float)(j % 32));
    ref_quantise(q, steps, x, g, n, 1, 32);
    obi_view x_view, g_view, out;
    TEST_OK(obi_case_upload(env, x, sizeof x, &x_view));
    TEST_OK(obi_case_upload(env, g, sizeof g, &g_view));
    TEST_OK(obi_case_output(env, obi_quantise_bytes(n, 1), &out));
    obi_cmd_begin(env->cmd);
    obi_quantise(env->cmd, out, x_view, g_view, n, 1);
    TEST_OK(obi_cmd_run(env->cmd));
    TEST_OK(obi_case_download(env, out, records, sizeof records));
    for (uint32_t b = 0; b < COUNT(tops); b++) {
        float step;
        memcpy(&step, &records[b * 12 + 8], 4);
        bool same = isnan(steps[b]) ? isnan(step) != 0 : fabs((double)step - (double)steps[b]) <= 6 * OBI_UNIT_FLOAT * (double)steps[b];
        for (uint32_t j = 0; j < 32; j++) same = same && (int8_t)(records[b * 12 + j % 8] >> j / 8 * 8 & 255) == q[b * 32 + j];
        if (!same) fail_msg("top %g: step %g, reference %g", (double)tops[b], (double)step, (double)steps[b]);
        if (!isnan(steps[b]) && tops[b] >= 0x1p-100f) assert_in_range(abs(q[b * 32 + 7]), 117, 127);
        else assert_int_equal(q[b * 32 + 7], 0);
    }
    test_device_check();
}

/* A product by one family. */
static void product(obi_sign_family family, uint32_t m, uint32_t n, uint32_t T, uint32_t block_rows, const float *x, const float *scales,
                    const uint32_t *words, float *y)
{
    obi_case_env *env = test_env();
    obi_view x_view, y_view, scales_view;
    obi_weight weight;
    TEST_OK(obi_case_upload(env, x, (uint64_t)n * T * 4, &x_view));
    TEST_OK(obi_case_upload(env, scales, obi_scales_floats(m, n) * 4, &scales_view));
    TEST_OK(obi_case_output(env, (uint64_t)m * T * 4, &y_view));
    TEST_OK(obi_case_weight(env, obi_sign_family_type(family), m, n, block_rows, words, &weight));
    weight.family = (uint32_t)family;
    obi_cmd_begin(env->cmd);
    obi_op_bitlinear_fwd(env->cmd, y_view, x_view, &weight, scales_view, T);
    obi_status status = obi_cmd_run(env->cmd);
    obi_weight_destroy(env->device, &weight);
    TEST_OK(status);
    TEST_OK(obi_case_download(env, y_view, y, (uint64_t)m * T * 4));
}

/* A byte is off by half a step at the most, with a deviation of step / sqrt(12); a step is at most 17/16 of max|u| / 127, and of
 * normal values max|u| of 32 is below 4.5 deviations but once in a thousand blocks. So y is off by a deviation of
 * sqrt(n) * 4.5 * 1.07 / 127 / sqrt(12) = 0.011 sqrt(n), and it is about sqrt(n) itself. Six of them, of any block. */
static void test_int8_is_near(void **state)
{
    (void)state;
    enum { M = 300, N = 1000 };
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    float *x = obi_case_normal(env, N, 1.0), *scales = obi_case_zeros(env, obi_scales_floats(M, N)), *exact = obi_case_zeros(env, M),
          *whole = obi_case_zeros(env, M), *blocks = obi_case_zeros(env, M);
    uint32_t *words = obi_case_signs(env, M, N);
    assert_true(x && scales && exact && whole && blocks && words);
    for (uint32_t i = 0; i < obi_scales_floats(M, N); i++) scales[i] = 1.0f;
    ref_bitlinear_fwd(exact, x, words, scales, scales + obi_scales_h_offset(N), M, N, 1);
    product(OBI_SIGN_INT8, M, N, 1, 0, x, scales, words, whole);
    product(OBI_SIGN_INT8, M, N, 1, 77, x, scales, words, blocks);
    assert_memory_equal(whole, blocks, M * sizeof *whole);
    bool any = false;
    for (uint32_t i = 0; i < M; i++) {
        double error = fabs((double)whole[i] - (double)exact[i]);
        assert_true(error <= 6 * 0.011 * sqrt(N));
        any = any || error > 1e-3; /* not the exact kernel in disguise */
    }
    assert_true(any);
    test_device_check();
}

static void test_not_finite_stays_not_finite(void **state)
{
    (void)state;
    static const float bad[] = { INFINITY, -INFINITY, NAN };
    uint32_t words[5 * 4] = { 0xdeadbeef, 0x12345678 };
    float x[200], scales[256], y[10];
    for (size_t b = 0; b < COUNT(bad); b++) {
        obi_case_env_clear(test_env());
        for (uint32_t i = 0; i < 200; i++) x[i] = 1.0f;
        for (uint32_t i = 0; i < 256; i++) scales[i] = 1.0f;
        x[77] = bad[b];
        product(OBI_SIGN_INT8, 5, 100, 2, 0, x, scales, words, y);
        for (uint32_t i = 0; i < 10; i++) assert_int_equal(isfinite(y[i]) != 0, i >= 5); /* the other token is untouched */
    }
}

/* Two tokens share a word of bytes (bitlinear/sums_straight): what is not finite in one must not reach the other. */
static void test_not_finite_in_a_prompt(void **state)
{
    (void)state;
    enum { M = 40, N = 300, T = 9 };
    static const float bad[] = { INFINITY, -INFINITY, NAN };
    obi_sign_family family = obi_sign_family_offered(test_device(), OBI_SIGN_STRAIGHT_INT8, NULL) ? OBI_SIGN_STRAIGHT_INT8 : OBI_SIGN_XOR;
    obi_case_env_clear(test_env());
    float *x = obi_case_zeros(test_env(), N * T), *scales = obi_case_zeros(test_env(), obi_scales_floats(M, N)),
          *finite = obi_case_zeros(test_env(), M * T), *y = obi_case_zeros(test_env(), M * T);
    uint32_t *words = obi_case_signs(test_env(), M, N);
    assert_true(x && scales && finite && y && words);
    for (uint32_t i = 0; i < N * T; i++) x[i] = (float)(i % 17) - 8;
    for (uint32_t i = 0; i < obi_scales_floats(M, N); i++) scales[i] = 1.0f;
    product(family, M, N, T, 0, x, scales, words, finite);
    for (size_t b = 0; b < COUNT(bad); b++) {
        for (uint32_t t = 0; t < T; t++) {
            float was = x[t * N + 77 * (t % 4)];
            x[t * N + 77 * (t % 4)] = bad[b];
            product(family, M, N, T, 0, x, scales, words, y);
            x[t * N + 77 * (t % 4)] = was;
            for (uint32_t i = 0; i < M * T; i++) {
                if (i / M == t) assert_true(!isfinite(y[i]));
                else assert_memory_equal(&y[i], &finite[i], sizeof *y);
            }
        }
    }
}

/* ---- the choice ----------------------------------------------------------------------------------------------------- */

static void test_forced(void **state)
{
    (void)state;
    obi_device *device = test_device();
    obi_sign_family family;
    unsetenv("ONEBIT_KERNEL");
    TEST_OK(obi_sign_family_forced(device, &family));
    assert_int_equal(family, OBI_SIGN_FAMILY_COUNT);
    for (int i = 0; i < OBI_SIGN_FAMILY_COUNT; i++) {
        const char *why;
        bool offered = obi_sign_family_offered(device, (obi_sign_family)i, &why);
        setenv("ONEBIT_KERNEL", obi_sign_family_name((obi_sign_family)i), 1);
        obi_status status = obi_sign_family_choose(device, 64, 64, &family);
        if (offered) {
            assert_int_equal(status, OBI_OK);
            assert_int_equal(family, i);
        } else {
            assert_int_equal(status, OBI_ERROR_ARGUMENT);
            assert_non_null(strstr(obi_last_error(), why));
            assert_non_null(strstr(obi_last_error(), "it runs xor, "));
        }
    }
    setenv("ONEBIT_KERNEL", "fast", 1);
    assert_int_equal(obi_sign_family_choose(device, 64, 64, &family), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "\"fast\", which is none of xor, table, int8, straight, half"));
    setenv("ONEBIT_KERNEL", "int8", 1);
    device->exact = true;
    assert_int_equal(obi_sign_family_choose(device, 64, 64, &family), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "exact arithmetic was asked for"));
    device->exact = false;
    unsetenv("ONEBIT_KERNEL");
}

static void test_software_devices_are_not_timed(void **state)
{
    (void)state;
    obi_device *device = test_device();
    uint32_t before = device->choices.count;
    obi_sign_family family;
    TEST_OK(obi_sign_family_choose(device, 64, 64, &family));
    assert_int_equal(family, device->caps.straight ? OBI_SIGN_STRAIGHT_INT8 : OBI_SIGN_XOR);
    device->exact = true;
    TEST_OK(obi_sign_family_choose(device, 64, 64, &family));
    device->exact = false;
    assert_int_equal(family, device->caps.straight ? OBI_SIGN_STRAIGHT : OBI_SIGN_XOR);
    assert_int_equal(device->choices.count, before);
}

/* As on a GPU: the second time nothing is run. */
static void test_trial(void **state)
{
    (void)state;
    obi_device *device = test_device();
    bool software = device->caps.software;
    char text[OBI_CHOICE_TEXT_BYTES];
    obi_sign_trial trial;
    obi_sign_family family, again;
    TEST_OK(obi_sign_trial_run(device, 70, 333, &trial));
    for (int i = 0; i < OBI_SIGN_FAMILY_COUNT; i++) {
        bool timed = obi_sign_family_type((obi_sign_family)i) == OBI_WEIGHT_SIGN, runs = timed && obi_sign_family_offered(device, (obi_sign_family)i, NULL);
        assert_int_equal(trial.seconds[i] > 0, runs);
        if (runs) assert_true(trial.seconds[trial.best] <= trial.seconds[i]);
    }
    device->caps.software = false;
    TEST_OK(obi_sign_family_choose(device, 70, 333, &family));
    assert_true(obi_choices_get(&device->choices, "sign_gemv 70x333", text));
    assert_memory_equal(text, obi_sign_family_name(family), strlen(obi_sign_family_name(family)));
    assert_non_null(strstr(text, "(xor "));
    obi_choices_set(&device->choices, "sign_gemv 70x333", "int8 (kept)");
    TEST_OK(obi_sign_family_choose(device, 70, 333, &again));
    assert_int_equal(again, OBI_SIGN_INT8);
    device->exact = true; /* other choices then, and never int8 */
    TEST_OK(obi_sign_family_choose(device, 70, 333, &again));
    assert_int_not_equal(again, OBI_SIGN_INT8);
    assert_true(obi_choices_get(&device->choices, "sign_gemv 70x333 exact", text));
    device->exact = false;
    static const char *const useless[] = { "straight", "intel", "int8x", "", "fast (1 us)" }; /* as good as none: timed again */
    for (size_t i = 0; i < COUNT(useless); i++) {
        obi_choices_set(&device->choices, "sign_gemv 70x333", useless[i]);
        TEST_OK(obi_sign_family_choose(device, 70, 333, &again));
        assert_true(obi_choices_get(&device->choices, "sign_gemv 70x333", text));
        assert_non_null(strstr(text, "(xor "));
    }
    device->caps.software = software;
    test_device_check();
}

static char logged[512];
static void keep_log(obi_log_level level, const char *message, void *user)
{
    (void)user;
    if (level == OBI_LOG_WARNING) snprintf(logged, sizeof logged, "%s", message);
}

/* A self-test that always fails: the kernel is taken off, its family is offered no more, and the device stays usable. */
static obi_status wrong(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    (void)env, (void)sizes;
    result->worst = 5;
    return OBI_OK;
}

static void test_a_family_that_does_not_work_is_dropped(void **state)
{
    (void)state;
    obi_device *device = test_device();
    obi_case planted = obi_case_bitlinear_quantise;
    planted.run = wrong;
    const obi_case *cases[] = { &planted };
    const char *why;
    obi_log_set(keep_log, NULL);
    TEST_OK(obi_selftest_run_cases(device, cases, 1, NULL, NULL));
    obi_log_set(NULL, NULL);
    assert_true(device->kernel_off[OBI_KERNEL_BITLINEAR_QUANTISE]);
    assert_non_null(strstr(logged, "bitlinear_quantise does not work"));
    assert_false(obi_sign_family_offered(device, OBI_SIGN_INT8, &why));
    device->kernel_off[OBI_KERNEL_BITLINEAR_QUANTISE] = false;

    /* The dot products alone: the kernel without them takes over. */
    bool fast = device->caps.integer_dot_fast;
    device->caps.integer_dot_fast = true;
    device->kernel_off[OBI_KERNEL_BITLINEAR_GEMV_INT8_DOT] = true;
    assert_true(obi_sign_family_offered(device, OBI_SIGN_INT8, &why));
    device->kernel_off[OBI_KERNEL_BITLINEAR_GEMV_INT8] = true;
    assert_false(obi_sign_family_offered(device, OBI_SIGN_INT8, &why));
    device->kernel_off[OBI_KERNEL_BITLINEAR_GEMV_INT8] = device->kernel_off[OBI_KERNEL_BITLINEAR_GEMV_INT8_DOT] = false;
    device->caps.integer_dot_fast = fast;
}

/* A family that cannot run in a trial: here its first kernel needs more workgroups than the device is said to allow. */
static void test_a_family_that_cannot_run_is_dropped(void **state)
{
    (void)state;
    obi_device *device = test_device();
    obi_sign_trial trial;
    uint32_t limits[3];
    memcpy(limits, device->caps.workgroup_count, sizeof limits);
    device->caps.workgroup_count[0] = 4;
    device->caps.workgroup_count[1] = 1;
    logged[0] = 0;
    obi_log_set(keep_log, NULL);
    TEST_OK(obi_sign_trial_run(device, 8, 65536, &trial));
    obi_log_set(NULL, NULL);
    memcpy(device->caps.workgroup_count, limits, sizeof limits);
    assert_int_not_equal(trial.best, OBI_SIGN_INT8);
    assert_true(trial.seconds[OBI_SIGN_XOR] > 0 && !(trial.seconds[OBI_SIGN_INT8] > 0));
    assert_non_null(strstr(logged, "the kernels of family int8 do not work"));
    assert_false(obi_sign_family_offered(device, OBI_SIGN_INT8, NULL));
    device->kernel_off[OBI_KERNEL_BITLINEAR_QUANTISE] = false;
    test_device_check();
}

/* Where not even that one can be recorded the trial fails, and takes nothing off. */
static void test_a_trial_needs_the_plain_kernel(void **state)
{
    (void)state;
    obi_device *device = test_device();
    obi_sign_trial trial;
    uint32_t limit = device->caps.workgroup_count[2];
    device->caps.workgroup_count[2] = 0; /* every dispatch is refused */
    obi_log_set(keep_log, NULL);
    assert_int_equal(obi_sign_trial_run(device, 70, 333, &trial), OBI_ERROR_ARGUMENT);
    obi_log_set(NULL, NULL);
    device->caps.workgroup_count[2] = limit;
    assert_false(device->kernel_off[OBI_KERNEL_BITLINEAR_QUANTISE]);
}

/* ---- what is kept --------------------------------------------------------------------------------------------------- */

static void write_bytes(const char *path, const char *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static uint32_t kept(uint64_t key)
{
    obi_choices choices = { 0 };
    pthread_mutex_init(&choices.lock, NULL);
    TEST_OK(obi_choices_init(&choices, scratch_directory, key));
    uint32_t count = choices.count;
    obi_choices_finish(&choices);
    return count;
}

static void test_choices_file(void **state)
{
    (void)state;
    obi_choices choices = { 0 };
    char text[OBI_CHOICE_TEXT_BYTES], good[4096], bad[4096];
    pthread_mutex_init(&choices.lock, NULL);
    TEST_OK(obi_choices_init(&choices, scratch_directory, 0x1234));
    obi_choices_set(&choices, "a", "one");
    obi_choices_set(&choices, "b", "two");
    obi_choices_set(&choices, "a", "three");
    char *path = strdup(choices.path);
    obi_choices_finish(&choices);

    choices = (obi_choices){ 0 };
    pthread_mutex_init(&choices.lock, NULL);
    TEST_OK(obi_choices_init(&choices, scratch_directory, 0x1234));
    assert_int_equal(choices.count, 2);
    assert_true(obi_choices_get(&choices, "a", text));
    assert_string_equal(text, "three");
    assert_false(obi_choices_get(&choices, "c", text));
    obi_choices_finish(&choices);
    assert_int_equal(kept(0x1235), 0); /* another device's name */

    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t bytes = fread(good, 1, sizeof good, file);
    fclose(file);
    for (size_t i = 0; i < bytes; i++) { /* any byte changed, any length */
        memcpy(bad, good, bytes);
        bad[i] ^= 1;
        write_bytes(path, bad, bytes);
        assert_int_equal(kept(0x1234), 0);
        write_bytes(path, good, i);
        assert_int_equal(kept(0x1234), 0);
    }
    write_bytes(path, good, bytes);
    assert_int_equal(kept(0x1234), 2);
    assert_int_equal(unlink(path), 0);
    free(path);
}

static void test_many_choices(void **state)
{
    (void)state;
    obi_choices choices = { 0 };
    char name[OBI_CHOICE_NAME_BYTES], text[OBI_CHOICE_TEXT_BYTES];
    pthread_mutex_init(&choices.lock, NULL);
    TEST_OK(obi_choices_init(&choices, "", 1)); /* kept in memory only */
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    for (unsigned i = 0; i < OBI_CHOICES_MAX + 10; i++) {
        snprintf(name, sizeof name, "%063u", i);
        obi_choices_set(&choices, name, text);
    }
    assert_int_equal(choices.count, OBI_CHOICES_MAX);
    obi_choices_finish(&choices);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_device_has_its_families),
        cmocka_unit_test(test_quantise),
        cmocka_unit_test(test_int8),
        cmocka_unit_test(test_int8_dot),
        cmocka_unit_test(test_scales_of_blocks),
        cmocka_unit_test(test_int8_is_near),
        cmocka_unit_test(test_not_finite_stays_not_finite),
        cmocka_unit_test(test_not_finite_in_a_prompt),
        cmocka_unit_test(test_forced),
        cmocka_unit_test(test_software_devices_are_not_timed),
        cmocka_unit_test(test_trial),
        cmocka_unit_test(test_a_family_that_does_not_work_is_dropped),
        cmocka_unit_test(test_a_family_that_cannot_run_is_dropped),
        cmocka_unit_test(test_a_trial_needs_the_plain_kernel),
        cmocka_unit_test(test_choices_file),
        cmocka_unit_test(test_many_choices),
    };
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, scratch_close));
}

/* test_bitlinear: y = h * (S (g * x)) against runtime/ref and against exact sums, at every tier of this device. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "ops/gemv_table.h"
#include "ops/op_bitlinear.h"
#include "ops/sign_family.h"
#include "ref/ref_bitlinear.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const uint32_t columns[] = { 1, 2, 31, 32, 33, 63, 64, 65, 100, 1000, 2047, 2048, 2049, 4096 };
static const uint32_t rows[] = { 1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 63, 64, 65, 129 };

static void gemv_sizes(const obi_case *test)
{
    for (size_t i = 0; i < COUNT(columns); i++) {
        TEST_CASE(*test, 37, columns[i], 1);
        TEST_CASE(*test, rows[i], 100, 1 + (uint32_t)i % 7);
    }
    TEST_CASE(*test, 1000, 65, 1);
    TEST_CASE(*test, 130, 333, 3, 1);   /* 130 row blocks */
    TEST_CASE(*test, 130, 333, 2, 129); /* the second block has one row */
}

static void test_gemv(void **state) { (void)state; gemv_sizes(&obi_case_bitlinear_gemv); }
static void test_gemv_half(void **state) { (void)state; gemv_sizes(&obi_case_bitlinear_gemv_half); }

static void test_gemv_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(columns); i++) {
        TEST_CASE(obi_case_bitlinear_gemv_table, 37, columns[i], 1);
        TEST_CASE(obi_case_bitlinear_gemv_table, rows[i], 100, 1 + (uint32_t)i % 7);
    }
    TEST_CASE(obi_case_bitlinear_gemv_table, 130, 333, 3, 1);    /* 130 row blocks */
    TEST_CASE(obi_case_bitlinear_gemv_table, 130, 333, 2, 129);  /* the second block has one row */
    TEST_CASE(obi_case_bitlinear_gemv_table, 8209, 70, 1);       /* two rows a lane at 16 lanes, */
    TEST_CASE(obi_case_bitlinear_gemv_table, 16421, 161, 1);     /* four; */
    TEST_CASE(obi_case_bitlinear_gemv_table, 16421, 161, 2, 5000); /* with blocks */
}

static void test_gemv_straight(void **state)
{
    (void)state;
    static const uint32_t wide[] = { 1, 31, 32, 33, 64, 70, 100, 128, 333, 1000, 1024, 2048, 4096, 5632, 11008 };
    for (size_t i = 0; i < COUNT(wide); i++) TEST_CASE(obi_case_bitlinear_gemv_straight, 37, wide[i], 1);
    for (size_t i = 0; i < COUNT(rows); i++) TEST_CASE(obi_case_bitlinear_gemv_straight, rows[i], 100, 1 + (uint32_t)i % 7);
    static const uint32_t whole[][3] = { { 128, 256, 1 },  { 256, 512, 1 },   { 384, 1024, 2 },
                                         { 256, 2048, 1 }, { 128, 2048, 15 }, { 256, 4096, 1 } };
    for (size_t i = 0; i < COUNT(whole); i++) TEST_CASE(obi_case_bitlinear_gemv_straight, whole[i][0], whole[i][1], whole[i][2]);
    TEST_CASE(obi_case_bitlinear_gemv_straight, 17, 33, 1);
    TEST_CASE(obi_case_bitlinear_gemv_straight, 4100, 70, 3);
    TEST_CASE(obi_case_bitlinear_gemv_straight, 1000, 65, 7);
    TEST_CASE(obi_case_bitlinear_gemv_straight, 130, 333, 3, 1);   /* 130 row blocks */
    TEST_CASE(obi_case_bitlinear_gemv_straight, 300, 333, 2, 256); /* the second block has 44 rows */
}

static void gemm_sizes(const obi_case *test)
{
    for (size_t i = 0; i < COUNT(columns); i++) {
        TEST_CASE(*test, 37, columns[i], 9);
        TEST_CASE(*test, rows[i], 70, 8 + 3 * (uint32_t)i);
    }
    TEST_CASE(*test, 130, 333, 100);
    TEST_CASE(*test, 130, 333, 65, 1);
    TEST_CASE(*test, 130, 333, 33, 129);
}

static void test_gemm(void **state) { (void)state; gemm_sizes(&obi_case_bitlinear_gemm); }
static void test_gemm_straight(void **state) { (void)state; gemm_sizes(&obi_case_bitlinear_gemm_straight); }
static void test_gemm_tiles(void **state)
{
    (void)state;
    gemm_sizes(&obi_case_bitlinear_gemm_tiles);
    TEST_CASE(obi_case_bitlinear_gemm_tiles, 300, 333, 12, 256); /* the second block has 44 rows */
    TEST_CASE(obi_case_bitlinear_gemm_tiles, 256 * 128 + 70, 70, 9); /* more than a grid's side of tiles */
    TEST_CASE(obi_case_bitlinear_gemm_tiles, 96, 1376, 18);      /* 43 words: the last stretch begins earlier */
    TEST_CASE(obi_case_bitlinear_gemm_tiles, 64, 5632, 16);      /* 22 stretches */
    TEST_CASE(obi_case_bitlinear_gemm_tiles, 128, 9000, 13);     /* in two pieces */
    TEST_CASE(obi_case_bitlinear_gemm_tiles, 160, 512, 300);     /* more tokens than a dispatch takes */
}

static void test_gemm_int8_straight(void **state)
{
    (void)state;
    static const uint32_t sizes[][4] = { { 37, 1, 9 }, { 37, 33, 8 }, { 31, 70, 14 }, { 130, 333, 100 }, { 130, 333, 65, 1 },
                                         { 130, 333, 33, 129 } };
    for (size_t i = 0; i < COUNT(sizes); i++)
        TEST_CASE(obi_case_bitlinear_gemm_int8_straight, sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3]);
    TEST_CASE(obi_case_bitlinear_gemm_int8_straight, 300, 333, 12, 256); /* the second block has 44 rows */
    TEST_CASE(obi_case_bitlinear_gemm_int8_straight, 256 * 128 + 70, 70, 9); /* more than a grid's side of tiles */
    TEST_CASE(obi_case_bitlinear_gemm_int8_straight, 96, 1376, 18);      /* 43 words: the last stretch begins earlier */
    TEST_CASE(obi_case_bitlinear_gemm_int8_straight, 64, 5632, 16);      /* 22 stretches */
    TEST_CASE(obi_case_bitlinear_gemm_int8_straight, 128, 9000, 13);     /* in two pieces, */
    TEST_CASE(obi_case_bitlinear_gemm_int8_straight, 64, 8512, 9);       /* of ten words */
    TEST_CASE(obi_case_bitlinear_gemm_int8_straight, 64, 8200, 9);       /* and of one */
    TEST_CASE(obi_case_bitlinear_gemm_int8_straight, 160, 512, 300);     /* more tokens than a dispatch takes */
}

/* The longest row the op takes: one driver ends an invocation's loops, silently, at 65,535 turns. */
static void test_longest_row(void **state)
{
    (void)state;
    TEST_CASE(obi_case_bitlinear_gemv, 5, 65536, 1);
    TEST_CASE(obi_case_bitlinear_gemv_table, 5, 65536, 1);
    TEST_CASE(obi_case_bitlinear_gemv_straight, 5, 65536, 1);
    TEST_CASE(obi_case_bitlinear_gemm, 5, 65536, 8);
    TEST_CASE(obi_case_bitlinear_gemm_straight, 5, 65536, 8);
    TEST_CASE(obi_case_bitlinear_gemm_tiles, 5, 65536, 8);
}

static void test_more_rows_than_a_grid_axis(void **state)
{
    (void)state;
    TEST_CASE(obi_case_bitlinear_gemv, 65536 * 16 + 5, 2, 1); /* at 16 rows a workgroup */
    TEST_CASE(obi_case_bitlinear_gemv_straight, 65536 * 16 + 5, 2, 1);
}

static obi_sign_family layer_family = OBI_SIGN_XOR;

/* Device buffers and one run of the op in the form that is set. */
typedef struct layer {
    uint32_t m, n, T;
    float *x, *scales, *got;
    uint32_t *words;
} layer;

static layer new_layer(uint32_t m, uint32_t n, uint32_t T)
{
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    layer made = { m, n, T, obi_case_zeros(env, (uint64_t)n * T), obi_case_zeros(env, obi_scales_floats(m, n)),
                   obi_case_zeros(env, (uint64_t)m * T), NULL };
    uint64_t words = (uint64_t)m * obi_weight_row_words(OBI_WEIGHT_SIGN, n);
    made.words = (uint32_t *)(void *)obi_case_zeros(env, words);
    assert_non_null(made.x);
    assert_non_null(made.scales);
    assert_non_null(made.got);
    assert_non_null(made.words);
    for (uint64_t i = 0; i < obi_scales_floats(m, n); i++) made.scales[i] = 1.0f;
    for (uint64_t i = 0; i < words; i++) made.words[i] = (uint32_t)(obi_rng_next(&env->rng) >> 32);
    return made;
}

static void run_layer(layer *l, uint32_t block_rows)
{
    obi_case_env *env = test_env();
    obi_view x, y, scales;
    obi_weight weight;
    TEST_OK(obi_case_upload(env, l->x, (uint64_t)l->n * l->T * 4, &x));
    TEST_OK(obi_case_upload(env, l->scales, obi_scales_floats(l->m, l->n) * 4, &scales));
    TEST_OK(obi_case_output(env, (uint64_t)l->m * l->T * 4, &y));
    TEST_OK(obi_case_weight(env, obi_sign_family_type(layer_family), l->m, l->n, block_rows, l->words, &weight));
    weight.family = (uint32_t)layer_family;
    obi_cmd_begin(env->cmd);
    obi_op_bitlinear_fwd(env->cmd, y, x, &weight, scales, l->T);
    obi_status status = obi_cmd_run(env->cmd);
    obi_weight_destroy(env->device, &weight);
    TEST_OK(status);
    TEST_OK(obi_case_download(env, y, l->got, (uint64_t)l->m * l->T * 4));
}

/* The forms of the product that a device has: the tiers of the plain kernels, halves being the third, then the other exact families. */
static int last_form(void)
{
    return (int)test_device()->tier + obi_gemv_table_possible(test_device()) +
           obi_sign_family_offered(test_device(), OBI_SIGN_STRAIGHT, NULL);
}

static void set_form(int form)
{
    obi_device *device = test_device();
    int others = form - (int)device->tier;
    if (others <= 0) layer_family = form == OBI_TIER_C ? OBI_SIGN_HALF : OBI_SIGN_XOR;
    else layer_family = others == 1 && obi_gemv_table_possible(device) ? OBI_SIGN_TABLE : OBI_SIGN_STRAIGHT;
    if (others > 0) form = (int)device->tier;
    device->kernel_tier[OBI_KERNEL_BITLINEAR_GEMV] = device->kernel_tier[OBI_KERNEL_BITLINEAR_GEMM] = (obi_tier)form;
}

/* Small integers are exact in every tier, in halves too: any wrong bit shows, without a tolerance. */
static void test_integers_are_exact(void **state)
{
    (void)state;
    static const uint32_t sizes[][3] = { { 67, 333, 1 }, { 33, 2500, 2 }, { 67, 333, 40 } };
    for (size_t s = 0; s < COUNT(sizes); s++) {
        layer l = new_layer(sizes[s][0], sizes[s][1], sizes[s][2]);
        float *want = obi_case_zeros(test_env(), (uint64_t)l.m * l.T);
        assert_non_null(want);
        for (uint32_t i = 0; i < l.n * l.T; i++) l.x[i] = (float)(int)(obi_rng_next(&test_env()->rng) >> 61) - 3.0f; /* -3..4 */
        for (uint32_t j = 0; j < l.n; j++) l.scales[j] = j % 3 == 0 ? -2.0f : 0.5f;
        for (uint32_t i = 0; i < l.m; i++) l.scales[obi_scales_h_offset(l.n) + i] = i % 2 ? 0.25f : -4.0f;
        ref_bitlinear_fwd(want, l.x, l.words, l.scales, l.scales + obi_scales_h_offset(l.n), l.m, l.n, l.T);
        for (int form = OBI_TIER_A; form <= last_form(); form++) {
            set_form(form);
            run_layer(&l, 0);
            for (uint32_t i = 0; i < l.m * l.T; i++)
                if (l.got[i] != want[i])
                    fail_msg("form %d, %u x %u x %u: y[%u] = %g, exactly %g", form, l.m, l.n, l.T, i, (double)l.got[i], (double)want[i]);
        }
    }
    set_form((int)test_device()->tier);
    test_device_check();
}

/* One-hot inputs read the weight back: byte 0x72 is + - + + - - - +, lowest bit first. */
static void test_bit_order(void **state)
{
    (void)state;
    static const float signs[8] = { 1, -1, 1, 1, -1, -1, -1, 1 };
    for (int form = OBI_TIER_A; form <= last_form(); form++) {
        layer l = new_layer(1, 40, 40); /* token t asks for column t: by gemm, then one by one by gemv */
        l.words[0] = 0x72u;
        l.words[1] = 0xffffff72u; /* pad bits set: they must not matter */
        set_form(form);
        for (uint32_t t = 0; t < 40; t++) l.x[t * 40 + t] = 1.0f;
        run_layer(&l, 0);
        for (uint32_t t = 0; t < 40; t++) assert_true(l.got[t] == (t < 8 || t >= 32 ? signs[t % 32] : 1.0f));
        for (uint32_t t = 0; t < 40; t++) {
            layer one = new_layer(1, 40, 1);
            one.words[0] = 0x72u;
            one.words[1] = 0xffffff72u;
            one.x[t] = 1.0f;
            run_layer(&one, 0);
            assert_true(one.got[0] == (t < 8 || t >= 32 ? signs[t % 32] : 1.0f));
        }
    }
    set_form((int)test_device()->tier);
}

/* |g x| above 65504, the largest half, is fine in every tier; so are very small values. */
static void test_any_finite_scale(void **state)
{
    (void)state;
    static const float factors[] = { 1e30f, 1e6f, 65504.0f, 1.0f, 1e-6f, 1e-20f };
    for (size_t f = 0; f < COUNT(factors); f++) {
        for (int form = OBI_TIER_A; form <= last_form(); form++) {
            layer l = new_layer(20, 500, 1);
            float want[20];
            double squares = 0;
            for (uint32_t j = 0; j < l.n; j++) {
                l.x[j] = (float)obi_rng_normal(&test_env()->rng) * factors[f];
                l.scales[j] = 2.0f;
                squares += 4.0 * (double)l.x[j] * (double)l.x[j];
            }
            ref_bitlinear_fwd(want, l.x, l.words, l.scales, l.scales + obi_scales_h_offset(l.n), l.m, l.n, 1);
            set_form(form);
            run_layer(&l, 0);
            for (uint32_t i = 0; i < l.m; i++)
                if (!(fabs((double)l.got[i] - (double)want[i]) <= 8 * OBI_UNIT_HALF * sqrt(squares)))
                    fail_msg("form %d, factor %g: y[%u] = %g, reference %g", form, (double)factors[f], i, (double)l.got[i],
                             (double)want[i]);
        }
    }
    set_form((int)test_device()->tier);
}

/* One term far above the others must not lose them entirely to overflow, nor hide as a finite number when it is infinite. */
static void test_not_finite_stays_not_finite(void **state)
{
    (void)state;
    static const float bad[] = { INFINITY, -INFINITY, NAN };
    for (size_t b = 0; b < COUNT(bad); b++) {
        for (int form = OBI_TIER_A; form <= last_form(); form++) {
            for (uint32_t T = 1; T < 16; T += 8) {
                layer l = new_layer(5, 100, T);
                for (uint32_t i = 0; i < l.n * T; i++) l.x[i] = 1.0f;
                l.x[77] = bad[b];
                set_form(form);
                run_layer(&l, 0);
                for (uint32_t i = 0; i < l.m; i++) assert_true(!isfinite(l.got[i]));
                for (uint32_t i = l.m; i < l.m * T; i++) assert_true(isfinite(l.got[i]) != 0); /* other tokens are untouched */
            }
        }
    }
    set_form((int)test_device()->tier);
}

static void test_blocks_do_not_change_a_bit(void **state)
{
    (void)state;
    for (int form = OBI_TIER_A; form <= last_form(); form++) {
        set_form(form);
        for (uint32_t T = 1; T < 16; T += 8) {
            layer l = new_layer(150, 333, T);
            for (uint32_t i = 0; i < l.n * T; i++) l.x[i] = (float)obi_rng_normal(&test_env()->rng);
            run_layer(&l, 0);
            float *whole = obi_case_zeros(test_env(), (uint64_t)l.m * T);
            assert_non_null(whole);
            memcpy(whole, l.got, l.m * T * sizeof *whole);
            for (uint32_t block_rows = 1; block_rows < 150; block_rows += 13) {
                run_layer(&l, block_rows);
                assert_memory_equal(whole, l.got, l.m * T * sizeof *whole);
            }
        }
    }
    set_form((int)test_device()->tier);
}

static void test_sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view x, y, scales;
    TEST_OK(obi_case_output(env, 4 * 40, &x));
    TEST_OK(obi_case_output(env, 4 * 10, &y));
    TEST_OK(obi_case_output(env, 4 * (64 + 10), &scales));
    obi_weight sign, dense, tiles;
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_SIGN, 10, 40, 0, &sign));
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_F32, 10, 40, 0, &dense));
    TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_SIGN_TILES, 10, 40, 0, &tiles));
    uint32_t words[20] = { 0 };
    assert_int_equal(obi_weight_upload(env->upload, &tiles, 1, 9, words), OBI_ERROR_ARGUMENT); /* no whole tile */
    assert_int_equal(obi_weight_upload(env->upload, &tiles, 0, 9, words), OBI_ERROR_ARGUMENT);
    bool straight = env->device->caps.straight;
    env->device->caps.straight = false;
    struct { obi_view y, x, scales; const obi_weight *weight; uint32_t T; } bad[] = {
        { y, x, scales, &sign, 2 },   /* y too small */
        { x, y, scales, &sign, 1 },   /* x too small */
        { y, x, x, &sign, 1 },        /* scales too small */
        { y, x, scales, &dense, 1 },  /* not signs */
        { y, x, scales, &sign, 0 },
        { y, x, scales, &tiles, 1 },  /* in tiles, on a device that has no kernel for them */
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        obi_cmd_begin(env->cmd);
        obi_op_bitlinear_fwd(env->cmd, bad[i].y, bad[i].x, bad[i].weight, bad[i].scales, bad[i].T);
        assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
        assert_non_null(strstr(obi_last_error(), "bitlinear"));
    }
    env->device->caps.straight = straight;
    obi_weight_destroy(env->device, &sign);
    obi_weight_destroy(env->device, &dense);
    obi_weight_destroy(env->device, &tiles);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemv),
        cmocka_unit_test(test_gemv_half),
        cmocka_unit_test(test_gemv_table),
        cmocka_unit_test(test_gemv_straight),
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_gemm_straight),
        cmocka_unit_test(test_gemm_tiles),
        cmocka_unit_test(test_gemm_int8_straight),
        cmocka_unit_test(test_longest_row),
        cmocka_unit_test(test_more_rows_than_a_grid_axis),
        cmocka_unit_test(test_integers_are_exact),
        cmocka_unit_test(test_bit_order),
        cmocka_unit_test(test_any_finite_scale),
        cmocka_unit_test(test_not_finite_stays_not_finite),
        cmocka_unit_test(test_blocks_do_not_change_a_bit),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

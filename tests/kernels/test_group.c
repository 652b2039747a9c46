/* Products of one vector with the matrices of a group: the bits that each product alone gives, and nothing written beside them. */
#include "device.h"

#include <string.h>

#include "core/checked.h"
#include "groups.h"
#include "ops/op_bitlinear.h"
#include "ops/sign_gemv.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define UNTOUCHED 0xdeadbeefu
#define BESIDE 16384u /* bytes after the results, which nothing may write to */

typedef struct group {
    uint32_t count, rows[OBI_GROUP_MAX], n, T;
    obi_weight weights[OBI_GROUP_MAX], alone[OBI_GROUP_MAX]; /* the same signs, in buffers of their own */
    obi_bitlinear_part parts[OBI_GROUP_MAX];
    obi_view x, y;
} group;

/* The results lie `gap` bytes further apart than in order. */
static void make(group *g, obi_sign_family family, uint64_t gap)
{
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    uint64_t floats = 0, offset = 0, starts[OBI_GROUP_MAX];
    TEST_OK(obi_weight_create_group(env->device, obi_sign_family_type(family), g->rows, g->count, g->n, g->weights));
    for (uint32_t i = 0; i < g->count; i++) {
        uint32_t *words = obi_case_signs(env, g->rows[i], g->n);
        assert_non_null(words);
        g->weights[i].family = (uint32_t)family;
        TEST_OK(obi_weight_upload(env->upload, &g->weights[i], 0, g->rows[i], words));
        TEST_OK(obi_weight_create(env->device, obi_sign_family_type(family), g->rows[i], g->n, 0, &g->alone[i]));
        g->alone[i].family = (uint32_t)family;
        TEST_OK(obi_weight_upload(env->upload, &g->alone[i], 0, g->rows[i], words));
        starts[i] = floats;
        floats += obi_scales_floats(g->rows[i], g->n);
    }
    TEST_OK(obi_upload_finish(env->upload));
    obi_view scales;
    TEST_OK(obi_case_upload(env, obi_case_normal(env, floats, 0.5), floats * 4, &scales));
    TEST_OK(obi_case_upload(env, obi_case_normal(env, (uint64_t)g->n * g->T, 1.0), (uint64_t)g->n * g->T * 4, &g->x));
    for (uint32_t i = 0; i < g->count; i++) {
        g->parts[i].weight = &g->weights[i];
        g->parts[i].scales = (obi_view){ scales.buffer, scales.offset + starts[i] * 4, obi_scales_floats(g->rows[i], g->n) * 4 };
        g->parts[i].y.offset = offset;
        g->parts[i].y.size = (uint64_t)g->rows[i] * g->T * 4;
        offset = obi_align_up(offset + g->parts[i].y.size, OBI_BUFFER_ALIGNMENT) + gap;
    }
    TEST_OK(obi_case_output(env, offset + BESIDE, &g->y));
    for (uint32_t i = 0; i < g->count; i++) {
        g->parts[i].y.buffer = g->y.buffer;
        g->parts[i].y.offset += g->y.offset;
    }
}

/* Returns how many dispatches it took. */
static uint32_t run(const group *g, bool together, uint32_t *words)
{
    obi_cmd *cmd = test_env()->cmd;
    obi_cmd_begin(cmd);
    obi_cmd_fill(cmd, g->y, UNTOUCHED);
    if (together) obi_op_bitlinear_group_fwd(cmd, g->parts, g->count, g->x, g->T);
    for (uint32_t i = 0; !together && i < g->count; i++)
        obi_op_bitlinear_fwd(cmd, g->parts[i].y, g->x, &g->alone[i], g->parts[i].scales, g->T);
    TEST_OK(obi_cmd_run(cmd));
    TEST_OK(obi_case_download(test_env(), g->y, words, g->y.size));
    return obi_cmd_dispatches(cmd);
}

static void compare(const uint32_t rows[OBI_GROUP_MAX], uint32_t n, uint32_t T, obi_sign_family family, uint64_t gap, uint32_t dispatches)
{
    group g = { .n = n, .T = T };
    while (g.count < OBI_GROUP_MAX && rows[g.count] > 0) {
        g.rows[g.count] = rows[g.count];
        g.count++;
    }
    make(&g, family, gap);
    uint32_t *alone = (uint32_t *)(void *)obi_case_zeros(test_env(), g.y.size / 4),
             *got = (uint32_t *)(void *)obi_case_zeros(test_env(), g.y.size / 4);
    assert_non_null(alone);
    assert_non_null(got);
    run(&g, false, alone);
    uint32_t taken = run(&g, true, got);
    for (uint64_t i = 0; i < g.y.size / 4; i++)
        if (got[i] != alone[i])
            fail_msg("%u + %u + %u rows of %u, %u tokens: word %u is %08x and alone %08x", rows[0], rows[1], rows[2], n, T, (unsigned)i,
                     got[i], alone[i]);
    if (dispatches > 0) assert_int_equal(taken, dispatches);
    for (uint32_t i = 0; i < g.count; i++) {
        obi_weight_destroy(test_device(), &g.weights[i]);
        obi_weight_destroy(test_device(), &g.alone[i]);
    }
}

static const uint32_t shapes[][OBI_GROUP_MAX] = { { 64, 32, 32 },   { 128, 128, 128 }, { 300, 70, 70 }, { 1, 1, 1 },
                                                  { 129, 257, 257 }, { 200, 200, 0 },  { 33, 0, 0 },    { 96, 40, 41 } };

/* How many dispatches the product of a token or a few takes; 0: not for this test to say. The kernels take a first part and others of
 * one size. */
static uint32_t dispatches_of(int family, const uint32_t rows[OBI_GROUP_MAX])
{
    uint32_t count = 0;
    while (count < OBI_GROUP_MAX && rows[count] > 0) count++;
    bool alike = count < 3 || rows[1] == rows[2];
    if (alike && group_in_one_dispatch(test_device(), (obi_sign_family)family, rows, count)) return 1;
    return family == OBI_SIGN_INT8 ? 0 : count;
}

static void test_every_family(void **state)
{
    (void)state;
    for (int family = 0; family < OBI_SIGN_FAMILY_COUNT; family++) {
        if (!obi_sign_family_offered(test_device(), (obi_sign_family)family, NULL)) continue;
        for (size_t i = 0; i < COUNT(shapes); i++) {
            uint32_t taken = dispatches_of(family, shapes[i]);
            compare(shapes[i], i % 2 ? 353 : 65, 1 + (uint32_t)i % 3, (obi_sign_family)family, 0, taken);
            if (i < 2) compare(shapes[i], 512, 1 + 2 * (uint32_t)i, (obi_sign_family)family, 0, taken); /* rows in whole tiles */
            compare(shapes[i], i % 2 ? 353 : 256, 8 + 5 * (uint32_t)i, (obi_sign_family)family, 0, 0);
        }
        static const uint32_t large[] = { 256, 128, 128 };
        compare(large, 1024, 1, (obi_sign_family)family, 0, dispatches_of(family, large));
    }
    test_device_check();
}

/* More columns than a dispatch takes, more tokens than it should, results that do not lie in order. */
static void test_at_the_limits(void **state)
{
    (void)state;
    obi_sign_family family = obi_gemv_straight_possible(test_device()) ? OBI_SIGN_STRAIGHT : OBI_SIGN_XOR;
    bool straight = family == OBI_SIGN_STRAIGHT;
    compare((uint32_t[]){ 40, 20, 20 }, 20000, 2, family, 0, straight ? 2 : dispatches_of(family, (uint32_t[]){ 40, 20, 20 }));
    compare((uint32_t[]){ 256 * 128 - 256, 128, 128 }, 32, 1, family, 0, straight ? 1 : 0);
    compare((uint32_t[]){ 256 * 128, 128, 128 }, 32, 1, family, 0, straight ? 3 : 0);
    compare((uint32_t[]){ 64, 32, 32 }, 96, 9, family, 0, straight ? 3 : 0); /* the sums, eight tokens, one */
    compare((uint32_t[]){ 64, 32, 32 }, 96, 64, family, 0, straight ? 2 : 0);
    compare((uint32_t[]){ 64, 32, 32 }, 20000, 12, family, 0, 0);
    compare((uint32_t[]){ 64, 32, 32 }, 96, 1000, family, 0, 0); /* more tokens than a dispatch takes */
    compare((uint32_t[]){ 64, 32, 32 }, 96, 1, family, OBI_BUFFER_ALIGNMENT, 3);
    test_device_check();
}

/* A folded grid has a few workgroups more than there is to do: they must not take themselves for those of another part. */
static void test_a_folded_grid(void **state)
{
    (void)state;
    uint32_t *most = &test_device()->caps.workgroup_count[0], before = *most;
    *most = 10;
    for (int family = 0; family < OBI_SIGN_FAMILY_COUNT; family++)
        for (uint32_t T = 1; T < 4; T++) {
            if (family != OBI_SIGN_XOR && family != OBI_SIGN_HALF) continue;
            if (!obi_sign_family_offered(test_device(), (obi_sign_family)family, NULL)) continue;
            static const uint32_t two[] = { 129, 73, 0 }, three[] = { 129, 73, 73 };
            compare(two, 100, T, (obi_sign_family)family, 0, dispatches_of(family, two));
            compare(three, 100, T, (obi_sign_family)family, 0, dispatches_of(family, three));
        }
    *most = before;
    test_device_check();
}

/* Against the reference, at every tier. */
static void test_the_reference(void **state)
{
    (void)state;
    TEST_CASE(obi_case_bitlinear_group, 1, 1, 1, 1, 3);
    TEST_CASE(obi_case_bitlinear_group, 128, 64, 200, 7, 2);
    TEST_CASE(obi_case_bitlinear_group, 300, 33, 1000, 3, 3);
    TEST_CASE(obi_case_bitlinear_group_half, 300, 33, 1000, 3, 3);
    TEST_CASE(obi_case_bitlinear_group_straight, 300, 33, 1000, 3, 3);
}

/* A group that no buffer holds has blocks like any weight. */
static void test_too_large_for_one_block(void **state)
{
    (void)state;
    uint64_t *range = &test_device()->caps.storage_range, before = *range;
    obi_weight weights[2];
    *range = 4096;
    TEST_OK(obi_weight_create_group(test_device(), OBI_WEIGHT_SIGN, (uint32_t[]){ 1000, 1000 }, 2, 64, weights));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(weights[i].block_count, 2);
        assert_int_equal(weights[i].bytes, 0);
        obi_weight_destroy(test_device(), &weights[i]);
    }
    *range = before;
    assert_int_equal(obi_weight_create_group(test_device(), OBI_WEIGHT_SIGN, (uint32_t[]){ 10, 0 }, 2, 64, weights), OBI_ERROR_ARGUMENT);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_family),
        cmocka_unit_test(test_at_the_limits),
        cmocka_unit_test(test_a_folded_grid),
        cmocka_unit_test(test_the_reference),
        cmocka_unit_test(test_too_large_for_one_block),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

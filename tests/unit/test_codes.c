/* quant/grid: grids and codes worked out by hand, the bits of each form, and what has no grid. */
#include <math.h>

#include "data.h"
#include "quant/grid.h"
#include "quant/planes.h"

static void test_grids(void **state)
{
    (void)state;
    /* -1 .. 2 in four levels: a step of 1, code 1 stands for 0. */
    static const float w[] = { -1, 0.4f, 0.6f, 2, 1.5f, 0.5f };
    static const uint8_t codes[] = { 0, 1, 2, 3, 3, 1 }; /* ties to even: 1.5 -> 2, 0.5 -> 0 */
    obi_grid grid;
    assert_int_equal(obi_grid_fit(w, 6, 1, 2, &grid), OBI_OK);
    assert_true(grid.scale == 1 && grid.zero == 1);
    for (int i = 0; i < 6; i++) assert_int_equal(obi_grid_code(grid, 2, w[i]), codes[i]);
    assert_true(obi_grid_value(grid, 3) == 2 && obi_grid_code(grid, 2, 100) == 3 && obi_grid_code(grid, 2, -100) == 0);

    /* All on one side: 0 is a level, as GPTQ has it. */
    static const float positive[] = { 1, 3 };
    assert_int_equal(obi_grid_fit(positive, 2, 1, 2, &grid), OBI_OK);
    assert_true(grid.scale == 1 && grid.zero == 0);
    static const float nothing[] = { 0, 0 };
    assert_int_equal(obi_grid_fit(nothing, 2, 1, 1, &grid), OBI_OK);
    assert_true(obi_grid_value(grid, obi_grid_code(grid, 1, 0)) == 0);

    /* A step that is no half is rounded before codes are chosen: 1/3 to 0.333251953125. */
    assert_int_equal(obi_grid_span(0, 1, 2, &grid), OBI_OK);
    assert_true(grid.scale == 0.333251953125f);
    assert_int_equal(obi_grid_fit(w, 3, 2, 2, &grid), OBI_OK); /* every second: -1, 0.6, 1.5 */
    assert_true(fabs((double)grid.scale - 2.5 / 3) < 1e-3);

    static const float wrong[] = { 1, NAN, 2 }, infinite[] = { 1, -INFINITY }, large[] = { 1e9f, 0 };
    assert_int_equal(obi_grid_fit(wrong, 3, 1, 2, &grid), OBI_ERROR_DATA);
    assert_int_equal(obi_grid_fit(infinite, 2, 1, 2, &grid), OBI_ERROR_DATA);
    assert_int_equal(obi_grid_fit(large, 2, 1, 2, &grid), OBI_ERROR_DATA);
}

/* Levels far from 0, as ends that are learnt may have them of a row of one number: files hold the grid all the same. */
static void test_grids_far_from_zero(void **state)
{
    (void)state;
    static const uint8_t codes[4] = { 0, 1, 1, 0 };
    uint32_t words[OBI_GRID_BITS_MAX];
    uint16_t scale[OBI_GRID_BITS_MAX], offset;
    const obi_planes to = { words, scale, &offset };
    for (uint32_t bits = 1; bits <= OBI_GRID_BITS_MAX; bits++)
        for (double at = -5; at <= 5; at += 10) {
            obi_grid grid;
            float w[4];
            assert_int_equal(obi_grid_span(at, at, bits, &grid), OBI_OK);
            assert_true(grid.zero == (at < 0 ? OBI_GRID_ZERO_MAX : -OBI_GRID_ZERO_MAX));
            if (obi_planes_pack(bits, 1, 4, codes, &grid.scale, &grid.zero, &to) != OBI_OK)
                fail_msg("%u bits at %g: %s", bits, at, obi_last_error());
            obi_planes_unpack(bits, 1, 4, &to, w);
            for (int i = 0; i < 4; i++) assert_true(w[i] == obi_grid_value(grid, codes[i]));
        }
}

static void test_codes_of_groups(void **state)
{
    (void)state;
    obi_codes codes;
    float row[5];
    assert_int_equal(obi_codes_create(&codes, 2, 5, 2, 2), OBI_OK);
    assert_true(codes.groups == 3 && codes.group == 2); /* the last group has one column */
    for (uint32_t g = 0; g < 6; g++) codes.grids[g] = (obi_grid){ (float)(1 + g), 1 };
    for (uint32_t j = 0; j < 5; j++) codes.codes[5 + j] = (uint8_t)(j % 4);
    obi_codes_row(&codes, 1, row);
    static const float want[] = { -4, 0, 5, 10, -6 }, w[] = { -4, 1, 5, 10, -4 };
    assert_memory_equal(row, want, sizeof want);
    double error = 0, norm2 = 0;
    obi_codes_error(&codes, 1, w, &error, &norm2);
    assert_true(error == 5 && norm2 == 16 + 1 + 25 + 100 + 16);
    obi_codes_free(&codes);
    obi_codes_free(&codes);
}

static void test_bits(void **state)
{
    (void)state;
    assert_true(obi_codes_bits(10, 100, 2, 0, OBI_GRIDS_FREE) == 2000 + 10 * 18);
    assert_true(obi_codes_bits(10, 100, 3, 64, OBI_GRIDS_FREE) == 3000 + 20 * 19);
    assert_true(obi_codes_bits(10, 100, 3, 64, OBI_GRIDS_ORDERED) == 3000 + 20 * 19 + 1600);
    assert_true(obi_codes_bits(10, 100, 3, 128, OBI_GRIDS_ORDERED) == 3000 + 10 * 19); /* one group: no order */
    assert_true(obi_codes_bits(10, 100, 1, 0, OBI_GRIDS_CENTRED) == 1000 + 160);
    assert_true(obi_codes_bits(10, 100, 1, 0, OBI_GRIDS_ONE_SCALE) == 1016);
    assert_true(fabs(obi_codes_bits(4096, 4096, 2, 64, OBI_GRIDS_FREE) / (4096.0 * 4096) - 2.28125) < 1e-12); /* as published for g64 */
}

/* Zeros within 0 .. 2^b - 1 are counted already; of others the range counts, and where it begins. */
static void test_wide_zeros(void **state)
{
    (void)state;
    static const struct {
        uint32_t bits;
        float zeros[3];
        double more; /* bits of a zero */
    } cases[] = { { 2, { 0, 3, 1 }, -1 },     { 2, { 0, 4, 1 }, 1 },  { 2, { -1, 2, 0 }, 0 }, { 2, { -1, 3, 0 }, 1 },
                  { 2, { 5, 5, 5 }, 0 },      { 4, { -1, 0, 0 }, 0 }, { 3, { -8, 7, 0 }, 1 }, { 3, { -8, 8, 0 }, 2 },
                  { 1, { -1016, 1016, 0 }, 10 }, { 1, { 0.5f, 0.5f, 0.5f }, -1 } };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        obi_codes codes;
        assert_int_equal(obi_codes_create(&codes, 3, 10, cases[c].bits, 5), OBI_OK); /* two groups a row */
        for (uint32_t i = 0; i < 6; i++) codes.grids[i] = (obi_grid){ 1, cases[c].zeros[i % 3] };
        double want = cases[c].more < 0 ? 0 : 6 * cases[c].more + 16;
        if (obi_codes_wide_zero_bits(&codes) != want) fail_msg("case %zu: %g bits more", c, obi_codes_wide_zero_bits(&codes));
        obi_codes_free(&codes);
    }
    assert_true(obi_codes_wide_zero_bits(&(obi_codes){ 0 }) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_grids), cmocka_unit_test(test_grids_far_from_zero),
                                        cmocka_unit_test(test_codes_of_groups), cmocka_unit_test(test_bits),
                                        cmocka_unit_test(test_wide_zeros) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* quant/planes: what is packed means the numbers that the codes mean, exactly; what cannot be written as it is is refused. */
#include <math.h>
#include <string.h>

#include "core/half.h"
#include "core/rng.h"
#include "data.h"
#include "quant/planes.h"

enum { M_MAX = 33, N_MAX = 100 };

static uint32_t words[OBI_PLANES_MAX * M_MAX * 4];
static uint16_t scale[OBI_PLANES_MAX * M_MAX], offset[M_MAX];
static const obi_planes packed = { words, scale, offset }, without_offset = { words, scale, NULL };
static float w[M_MAX * N_MAX];

/* Steps over all that a half can be, 2^-23 to 2^13; zeros that a method may choose: all codes, and the middle. */
static void packs(uint32_t bits, uint32_t m, uint32_t n, obi_rng *rng)
{
    static uint8_t codes[M_MAX * N_MAX];
    float step[M_MAX] = { 0 }, zero[M_MAX] = { 0 };
    for (uint32_t i = 0; i < m * n; i++) codes[i] = (uint8_t)(obi_rng_next(rng) >> 32 & ((1u << bits) - 1));
    for (uint32_t i = 0; i < m; i++) {
        step[i] = obi_planes_step((float)exp2(36 * obi_rng_uniform(rng) - 23), bits);
        zero[i] = i % 3 == 0 ? (float)((1u << bits) - 1) / 2 : (float)(i % (1u << bits));
    }
    memset(words, 0xaa, sizeof words);
    assert_int_equal(obi_planes_pack(bits, m, n, codes, step, zero, &packed), OBI_OK);
    obi_planes_unpack(bits, m, n, &packed, w);
    for (uint32_t i = 0; i < m; i++) {
        assert_true(obi_half_to_float(obi_float_to_half(step[i])) == step[i]);
        for (uint32_t j = 0; j < n; j++)
            if ((double)w[i * n + j] != (double)step[i] * ((double)codes[i * n + j] - (double)zero[i]))
                fail_msg("%u bits: row %u of step %g, zero %g: code %u became %.9g", bits, i, (double)step[i], (double)zero[i],
                         codes[i * n + j], (double)w[i * n + j]);
    }
    uint32_t row_words = (n + 31) / 32;
    assert_int_equal(obi_planes_words(bits, m, n), bits * m * row_words);
    for (uint32_t row = 0; n % 32 && row < bits * m; row++) assert_int_equal(words[(row + 1) * row_words - 1] >> n % 32, 0);
    for (uint32_t i = bits * m * row_words; i < sizeof words / 4; i++) assert_int_equal(words[i], 0xaaaaaaaau);
}

static void codes_keep_their_values(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = { { 1, 1 }, { 3, 31 }, { 2, 32 }, { 33, 33 }, { 16, 100 } };
    obi_rng rng = obi_rng_seed(1);
    for (uint32_t bits = 1; bits <= OBI_PLANES_MAX; bits++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) packs(bits, sizes[i][0], sizes[i][1], &rng);
}

/* The layout itself, by hand: two outputs, codes 0 to 3 of step 1 and zero 1. */
static void a_matrix_by_hand(void **state)
{
    (void)state;
    static const uint8_t codes[8] = { 0, 1, 2, 3, 3, 3, 0, 0 };
    static const float step[2] = { 1, 2 }, zero[2] = { 1, 1 };
    assert_int_equal(obi_planes_pack(2, 2, 4, codes, step, zero, &packed), OBI_OK);
    static const uint32_t want[4] = { 0x3, 0xc, 0x5, 0xc }; /* high bits of both rows, then low bits; 1 is -1 */
    static const float h[4] = { 1, 2, 0.5, 1 };
    for (int i = 0; i < 4; i++) {
        assert_int_equal(words[i], want[i]);
        assert_true(obi_half_to_float(scale[i]) == h[i]);
    }
    for (int i = 0; i < 2; i++) assert_true(obi_half_to_float(offset[i]) == 0.5f);
}

static void three_values(void **state)
{
    (void)state;
    enum { M = 3, N = 37 };
    int8_t signs[M * N];
    static const float step[M] = { 0.125f, 0x1p-23f, 65504 };
    for (int i = 0; i < M * N; i++) signs[i] = (int8_t)(i * 7 % 3 - 1);
    assert_int_equal(obi_planes_pack_ternary(M, N, signs, step, &without_offset), OBI_OK);
    obi_planes_unpack(2, M, N, &without_offset, w);
    for (int i = 0; i < M * N; i++) assert_true(w[i] == step[i / N] * (float)signs[i]);
    signs[40] = 2;
    assert_int_equal(obi_planes_pack_ternary(M, N, signs, step, &without_offset), OBI_ERROR_ARGUMENT);
}

static void steps_that_can_be_written(void **state)
{
    (void)state;
    for (uint32_t bits = 1; bits <= OBI_PLANES_MAX; bits++)
        for (double raw = 1e-9; raw < 1e6; raw *= 1.0137) {
            float step = obi_planes_step((float)raw, bits);
            assert_true(obi_planes_step(step, bits) == step);
            for (int power = -1; power <= (int)bits - 2; power++) {
                float h = ldexpf(step, power);
                if (obi_half_to_float(obi_float_to_half(h)) != h) fail_msg("%g * 2^%d is no half", (double)step, power);
            }
            if (raw > 0x1p-13 && raw < 8000) assert_true(fabs((double)step - raw) <= 0x1p-11 * raw);
        }
    assert_true(obi_planes_step(0, 2) == 0x1p-23f);
}

static void what_cannot_be_written_is_refused(void **state)
{
    (void)state;
    static const struct { float step, zero; uint8_t code; const obi_planes *to; const char *word; } cases[] = {
        { 0.1f, 1, 1, &packed, "step" },        { 0, 1, 1, &packed, "step" },   { NAN, 1, 1, &packed, "step" },
        { 0x1p-24f, 1, 1, &packed, "step" },    { 1, 0.1f, 1, &packed, "zero" }, { 1, NAN, 1, &packed, "zero" },
        { 1, 1, 1, &without_offset, "zero" },   { 1, 1, 4, &packed, "code" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (obi_planes_pack(2, 1, 1, &cases[i].code, &cases[i].step, &cases[i].zero, cases[i].to) != OBI_ERROR_ARGUMENT)
            fail_msg("case %zu was taken", i);
        assert_non_null(strstr(obi_last_error(), cases[i].word));
    }
    assert_int_equal(obi_planes_pack(OBI_PLANES_MAX + 1, 1, 1, &cases[0].code, &cases[0].step, &cases[0].zero, &packed), OBI_ERROR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_keep_their_values),   cmocka_unit_test(a_matrix_by_hand),
        cmocka_unit_test(three_values),              cmocka_unit_test(steps_that_can_be_written),
        cmocka_unit_test(what_cannot_be_written_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

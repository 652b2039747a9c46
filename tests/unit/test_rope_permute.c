/* quant/rope_permute: the mapping is the one that makes both layouts rotate the same pairs, and it can be undone. */
#include <string.h>

#include "data.h"
#include "quant/import/rope_permute.h"

static void known_orders(void **state)
{
    (void)state;
    static const uint64_t pairs_from_half[] = { 0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11 };
    static const uint64_t half_from_pairs[] = { 0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11 };
    for (uint64_t row = 0; row < 12; row++) {
        assert_int_equal(obi_rope_source_row(OBI_ROPE_HALF, OBI_ROPE_PAIRS, 6, 6, row), pairs_from_half[row]);
        assert_int_equal(obi_rope_source_row(OBI_ROPE_PAIRS, OBI_ROPE_HALF, 6, 6, row), half_from_pairs[row]);
        assert_int_equal(obi_rope_source_row(OBI_ROPE_HALF, OBI_ROPE_HALF, 6, 6, row), row);
        assert_int_equal(obi_rope_source_row(OBI_ROPE_PAIRS, OBI_ROPE_PAIRS, 6, 6, row), row);
    }
}

/* Rotation i turns rows i and i + R/2 in HALF, 2i and 2i + 1 in PAIRS: these must hold the same original rows. */
static void rotations_meet_the_same_rows(void **state)
{
    (void)state;
    for (uint32_t head_size = 2; head_size <= 64; head_size += 2)
        for (uint32_t rotated = 2; rotated <= head_size; rotated += 2)
            for (uint32_t head = 0; head < 3; head++) {
                uint64_t base = (uint64_t)head * head_size;
                for (uint32_t i = 0; i < rotated / 2; i++) {
                    assert_int_equal(obi_rope_source_row(OBI_ROPE_HALF, OBI_ROPE_PAIRS, head_size, rotated, base + 2 * i), base + i);
                    assert_int_equal(obi_rope_source_row(OBI_ROPE_HALF, OBI_ROPE_PAIRS, head_size, rotated, base + 2 * i + 1),
                                     base + i + rotated / 2);
                }
                for (uint32_t i = rotated; i < head_size; i++)
                    assert_int_equal(obi_rope_source_row(OBI_ROPE_HALF, OBI_ROPE_PAIRS, head_size, rotated, base + i), base + i);
            }
}

static void there_and_back(void **state)
{
    (void)state;
    enum { HEADS = 3, MOST = 16, WIDTH = 5 };
    uint8_t in[HEADS * MOST * WIDTH], middle[sizeof in], out[sizeof in];
    for (size_t i = 0; i < sizeof in; i++) in[i] = (uint8_t)(i * 29 + i / 7);
    for (uint32_t head_size = 2; head_size <= MOST; head_size += 2)
        for (uint32_t rotated = 2; rotated <= head_size; rotated += 2)
            for (int from = 0; from < 2; from++) {
                size_t used = (size_t)HEADS * head_size * WIDTH;
                obi_rope_layout a = from ? OBI_ROPE_PAIRS : OBI_ROPE_HALF, b = from ? OBI_ROPE_HALF : OBI_ROPE_PAIRS;
                memset(middle, 0xee, sizeof middle);
                memset(out, 0xee, sizeof out);
                obi_rope_permute_rows(a, b, HEADS, head_size, rotated, in, middle, WIDTH);
                obi_rope_permute_rows(b, a, HEADS, head_size, rotated, middle, out, WIDTH);
                assert_memory_equal(out, in, used);
                if (rotated > 2) assert_memory_not_equal(middle, in, used);
                if (used < sizeof out) assert_int_equal(out[used], 0xee);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_orders),
        cmocka_unit_test(rotations_meet_the_same_rows),
        cmocka_unit_test(there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

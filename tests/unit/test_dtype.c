/* Number formats: sizes, and conversion to float against values worked out by hand. */
#include <math.h>
#include <string.h>

#include "data.h"
#include "model/dtype.h"

static void sizes_are_those_of_the_format(void **state)
{
    (void)state;
    static const struct { obi_dtype type; const char *name; uint32_t block, bytes; } rows[] = {
        { OBI_DTYPE_F32, "F32", 1, 4 }, { OBI_DTYPE_F16, "F16", 1, 2 }, { OBI_DTYPE_Q4_0, "Q4_0", 32, 18 },
        { OBI_DTYPE_Q8_0, "Q8_0", 32, 34 }, { OBI_DTYPE_I8, "I8", 1, 1 }, { OBI_DTYPE_I16, "I16", 1, 2 },
        { OBI_DTYPE_I32, "I32", 1, 4 }, { OBI_DTYPE_I64, "I64", 1, 8 }, { OBI_DTYPE_F64, "F64", 1, 8 },
        { OBI_DTYPE_BF16, "BF16", 1, 2 },
    };
    uint32_t known = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(obi_dtype_known(rows[i].type));
        assert_string_equal(obi_dtype_name(rows[i].type), rows[i].name);
        assert_int_equal(obi_dtype_block(rows[i].type), rows[i].block);
        assert_int_equal(obi_dtype_block_bytes(rows[i].type), rows[i].bytes);
    }
    for (uint32_t id = 0; id < 100; id++) known += obi_dtype_known(id);
    assert_int_equal(known, sizeof rows / sizeof *rows);
    assert_false(obi_dtype_known(UINT32_MAX));
    assert_string_equal(obi_dtype_name((obi_dtype)3), "?");
}

static void bytes_refuse_overflow_and_part_blocks(void **state)
{
    (void)state;
    uint64_t bytes = 7;
    assert_true(obi_dtype_bytes(OBI_DTYPE_Q8_0, 64, &bytes));
    assert_int_equal(bytes, 68);
    assert_true(obi_dtype_bytes(OBI_DTYPE_Q4_0, 0, &bytes));
    assert_int_equal(bytes, 0);
    bytes = 7;
    assert_false(obi_dtype_bytes(OBI_DTYPE_Q8_0, 33, &bytes));
    assert_false(obi_dtype_bytes(OBI_DTYPE_F32, UINT64_MAX / 4 + 1, &bytes));
    assert_false(obi_dtype_bytes(OBI_DTYPE_Q8_0, UINT64_MAX - 31, &bytes));
    assert_false(obi_dtype_bytes((obi_dtype)12, 32, &bytes));
    assert_int_equal(bytes, 7);
    assert_true(obi_dtype_bytes(OBI_DTYPE_F32, UINT64_MAX / 4, &bytes));
    assert_true(bytes == UINT64_MAX - 3);
}

/* Converts from an odd address in a heap block of exactly the source's size. */
static void convert(obi_dtype type, const void *source, size_t bytes, uint64_t count, float *out)
{
    uint8_t *odd = malloc(bytes + 1);
    memcpy(odd + 1, source, bytes);
    assert_int_equal(obi_dtype_to_float(type, odd + 1, count, out), OBI_OK);
    free(odd);
}

static void plain_types_convert(void **state)
{
    (void)state;
    float out[4];
    const float f32[] = { 1.5f, -0.0f, INFINITY, 0x1p-149f };
    convert(OBI_DTYPE_F32, f32, sizeof f32, 4, out);
    assert_memory_equal(out, f32, sizeof f32);
    const double f64[] = { 0.1, -3, 1e-300, 0x1.fffffep127 };
    convert(OBI_DTYPE_F64, f64, sizeof f64, 4, out);
    assert_true(out[0] == 0.1f && out[1] == -3 && out[2] == 0 && out[3] == 0x1.fffffep127f);
    const uint16_t f16[] = { 0x3c00, 0xc100, 0x7bff, 0x0001 };
    convert(OBI_DTYPE_F16, f16, sizeof f16, 4, out);
    assert_true(out[0] == 1 && out[1] == -2.5f && out[2] == 65504 && out[3] == 0x1p-24f);
    const uint16_t bf16[] = { 0x3f80, 0xc020, 0x7f80, 0x0001 };
    convert(OBI_DTYPE_BF16, bf16, sizeof bf16, 4, out);
    assert_true(out[0] == 1 && out[1] == -2.5f && isinf(out[2]) && out[3] == 0x1p-133f);
    const int8_t i8[] = { 0, 127, -128, -1 };
    convert(OBI_DTYPE_I8, i8, sizeof i8, 4, out);
    assert_true(out[0] == 0 && out[1] == 127 && out[2] == -128 && out[3] == -1);
}

static void q8_0_converts(void **state)
{
    (void)state;
    uint8_t blocks[2 * 34];
    float out[64];
    for (int b = 0; b < 2; b++) {
        blocks[34 * b] = 0x00;
        blocks[34 * b + 1] = b == 0 ? 0x38 : 0xc0; /* 0.5 and -2 */
        for (int i = 0; i < 32; i++) blocks[34 * b + 2 + i] = (uint8_t)(int8_t)(i * 8 - 128);
    }
    convert(OBI_DTYPE_Q8_0, blocks, sizeof blocks, 64, out);
    for (int i = 0; i < 32; i++) {
        assert_true(out[i] == 0.5f * (float)(i * 8 - 128));
        assert_true(out[32 + i] == -2.0f * (float)(i * 8 - 128));
    }
}

static void q4_0_converts(void **state)
{
    (void)state;
    uint8_t block[18] = { 0x00, 0x34 }; /* 0.25 */
    float out[32];
    for (int i = 0; i < 16; i++) block[2 + i] = (uint8_t)(i | (15 - i) << 4);
    convert(OBI_DTYPE_Q4_0, block, sizeof block, 32, out);
    for (int i = 0; i < 16; i++) {
        assert_true(out[i] == 0.25f * (float)(i - 8));
        assert_true(out[16 + i] == 0.25f * (float)(7 - i));
    }
}

static void what_is_no_number_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[64] = { 0 };
    float out[8];
    assert_int_equal(obi_dtype_to_float(OBI_DTYPE_I32, bytes, 8, out), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "I32"));
    assert_int_equal(obi_dtype_to_float(OBI_DTYPE_I16, bytes, 8, out), OBI_ERROR_DATA);
    assert_int_equal(obi_dtype_to_float(OBI_DTYPE_I64, bytes, 8, out), OBI_ERROR_DATA);
    assert_int_equal(obi_dtype_to_float((obi_dtype)12, bytes, 8, out), OBI_ERROR_DATA);
    assert_int_equal(obi_dtype_to_float(OBI_DTYPE_Q8_0, bytes, 8, out), OBI_ERROR_DATA);
    assert_int_equal(obi_dtype_to_float(OBI_DTYPE_F32, NULL, 0, NULL), OBI_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_those_of_the_format), cmocka_unit_test(bytes_refuse_overflow_and_part_blocks),
        cmocka_unit_test(plain_types_convert),           cmocka_unit_test(q8_0_converts),
        cmocka_unit_test(q4_0_converts),                 cmocka_unit_test(what_is_no_number_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

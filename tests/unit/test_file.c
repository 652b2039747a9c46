/* core/file, core/checked and core/half: reading, whole-or-absent writing, overflow, and rounding against an oracle. */
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "data.h"
#include "scratch.h"
#include "core/checked.h"
#include "core/file.h"
#include "core/half.h"
#include "core/rng.h"

static void put_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

/* ---- reading -------------------------------------------------------------------------------------- */

static void mapping_shows_the_file(void **state)
{
    (void)state;
    const char *path = scratch_path("a");
    obi_mapping mapping;
    put_file(path, "hello", 5);
    assert_int_equal(obi_mapping_open(&mapping, path), OBI_OK);
    assert_int_equal(mapping.size, 5);
    assert_memory_equal(mapping.data, "hello", 5);
    assert_string_equal(mapping.path, path);
    obi_mapping_release(&mapping, 0, 5);
    obi_mapping_release(&mapping, 6, UINT64_MAX);
    obi_mapping_release(&mapping, 3, UINT64_MAX);
    assert_memory_equal(mapping.data, "hello", 5);
    obi_mapping_close(&mapping);
    obi_mapping_close(&mapping);
    put_file(path, "", 0);
    assert_int_equal(obi_mapping_open(&mapping, path), OBI_OK);
    assert_int_equal(mapping.size, 0);
    assert_non_null(mapping.data);
    obi_mapping_close(&mapping);
    unlink(path);
}

static void released_pages_stay_readable(void **state)
{
    (void)state;
    const char *path = scratch_path("big");
    size_t size = 300000;
    uint8_t *data = malloc(size);
    obi_mapping mapping;
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)(i * 7 >> 3);
    put_file(path, data, size);
    assert_int_equal(obi_mapping_open(&mapping, path), OBI_OK);
    assert_memory_equal(mapping.data, data, size);
    obi_mapping_release(&mapping, 1, size - 2);
    assert_memory_equal(mapping.data, data, size);
    obi_mapping_close(&mapping);
    free(data);
    unlink(path);
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    obi_mapping mapping;
    const char *missing = scratch_path("missing");
    assert_int_equal(obi_mapping_open(&mapping, missing), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), missing));
    assert_int_equal(obi_mapping_open(&mapping, scratch_directory), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "directory"));
    assert_int_equal(obi_mapping_open(&mapping, ""), OBI_ERROR_DATA);
#ifndef _WIN32 /* there, pipes have no names among those of files */
    const char *pipe_path = scratch_path("pipe"); /* opening it must not wait for a writer */
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(obi_mapping_open(&mapping, pipe_path), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "pipe"));
    unlink(pipe_path);
#endif
    assert_null(mapping.data);
    obi_mapping_close(&mapping);
}

static void memory_is_wrapped_not_freed(void **state)
{
    (void)state;
    obi_mapping mapping;
    uint8_t byte = 9;
    assert_int_equal(obi_mapping_from_memory(&mapping, &byte, 1, "name"), OBI_OK);
    assert_ptr_equal(mapping.data, &byte);
    obi_mapping_release(&mapping, 0, 1);
    obi_mapping_close(&mapping);
    assert_int_equal(obi_mapping_from_memory(&mapping, NULL, 0, "nothing"), OBI_OK);
    assert_non_null(mapping.data);
    obi_mapping_close(&mapping);
}

static void reader_is_little_endian_and_bounded(void **state)
{
    (void)state;
    uint8_t *data = malloc(27); /* exactly: a read past it is a read the sanitizer sees */
    for (int i = 0; i < 27; i++) data[i] = (uint8_t)(i + 1);
    obi_reader reader = obi_reader_over(data, 27);
    assert_int_equal(obi_read_u8(&reader), 1);
    assert_int_equal(obi_read_u16(&reader), 0x0302);
    assert_int_equal(obi_read_u32(&reader), 0x07060504);
    assert_true(obi_read_u64(&reader) == 0x0f0e0d0c0b0a0908u);
    uint32_t bits = obi_float_bits(obi_read_f32(&reader));
    assert_int_equal(bits, 0x13121110);
    double value = obi_read_f64(&reader);
    uint64_t wide;
    memcpy(&wide, &value, 8);
    assert_true(wide == 0x1b1a191817161514u);
    assert_int_equal(obi_reader_left(&reader), 0);
    assert_false(reader.failed);
    assert_non_null(obi_read_bytes(&reader, 0));
    assert_int_equal(obi_read_u8(&reader), 0);
    assert_true(reader.failed);
    free(data);
}

static void a_short_read_fails_and_stays_failed(void **state)
{
    (void)state;
    uint8_t data[3] = { 1, 2, 3 };
    obi_reader reader = obi_reader_over(data, 3);
    assert_int_equal(obi_read_u32(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(reader.position, 0);
    assert_int_equal(obi_read_u8(&reader), 0); /* although a byte is left */
    assert_null(obi_read_bytes(&reader, 1));
    reader = obi_reader_over(data, 3);
    assert_int_equal(obi_read_u8(&reader), 1);
    assert_null(obi_read_bytes(&reader, UINT64_MAX)); /* position + count would wrap */
    assert_true(reader.failed);
    assert_int_equal(reader.position, 1);
}

/* ---- writing -------------------------------------------------------------------------------------- */

static void written_file_is_whole(void **state)
{
    (void)state;
    const char *path = scratch_path("out");
    size_t size = (5u << 20) / 2; /* more than two buffers */
    uint8_t *data = malloc(size);
    obi_rng rng = obi_rng_seed(1);
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)obi_rng_next(&rng);
    obi_writer writer;
    assert_int_equal(obi_writer_open(&writer, path), OBI_OK);
    for (size_t at = 0; at < size;) {
        size_t part = (size_t)(obi_rng_next(&rng) % 70000);
        if (obi_rng_next(&rng) % 64 == 0) part = 1500000; /* past the buffer in one call */
        if (part > size - at) part = size - at;
        assert_int_equal(obi_write(&writer, data + at, part), OBI_OK);
        at += part;
    }
    assert_int_equal(obi_write_zeros(&writer, 10000), OBI_OK);
    assert_int_equal(writer.written, size + 10000);
    assert_int_equal(obi_write_at(&writer, 3, "xyz", 3), OBI_OK);
    assert_int_equal(obi_write(&writer, "end", 3), OBI_OK);
    assert_false(exists(path));
    assert_true(exists(writer.temporary));
    char temporary[1024];
    snprintf(temporary, sizeof temporary, "%s", writer.temporary);
    assert_int_equal(obi_writer_commit(&writer), OBI_OK);
    assert_false(exists(temporary));
    memcpy(data + 3, "xyz", 3);
    obi_mapping mapping;
    assert_int_equal(obi_mapping_open(&mapping, path), OBI_OK);
    assert_int_equal(mapping.size, size + 10003);
    assert_memory_equal(mapping.data, data, size);
    for (size_t i = 0; i < 10000; i++) assert_int_equal(mapping.data[size + i], 0);
    assert_memory_equal(mapping.data + size + 10000, "end", 3);
    obi_mapping_close(&mapping);
    obi_writer_abandon(&writer); /* after a commit: nothing */
    assert_true(exists(path));
    free(data);
    unlink(path);
}

static void abandoned_file_leaves_the_old_one(void **state)
{
    (void)state;
    const char *path = scratch_path("kept");
    obi_writer writer;
    char temporary[1024];
    put_file(path, "old", 3);
    assert_int_equal(obi_writer_open(&writer, path), OBI_OK);
    snprintf(temporary, sizeof temporary, "%s", writer.temporary);
    assert_int_equal(obi_write(&writer, "new", 3), OBI_OK);
    obi_writer_abandon(&writer);
    obi_writer_abandon(&writer);
    assert_false(exists(temporary));
    obi_mapping mapping;
    assert_int_equal(obi_mapping_open(&mapping, path), OBI_OK);
    assert_memory_equal(mapping.data, "old", 3);
    obi_mapping_close(&mapping);
    unlink(path);
}

static void unwritable_places_are_refused(void **state)
{
    (void)state;
    obi_writer writer;
    assert_int_equal(obi_writer_open(&writer, scratch_directory), OBI_ERROR_ARGUMENT);
    assert_int_equal(obi_writer_open(&writer, scratch_path("no/such/place")), OBI_ERROR_RUNTIME);
    assert_non_null(strstr(obi_last_error(), "no/such/place"));
    obi_writer_abandon(&writer);
}

static void commit_fails_when_the_name_is_taken_by_a_directory(void **state)
{
    (void)state;
    char path[1024], temporary[1024];
    snprintf(path, sizeof path, "%s", scratch_path("taken"));
    obi_writer writer;
    assert_int_equal(obi_writer_open(&writer, path), OBI_OK);
    snprintf(temporary, sizeof temporary, "%s", writer.temporary);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(obi_writer_commit(&writer), OBI_ERROR_RUNTIME);
    assert_false(exists(temporary));
    rmdir(path);
}

static void directories_are_made_with_parents(void **state)
{
    (void)state;
    char deep[1024];
    snprintf(deep, sizeof deep, "%s", scratch_path("x/y//z/"));
    assert_int_equal(obi_make_directories(deep), OBI_OK);
    assert_int_equal(obi_make_directories(deep), OBI_OK);
    assert_true(exists(scratch_path("x/y/z")));
    rmdir(scratch_path("x/y/z"));
    rmdir(scratch_path("x/y"));
    rmdir(scratch_path("x"));
    put_file(scratch_path("plain"), "", 0);
    assert_int_equal(obi_make_directories(scratch_path("plain/z")), OBI_ERROR_RUNTIME);
    unlink(scratch_path("plain"));
}

/* ---- checked -------------------------------------------------------------------------------------- */

static void checked_arithmetic_refuses_overflow(void **state)
{
    (void)state;
    uint64_t result = 5;
    assert_true(obi_checked_add(UINT64_MAX - 1, 1, &result));
    assert_true(result == UINT64_MAX);
    result = 9;
    assert_false(obi_checked_add(UINT64_MAX, 1, &result));
    assert_int_equal(result, 9);
    assert_true(obi_checked_mul(UINT64_MAX, 1, &result));
    assert_true(obi_checked_mul(UINT64_C(1) << 32, (UINT64_C(1) << 32) - 1, &result));
    result = 9;
    assert_false(obi_checked_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &result));
    assert_int_equal(result, 9);
    assert_true(obi_checked_align(0, 32, &result));
    assert_int_equal(result, 0);
    assert_true(obi_checked_align(1, 32, &result));
    assert_int_equal(result, 32);
    assert_true(obi_checked_align(64, 32, &result));
    assert_int_equal(result, 64);
    assert_true(obi_checked_align(UINT64_MAX - 31, 32, &result));
    result = 9;
    assert_false(obi_checked_align(UINT64_MAX - 30, 32, &result));
    assert_int_equal(result, 9);
    assert_int_equal(obi_align_up(33, 32), 64);
    assert_int_equal(obi_align_up(30, 10), 30);
    assert_int_equal(obi_div_ceil(33, 32), 2);
    assert_int_equal(obi_div_ceil(0, 32), 0);
}

/* ---- half ----------------------------------------------------------------------------------------- */

/* A half's value from its definition. */
static double half_value(uint16_t half)
{
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double value = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
    if (exponent == 31) value = mantissa == 0 ? (double)INFINITY : (double)NAN;
    return half & 0x8000 ? -value : value;
}

static void every_half_becomes_its_value_and_returns(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        float value = obi_half_to_float((uint16_t)half);
        double expected = half_value((uint16_t)half);
        if (isnan(expected)) {
            assert_true(isnan(value));
            assert_true(isnan(obi_half_to_float(obi_float_to_half(value))));
            continue;
        }
        assert_true((double)value == expected);
        assert_int_equal(!!signbit(value), half >> 15);
        assert_int_equal(obi_float_to_half(value), half);
    }
}

/* The nearest half by search: halves of one sign are in the order of their bits. 65536 stands in for infinity, as
 * the next value would be, so that ties and overflow need no case of their own. */
static uint16_t nearest_half(float value)
{
    if (isnan(value)) return 0x7e00;
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    double size = fabs((double)value);
    if (size >= 65536) return (uint16_t)(sign | 0x7c00);
    uint32_t low = 0, high = 0x7c00; /* value(low) <= size < value(high) */
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (half_value((uint16_t)middle) <= size) low = middle;
        else high = middle;
    }
    double below = size - half_value((uint16_t)low);
    double above = (high == 0x7c00 ? 65536 : half_value((uint16_t)high)) - size;
    uint32_t nearest = below < above || (below == above && low % 2 == 0) ? low : high;
    return (uint16_t)(sign | nearest);
}

static void check_rounding(float value)
{
    uint16_t got = obi_float_to_half(value), expected = nearest_half(value);
    if (isnan(value)) {
        assert_true((got & 0x7c00) == 0x7c00 && (got & 0x3ff) != 0);
        return;
    }
    if (got != expected) fail_msg("%a became half %04x and not %04x", (double)value, got, expected);
}

static void rounding_is_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x7c00; half++) {
        double next = half + 1 == 0x7c00 ? 65536 : half_value((uint16_t)(half + 1));
        float middle = (float)((half_value((uint16_t)half) + next) / 2); /* exact: 12 bits */
        check_rounding(middle);
        check_rounding(-middle);
        check_rounding(nextafterf(middle, 0));
        check_rounding(nextafterf(middle, INFINITY));
        check_rounding(nextafterf((float)half_value((uint16_t)half), INFINITY));
    }
    check_rounding(INFINITY);
    check_rounding(-INFINITY);
    check_rounding(NAN);
    check_rounding(0x1.fffffep127f);
    check_rounding(0x1p-149f);
    obi_rng rng = obi_rng_seed(7);
    for (int i = 0; i < 300000; i++) check_rounding(obi_float_from_bits((uint32_t)obi_rng_next(&rng)));
    for (int i = 0; i < 300000; i++) { /* exponents near those of a half */
        uint32_t bits = (uint32_t)obi_rng_next(&rng);
        check_rounding(obi_float_from_bits((bits & 0x807fffff) | (96 + bits % 53) << 23));
    }
}

static void bfloat_is_the_upper_half_of_a_float(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++)
        assert_int_equal(obi_float_bits(obi_bfloat_to_float((uint16_t)bits)), bits << 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mapping_shows_the_file),
        cmocka_unit_test(released_pages_stay_readable),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(memory_is_wrapped_not_freed),
        cmocka_unit_test(reader_is_little_endian_and_bounded),
        cmocka_unit_test(a_short_read_fails_and_stays_failed),
        cmocka_unit_test(written_file_is_whole),
        cmocka_unit_test(abandoned_file_leaves_the_old_one),
        cmocka_unit_test(unwritable_places_are_refused),
        cmocka_unit_test(commit_fails_when_the_name_is_taken_by_a_directory),
        cmocka_unit_test(directories_are_made_with_parents),
        cmocka_unit_test(checked_arithmetic_refuses_overflow),
        cmocka_unit_test(every_half_becomes_its_value_and_returns),
        cmocka_unit_test(rounding_is_to_nearest_even),
        cmocka_unit_test(bfloat_is_the_upper_half_of_a_float),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}

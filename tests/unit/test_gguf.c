/* The container: what is written is read back, byte for byte and value for value; misuse of the writer is refused. */
#include <math.h>
#include <string.h>

#include "data.h"
#include "gguf_use.h"
#include "scratch.h"
#include "core/alloc.h"
#include "core/rng.h"
#include "model/gguf.h"

static const uint64_t square[2] = { 32, 4 }, row[1] = { 5 }, signs[2] = { 2, 3 };

/* A file with each kind of key and four tensors, the last of a size that needs no padding. */
static void put_sample(obi_gguf_writer *writer)
{
    static const obi_gguf_string strings[] = { { "one", 3 }, { "", 0 }, { "a\0b", 3 } };
    static const float floats[] = { 1.5f, -INFINITY, 0x1p-149f };
    static const int32_t integers[] = { 0, -1, INT32_MAX, INT32_MIN };
    obi_gguf_put_string(writer, "general.architecture", "sample");
    obi_gguf_put_u32(writer, "a.u32", UINT32_MAX);
    obi_gguf_put_u64(writer, "a.u64", UINT64_MAX);
    obi_gguf_put_f32(writer, "a.f32", 0.1f);
    obi_gguf_put_bool(writer, "a.true", true);
    obi_gguf_put_bool(writer, "a.false", false);
    obi_gguf_put_strings(writer, "a.strings", strings, 3);
    obi_gguf_put_f32s(writer, "a.floats", floats, 3);
    obi_gguf_put_i32s(writer, "a.integers", integers, 4);
    obi_gguf_put_strings(writer, "a.none", NULL, 0);
    obi_gguf_put_f32s(writer, "a.zero", NULL, 0);
    obi_gguf_add_tensor(writer, "quantised", OBI_DTYPE_Q8_0, 2, square);
    obi_gguf_add_tensor(writer, "halves", OBI_DTYPE_F16, 1, row);
    obi_gguf_add_tensor(writer, "a_name_of_sixty-three_characters_is_the_longest_that_fits______", OBI_DTYPE_I32, 2, signs);
    obi_gguf_add_tensor(writer, "last", OBI_DTYPE_F32, 1, square);
}

static const uint64_t sample_bytes[4] = { 136, 10, 24, 128 };

static void write_sample(const char *path, uint64_t *file_bytes)
{
    obi_gguf_writer *writer;
    obi_rng rng = obi_rng_seed(3);
    uint8_t data[136];
    assert_int_equal(obi_gguf_writer_create(&writer, path), OBI_OK);
    put_sample(writer);
    assert_int_equal(obi_gguf_writer_begin(writer), OBI_OK);
    for (int t = 0; t < 4; t++) {
        for (size_t i = 0; i < sample_bytes[t]; i++) data[i] = (uint8_t)obi_rng_next(&rng);
        assert_int_equal(obi_gguf_write(writer, data, 3), OBI_OK); /* in parts */
        assert_int_equal(obi_gguf_write(writer, data, 0), OBI_OK);
        assert_int_equal(obi_gguf_write(writer, data + 3, sample_bytes[t] - 3), OBI_OK);
    }
    assert_int_equal(obi_gguf_writer_commit(writer, file_bytes), OBI_OK);
}

static void round_trip(void **state)
{
    (void)state;
    const char *path = scratch_path("round");
    uint64_t file_bytes = 0;
    obi_gguf gguf;
    write_sample(path, &file_bytes);
    assert_int_equal(obi_gguf_open(&gguf, path), OBI_OK);
    assert_int_equal(gguf.mapping.size, file_bytes);
    assert_int_equal(file_bytes % 32, 0);
    assert_int_equal(gguf.version, 3);
    assert_int_equal(gguf.alignment, 32);
    assert_int_equal(gguf.value_count, 11);
    assert_int_equal(gguf.tensor_count, 4);

    obi_gguf_string string;
    uint32_t u32;
    float f32;
    bool truth;
    const obi_gguf_value *array;
    assert_int_equal(obi_gguf_get_string(&gguf, "general.architecture", true, &string), OBI_OK);
    assert_int_equal(string.length, 6);
    assert_memory_equal(string.text, "sample", 6);
    assert_int_equal(obi_gguf_get_u32(&gguf, "a.u32", true, &u32), OBI_OK);
    assert_true(u32 == UINT32_MAX);
    assert_int_equal(obi_gguf_get_u32(&gguf, "a.u64", true, &u32), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "18446744073709551615"));
    assert_int_equal(obi_gguf_get_f32(&gguf, "a.f32", true, &f32), OBI_OK);
    assert_true(f32 == 0.1f);
    assert_int_equal(obi_gguf_get_bool(&gguf, "a.true", true, &truth), OBI_OK);
    assert_true(truth);
    assert_int_equal(obi_gguf_get_bool(&gguf, "a.false", true, &truth), OBI_OK);
    assert_false(truth);
    assert_int_equal(obi_gguf_get_array(&gguf, "a.strings", OBI_GGUF_STRING, true, &array), OBI_OK);
    assert_int_equal(array->count, 3);
    assert_int_equal(array->strings[1].length, 0);
    assert_int_equal(array->strings[2].length, 3);
    assert_memory_equal(array->strings[2].text, "a\0b", 3);
    /* In place: nothing of the file was copied. */
    const uint8_t *begin = gguf.mapping.data, *end = begin + gguf.mapping.size;
    assert_true((const uint8_t *)array->strings[2].text > begin && (const uint8_t *)array->strings[2].text < end);
    assert_int_equal(obi_gguf_get_array(&gguf, "a.floats", OBI_GGUF_F32, true, &array), OBI_OK);
    assert_int_equal(array->count, 3);
    assert_true(obi_gguf_array_f32(array, 0) == 1.5f && isinf(obi_gguf_array_f32(array, 1)));
    assert_true(obi_gguf_array_f32(array, 2) == 0x1p-149f && obi_gguf_array_f32(array, 3) == 0);
    assert_int_equal(obi_gguf_get_array(&gguf, "a.integers", OBI_GGUF_I32, true, &array), OBI_OK);
    assert_int_equal(array->count, 4);
    assert_int_equal(obi_gguf_array_i32(array, 1), -1);
    assert_int_equal(obi_gguf_array_i32(array, 3), INT32_MIN);
    assert_true(obi_gguf_array_f32(array, 3) == -0x1p31f);
    assert_int_equal(obi_gguf_get_array(&gguf, "a.none", OBI_GGUF_STRING, true, &array), OBI_OK);
    assert_int_equal(array->count, 0);

    static const char *const names[4] = { "quantised", "halves", "a_name_of_sixty-three_characters_is_the_longest_that_fits______",
                                          "last" };
    static const obi_dtype types[4] = { OBI_DTYPE_Q8_0, OBI_DTYPE_F16, OBI_DTYPE_I32, OBI_DTYPE_F32 };
    obi_rng rng = obi_rng_seed(3);
    for (int t = 0; t < 4; t++) {
        const obi_gguf_tensor *tensor = obi_gguf_find_tensor(&gguf, names[t]);
        assert_ptr_equal(tensor, &gguf.tensors[t]);
        assert_string_equal(tensor->name, names[t]);
        assert_int_equal(tensor->type, types[t]);
        assert_int_equal(tensor->bytes, sample_bytes[t]);
        assert_int_equal(tensor->offset % 32, 0);
        assert_ptr_equal(tensor->data, gguf.mapping.data + tensor->offset);
        for (size_t i = 0; i < sample_bytes[t]; i++) assert_int_equal(tensor->data[i], (uint8_t)obi_rng_next(&rng));
    }
    assert_int_equal(gguf.tensors[0].dimensions, 2);
    assert_true(gguf.tensors[0].shape[0] == 32 && gguf.tensors[0].shape[1] == 4 && gguf.tensors[0].shape[2] == 1);
    assert_null(obi_gguf_find_tensor(&gguf, "half"));
    assert_null(obi_gguf_find_tensor(&gguf, "halvest"));
    assert_null(obi_gguf_find_tensor(&gguf, ""));
    assert_null(obi_gguf_find(&gguf, "z"));
    obi_gguf_close(&gguf);
    obi_gguf_close(&gguf);
    unlink(path);
}

static void bytes_are_those_of_the_format(void **state)
{
    (void)state;
    static const uint8_t expected[] = {
        'G', 'G', 'U', 'F', 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, /* one tensor, one key */
        1, 0, 0, 0, 0, 0, 0, 0, 'k', 4, 0, 0, 0, 0x78, 0x56, 0x34, 0x12,                /* k, u32 */
        1, 0, 0, 0, 0, 0, 0, 0, 't', 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, /* t, [1, 2] */
        26, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,                          /* I32, offset 0, padding to 96 */
        0, 0, 0, 0, 0, 0, 0, 0, 'd', 'a', 't', 'a', 'd', 'a', 't', 'a',
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,          /* the last tensor is padded too */
    };
    static const uint64_t shape[2] = { 1, 2 };
    const char *path = scratch_path("golden");
    obi_gguf_writer *writer;
    assert_int_equal(obi_gguf_writer_create(&writer, path), OBI_OK);
    obi_gguf_put_u32(writer, "k", 0x12345678);
    obi_gguf_add_tensor(writer, "t", OBI_DTYPE_I32, 2, shape);
    assert_int_equal(obi_gguf_writer_begin(writer), OBI_OK);
    assert_int_equal(obi_gguf_write(writer, "datadata", 8), OBI_OK);
    assert_int_equal(obi_gguf_writer_commit(writer, NULL), OBI_OK);
    obi_mapping mapping;
    assert_int_equal(obi_mapping_open(&mapping, path), OBI_OK);
    assert_int_equal(mapping.size, sizeof expected);
    assert_memory_equal(mapping.data, expected, sizeof expected);
    obi_mapping_close(&mapping);
    unlink(path);
}

/* A number that is known late is written into the header; whatever else is asked for is refused, and the file does not come to be. */
static void a_number_is_rewritten(void **state)
{
    (void)state;
    static const uint64_t shape[2] = { 1, 2 };
    static const char *const bad[] = { "b", "first", "first.numbeR" };
    const char *path = scratch_path("rewritten");
    for (size_t i = 0; i <= sizeof bad / sizeof *bad + 1; i++) {
        obi_gguf_writer *writer;
        assert_int_equal(obi_gguf_writer_create(&writer, path), OBI_OK);
        obi_gguf_put_f32(writer, "first.not", 1);
        obi_gguf_put_f32(writer, "first.number", 2);
        obi_gguf_put_u32(writer, "b", 3);
        obi_gguf_add_tensor(writer, "t", OBI_DTYPE_I32, 2, shape);
        if (i > sizeof bad / sizeof *bad) { /* there is no header yet */
            assert_int_equal(obi_gguf_rewrite_f32(writer, "first.number", 4), OBI_ERROR_ARGUMENT);
            assert_non_null(strstr(obi_last_error(), "first.number was to be written anew before"));
            assert_int_equal(obi_gguf_writer_begin(writer), OBI_ERROR_ARGUMENT);
            assert_int_equal(obi_gguf_writer_commit(writer, NULL), OBI_ERROR_ARGUMENT);
            continue;
        }
        assert_int_equal(obi_gguf_writer_begin(writer), OBI_OK);
        assert_int_equal(obi_gguf_write(writer, "datadata", 8), OBI_OK);
        if (i < sizeof bad / sizeof *bad) {
            assert_int_equal(obi_gguf_rewrite_f32(writer, bad[i], 4), OBI_ERROR_ARGUMENT);
            assert_int_equal(obi_gguf_writer_commit(writer, NULL), OBI_ERROR_ARGUMENT);
            assert_int_equal(access(path, F_OK), -1);
            continue;
        }
        assert_int_equal(obi_gguf_rewrite_f32(writer, "first.number", 0.1f), OBI_OK);
        assert_int_equal(obi_gguf_writer_commit(writer, NULL), OBI_OK);
    }
    obi_gguf gguf;
    float other, number;
    uint32_t b;
    assert_int_equal(obi_gguf_open(&gguf, path), OBI_OK);
    assert_int_equal(obi_gguf_get_f32(&gguf, "first.not", true, &other), OBI_OK);
    assert_int_equal(obi_gguf_get_f32(&gguf, "first.number", true, &number), OBI_OK);
    assert_int_equal(obi_gguf_get_u32(&gguf, "b", true, &b), OBI_OK);
    assert_true(other == 1 && number == 0.1f && b == 3);
    assert_memory_equal(gguf.tensors[0].data, "datadata", 8);
    obi_gguf_close(&gguf);
    unlink(path);
}

static void the_same_calls_make_the_same_file(void **state)
{
    (void)state;
    char first[1024];
    snprintf(first, sizeof first, "%s", scratch_path("first"));
    const char *second = scratch_path("second");
    obi_mapping a, b;
    write_sample(first, NULL);
    write_sample(second, NULL);
    assert_int_equal(obi_mapping_open(&a, first), OBI_OK);
    assert_int_equal(obi_mapping_open(&b, second), OBI_OK);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    obi_mapping_close(&a);
    obi_mapping_close(&b);
    unlink(first);
    unlink(second);
}

/* Every key of a real vocabulary, copied value by value, reads back the same. */
static void copied_values_are_equal(void **state)
{
    (void)state;
    const char *path = scratch_path("copy");
    obi_gguf source, copy;
    obi_gguf_writer *writer;
    assert_int_equal(obi_gguf_open(&source, test_data_path("tokenizers/gguf/ggml-vocab-llama-spm.gguf")), OBI_OK);
    assert_int_equal(obi_gguf_writer_create(&writer, path), OBI_OK);
    for (uint64_t i = 0; i < source.value_count; i++) obi_gguf_put_value(writer, &source.values[i]);
    assert_int_equal(obi_gguf_writer_begin(writer), OBI_OK);
    assert_int_equal(obi_gguf_writer_commit(writer, NULL), OBI_OK);
    assert_int_equal(obi_gguf_open(&copy, path), OBI_OK);
    /* The order is kept and there are no tensors: the files are equal to the byte. */
    assert_int_equal(copy.mapping.size, source.mapping.size);
    assert_memory_equal(copy.mapping.data, source.mapping.data, copy.mapping.size);
    assert_true(gguf_use(&copy) > 0 && gguf_use(&copy) == gguf_use(&source));
    obi_gguf_close(&source);
    obi_gguf_close(&copy);
    unlink(path);
}

static void put_little(uint8_t *bytes, size_t *at, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) bytes[(*at)++] = (uint8_t)(value >> (8 * i));
}

/* Reads one key, named "k", of any type. */
static void open_one(obi_gguf *gguf, uint8_t bytes[64], obi_gguf_type type, uint64_t value, unsigned size)
{
    size_t at = 0;
    memcpy(bytes, "GGUF", 4);
    at = 4;
    put_little(bytes, &at, 3, 4);
    put_little(bytes, &at, 0, 8);
    put_little(bytes, &at, 1, 8);
    put_little(bytes, &at, 1, 8);
    bytes[at++] = 'k';
    put_little(bytes, &at, type, 4);
    put_little(bytes, &at, value, size);
    assert_int_equal(obi_gguf_open_memory(gguf, bytes, at, "one"), OBI_OK);
}

static void getters_take_any_integer_that_fits(void **state)
{
    (void)state;
    static const struct { obi_gguf_type type; uint64_t value; unsigned size; bool fits; uint32_t expected; } rows[] = {
        { OBI_GGUF_U8, 255, 1, true, 255 },
        { OBI_GGUF_I8, 127, 1, true, 127 },
        { OBI_GGUF_I8, 128, 1, false, 0 },
        { OBI_GGUF_U16, 65535, 2, true, 65535 },
        { OBI_GGUF_I16, 0x7fff, 2, true, 0x7fff },
        { OBI_GGUF_I16, 0xffff, 2, false, 0 },
        { OBI_GGUF_U32, UINT32_MAX, 4, true, UINT32_MAX },
        { OBI_GGUF_I32, INT32_MAX, 4, true, INT32_MAX },
        { OBI_GGUF_I32, UINT32_MAX, 4, false, 0 },
        { OBI_GGUF_U64, UINT32_MAX, 8, true, UINT32_MAX },
        { OBI_GGUF_U64, UINT64_C(1) << 32, 8, false, 0 },
        { OBI_GGUF_I64, UINT32_MAX, 8, true, UINT32_MAX },
        { OBI_GGUF_I64, UINT64_C(1) << 32, 8, false, 0 },
        { OBI_GGUF_I64, UINT64_MAX, 8, false, 0 },
        { OBI_GGUF_I64, UINT64_C(1) << 63, 8, false, 0 },
        { OBI_GGUF_BOOL, 1, 1, false, 0 },
        { OBI_GGUF_F32, 0x3f800000, 4, false, 0 },
        { OBI_GGUF_STRING, 0, 8, false, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t bytes[64];
        uint32_t out = 12345;
        obi_gguf gguf;
        open_one(&gguf, bytes, rows[i].type, rows[i].value, rows[i].size);
        assert_int_equal(obi_gguf_get_u32(&gguf, "k", true, &out), rows[i].fits ? OBI_OK : OBI_ERROR_DATA);
        assert_int_equal(out, rows[i].fits ? rows[i].expected : 12345);
        if (!rows[i].fits) assert_non_null(strstr(obi_last_error(), "key k"));
        if (rows[i].type == OBI_GGUF_I16 && !rows[i].fits) assert_non_null(strstr(obi_last_error(), "is -1 "));
        obi_gguf_close(&gguf);
    }
}

static void getters_refuse_other_types(void **state)
{
    (void)state;
    uint8_t bytes[64];
    obi_gguf gguf;
    float f32 = 3;
    bool truth = true;
    obi_gguf_string string = { NULL, 77 };
    const obi_gguf_value *array;
    open_one(&gguf, bytes, OBI_GGUF_U32, 1, 4);
    assert_int_equal(obi_gguf_get_f32(&gguf, "k", false, &f32), OBI_ERROR_DATA);
    assert_int_equal(obi_gguf_get_bool(&gguf, "k", false, &truth), OBI_ERROR_DATA);
    assert_int_equal(obi_gguf_get_string(&gguf, "k", false, &string), OBI_ERROR_DATA);
    assert_int_equal(obi_gguf_get_array(&gguf, "k", OBI_GGUF_U32, false, &array), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "U32"));
    /* Absent: refused when required, and left alone when not. */
    uint32_t u32 = 8;
    assert_int_equal(obi_gguf_get_u32(&gguf, "absent", false, &u32), OBI_OK);
    assert_int_equal(obi_gguf_get_u32(&gguf, "absent", true, &u32), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "absent"));
    assert_int_equal(obi_gguf_get_array(&gguf, "absent", OBI_GGUF_U32, false, &array), OBI_OK);
    assert_null(array);
    assert_true(u32 == 8 && f32 == 3 && truth && string.length == 77);
    obi_gguf_close(&gguf);
    /* A double is a float when it fits. */
    open_one(&gguf, bytes, OBI_GGUF_F64, 0x3ff8000000000000u, 8);
    assert_int_equal(obi_gguf_get_f32(&gguf, "k", true, &f32), OBI_OK);
    assert_true(f32 == 1.5f);
    obi_gguf_close(&gguf);
    open_one(&gguf, bytes, OBI_GGUF_F64, 0x7fe0000000000000u, 8);
    assert_int_equal(obi_gguf_get_f32(&gguf, "k", true, &f32), OBI_ERROR_DATA);
    obi_gguf_close(&gguf);
}

static void array_elements_saturate(void **state)
{
    (void)state;
    static const double f64[] = { NAN, 1e300, -1e300, -2.75 };
    static const uint64_t u64[] = { UINT64_MAX, 3 };
    static const int64_t i64[] = { INT64_MIN, -4 };
    obi_gguf_value array = { .type = OBI_GGUF_ARRAY, .element = OBI_GGUF_F64, .count = 4, .data = (const uint8_t *)f64 };
    assert_int_equal(obi_gguf_array_i32(&array, 0), 0);
    assert_int_equal(obi_gguf_array_i32(&array, 1), INT32_MAX);
    assert_int_equal(obi_gguf_array_i32(&array, 2), INT32_MIN);
    assert_int_equal(obi_gguf_array_i32(&array, 3), -2);
    assert_int_equal(obi_gguf_array_i32(&array, 4), 0);
    array.element = OBI_GGUF_U64, array.count = 2, array.data = (const uint8_t *)u64;
    assert_int_equal(obi_gguf_array_i32(&array, 0), INT32_MAX);
    assert_true(obi_gguf_array_f32(&array, 0) == 0x1p64f);
    array.element = OBI_GGUF_I64, array.data = (const uint8_t *)i64;
    assert_int_equal(obi_gguf_array_i32(&array, 0), INT32_MIN);
    assert_int_equal(obi_gguf_array_i32(&array, 1), -4);
    assert_true(obi_gguf_array_f32(&array, 1) == -4);
}

/* ---- the writer's rules ----------------------------------------------------------------------------- */

typedef void (*misuse)(obi_gguf_writer *writer);

static void key_twice(obi_gguf_writer *w) { obi_gguf_put_u32(w, "k", 1); obi_gguf_put_f32(w, "k", 1); }
static void key_empty(obi_gguf_writer *w) { obi_gguf_put_u32(w, "", 1); }
static void key_unprintable(obi_gguf_writer *w) { obi_gguf_put_string(w, "a\nb", "x"); }
static void key_alignment(obi_gguf_writer *w) { obi_gguf_put_u32(w, "general.alignment", 64); }
static void name_twice(obi_gguf_writer *w)
{
    obi_gguf_add_tensor(w, "t", OBI_DTYPE_F32, 1, row);
    obi_gguf_add_tensor(w, "t", OBI_DTYPE_F16, 1, row);
}
static void name_long(obi_gguf_writer *w)
{
    obi_gguf_add_tensor(w, "a_name_of_sixty-four_characters_is_one_more_than_those_that_fit_", OBI_DTYPE_F32, 1, row);
}
static void name_empty(obi_gguf_writer *w) { obi_gguf_add_tensor(w, "", OBI_DTYPE_F32, 1, row); }
static void no_dimensions(obi_gguf_writer *w) { obi_gguf_add_tensor(w, "t", OBI_DTYPE_F32, 0, row); }
static void five_dimensions(obi_gguf_writer *w) { obi_gguf_add_tensor(w, "t", OBI_DTYPE_F32, 5, row); }
static void part_block(obi_gguf_writer *w) { obi_gguf_add_tensor(w, "t", OBI_DTYPE_Q8_0, 1, row); }
static void unknown_type(obi_gguf_writer *w) { obi_gguf_add_tensor(w, "t", (obi_dtype)12, 1, row); }
static void no_elements(obi_gguf_writer *w)
{
    static const uint64_t shape[2] = { 4, 0 };
    obi_gguf_add_tensor(w, "t", OBI_DTYPE_F32, 2, shape);
}
static void too_many_elements(obi_gguf_writer *w)
{
    static const uint64_t shape[2] = { UINT64_C(1) << 40, UINT64_C(1) << 40 };
    obi_gguf_add_tensor(w, "t", OBI_DTYPE_F32, 2, shape);
}
static void callers_refusal(obi_gguf_writer *w) { obi_gguf_writer_fail(w, obi_fail(OBI_ERROR_ARGUMENT, "misuse by the caller")); }

static void misuse_is_kept_until_begin(void **state)
{
    (void)state;
    static const misuse cases[] = { key_twice, key_empty, key_unprintable, key_alignment, name_twice, name_long, name_empty, no_dimensions,
                                    five_dimensions, part_block, unknown_type, no_elements, too_many_elements, callers_refusal };
    const char *path = scratch_path("misuse");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        obi_gguf_writer *writer;
        assert_int_equal(obi_gguf_writer_create(&writer, path), OBI_OK);
        cases[i](writer);
        obi_fail(OBI_ERROR_RUNTIME, "something else");
        if (obi_gguf_writer_begin(writer) != OBI_ERROR_ARGUMENT) fail_msg("misuse %zu passed", i);
        assert_non_null(strstr(obi_last_error(), cases[i] == callers_refusal ? "misuse by the caller" : path));
        if (i % 2) obi_gguf_writer_abandon(writer);
        else assert_int_equal(obi_gguf_writer_commit(writer, NULL), OBI_ERROR_ARGUMENT);
        assert_int_not_equal(access(path, F_OK), 0);
    }
    obi_gguf_writer_abandon(NULL);
}

static void data_must_be_complete_and_no_more(void **state)
{
    (void)state;
    const char *path = scratch_path("data");
    uint8_t data[64] = { 0 };
    obi_gguf_writer *writer;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(obi_gguf_writer_create(&writer, path), OBI_OK);
        obi_gguf_add_tensor(writer, "t", OBI_DTYPE_F32, 1, row);
        if (i == 0) assert_int_equal(obi_gguf_write(writer, data, 20), OBI_ERROR_ARGUMENT); /* before begin */
        if (i > 1) assert_int_equal(obi_gguf_writer_begin(writer), OBI_OK);                 /* 1: never begun */
        if (i == 2) assert_int_equal(obi_gguf_write(writer, data, 21), OBI_ERROR_ARGUMENT);
        if (i == 3) assert_int_equal(obi_gguf_write(writer, data, 19), OBI_OK); /* incomplete */
        if (i == 4) {
            assert_int_equal(obi_gguf_write(writer, data, 20), OBI_OK);
            assert_int_equal(obi_gguf_write(writer, data, 1), OBI_ERROR_ARGUMENT);
        }
        if (i == 5) {
            assert_int_equal(obi_gguf_write(writer, data, 20), OBI_OK);
            obi_gguf_put_u32(writer, "late", 1);
        }
        if (i == 6) {
            assert_int_equal(obi_gguf_write(writer, data, 19), OBI_OK);
            assert_int_equal(obi_gguf_write(writer, data, 2), OBI_ERROR_ARGUMENT);
        }
        assert_int_equal(obi_gguf_writer_commit(writer, NULL), OBI_ERROR_ARGUMENT);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

static void alignment_key_is_not_copied(void **state)
{
    (void)state;
    static const uint8_t four[4] = { 64, 0, 0, 0 };
    const char *path = scratch_path("aligned");
    obi_gguf_value value = { .key = { "general.alignment", 17 }, .type = OBI_GGUF_U32, .element = OBI_GGUF_U32, .count = 1, .data = four };
    obi_gguf_writer *writer;
    obi_gguf gguf;
    assert_int_equal(obi_gguf_writer_create(&writer, path), OBI_OK);
    obi_gguf_put_value(writer, &value);
    assert_int_equal(obi_gguf_writer_begin(writer), OBI_OK);
    assert_int_equal(obi_gguf_writer_commit(writer, NULL), OBI_OK);
    assert_int_equal(obi_gguf_open(&gguf, path), OBI_OK);
    assert_int_equal(gguf.value_count, 0);
    obi_gguf_close(&gguf);
    unlink(path);
}

/* ---- memory ----------------------------------------------------------------------------------------- */

static long allocations_left;

static void *failing_allocate(size_t bytes, void *user) { (void)user; return allocations_left-- > 0 ? malloc(bytes) : NULL; }
static void *failing_reallocate(void *old, size_t bytes, void *user)
{
    (void)user;
    return allocations_left-- > 0 ? realloc(old, bytes) : NULL;
}
static void plain_release(void *memory, void *user) { (void)user; free(memory); }

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    static const obi_alloc_hooks hooks = { failing_allocate, failing_reallocate, plain_release, NULL };
    const char *path = scratch_path("memory");
    int reads = 0, writes = 0;
    write_sample(path, NULL);
    obi_alloc_set_hooks(&hooks);
    for (;; reads++) {
        obi_gguf gguf;
        allocations_left = reads;
        obi_status status = obi_gguf_open(&gguf, path);
        if (status == OBI_OK) {
            obi_gguf_close(&gguf);
            break;
        }
        assert_int_equal(status, OBI_ERROR_MEMORY);
    }
    assert_true(reads >= 8);
    unlink(path);
    for (;; writes++) {
        obi_gguf_writer *writer = NULL;
        allocations_left = writes;
        obi_status status = obi_gguf_writer_create(&writer, path);
        if (status == OBI_OK) put_sample(writer);
        if (status == OBI_OK) status = obi_gguf_writer_begin(writer);
        obi_gguf_writer_abandon(writer);
        if (status == OBI_OK) break;
        assert_int_equal(status, OBI_ERROR_MEMORY);
    }
    assert_true(writes >= 9);
    obi_alloc_set_hooks(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(bytes_are_those_of_the_format),
        cmocka_unit_test(a_number_is_rewritten),
        cmocka_unit_test(the_same_calls_make_the_same_file),
        cmocka_unit_test(copied_values_are_equal),
        cmocka_unit_test(getters_take_any_integer_that_fits),
        cmocka_unit_test(getters_refuse_other_types),
        cmocka_unit_test(array_elements_saturate),
        cmocka_unit_test(misuse_is_kept_until_begin),
        cmocka_unit_test(data_must_be_complete_and_no_more),
        cmocka_unit_test(alignment_key_is_not_copied),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}

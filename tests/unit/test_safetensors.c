/* quant/safetensors: every whole file is read, and nothing else is: damage of each kind, every truncated prefix. */
#include <string.h>

#include "import_files.h"
#include "quant/import/safetensors.h"

/* A file of `size` bytes in a block of exactly that size, so that a sanitizer sees any read beyond it. */
static obi_status open_exact(const void *bytes, size_t size)
{
    void *copy = malloc(size ? size : 1);
    if (size) memcpy(copy, bytes, size);
    obi_mapping mapping;
    obi_safetensors file;
    assert_int_equal(obi_mapping_from_memory(&mapping, copy, size, "test file"), OBI_OK);
    obi_status status = obi_safetensors_open(&file, &mapping);
    uint64_t sum = 0;
    for (size_t i = 0; status == OBI_OK && i < file.count; i++) {
        if (obi_safetensors_find(&file, file.tensors[i].name) != &file.tensors[i]) fail_msg("%s is not found", file.tensors[i].name);
        for (uint64_t k = 0; k < file.tensors[i].bytes; k++) sum += file.tensors[i].data[k];
    }
    if (status == OBI_OK) obi_safetensors_close(&file);
    obi_mapping_close(&mapping);
    free(copy);
    return sum == UINT64_MAX ? OBI_ERROR_RUNTIME : status;
}

/* The bytes of a file with this header and `data` zero bytes behind it. */
static uint8_t *assemble(const char *header, size_t data, size_t *size)
{
    size_t length = strlen(header);
    *size = 8 + length + data;
    uint8_t *bytes = calloc(*size, 1);
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)((uint64_t)length >> (8 * i));
    memcpy(bytes + 8, header, length);
    return bytes;
}

static void expect(const char *header, size_t data, obi_status code, const char *words)
{
    size_t size;
    uint8_t *bytes = assemble(header, data, &size);
    obi_status status = open_exact(bytes, size);
    free(bytes);
    if (status != code || (code != OBI_OK && !strstr(obi_last_error(), words)))
        fail_msg("%.200s\n gave %d \"%s\", expected %d with \"%s\"", header, status, status ? obi_last_error() : "", code, words);
}

#define ENTRY(dtype, shape, offsets) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void whole_files_are_read(void **state)
{
    (void)state;
    expect("{}", 0, OBI_OK, "");
    expect("{\"a\":" ENTRY("F32", "[2]", "[0,8]") "}   ", 8, OBI_OK, "");
    expect("{\"b\":" ENTRY("BF16", "[2,3]", "[4,16]") ",\"a\":" ENTRY("F32", "[]", "[0,4]") "}", 16, OBI_OK, "");
    expect("{\"a\":" ENTRY("F8_E4M3", "[3]", "[0,3]") ",\"b\":" ENTRY("BOOL", "[0,7]", "[3,3]") ",\"c\":" ENTRY("I64", "[1]", "[3,11]") "}",
           11, OBI_OK, "");
    expect("{\"__metadata__\":{\"a\":\"b\"},\"x\":" ENTRY("U8", "[1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, OBI_OK, "");
}

static void a_tensor_is_described(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = assemble("{\"z\":" ENTRY("I8", "[2,3]", "[0,6]") ",\"b\":" ENTRY("F16", "[2]", "[6,10]") "}", 10, &size);
    bytes[size - 4] = 0x42;
    obi_mapping mapping;
    obi_safetensors file;
    assert_int_equal(obi_mapping_from_memory(&mapping, bytes, size, "file"), OBI_OK);
    assert_int_equal(obi_safetensors_open(&file, &mapping), OBI_OK);
    assert_int_equal(file.count, 2);
    const obi_safetensors_tensor *z = obi_safetensors_find(&file, "z"), *b = obi_safetensors_find(&file, "b");
    assert_non_null(z);
    assert_non_null(b);
    assert_null(obi_safetensors_find(&file, "a"));
    assert_int_equal(z->type, OBI_DTYPE_I8);
    assert_int_equal(z->dimensions, 2);
    assert_int_equal(z->shape[1], 3);
    assert_int_equal(b->bytes, 4);
    assert_int_equal(b->data[0], 0x42);
    obi_safetensors_close(&file);
    obi_safetensors_close(&file);
    obi_mapping_close(&mapping);
    free(bytes);
}

static void damaged_ranges_are_refused(void **state)
{
    (void)state;
    const obi_status bad = OBI_ERROR_DATA;
    expect("{\"a\":" ENTRY("F32", "[2]", "[0,8]") ",\"b\":" ENTRY("F32", "[2]", "[4,12]") "}", 12, bad, "overlaps");
    expect("{\"a\":" ENTRY("F32", "[2]", "[0,8]") ",\"b\":" ENTRY("F32", "[2]", "[0,8]") "}", 8, bad, "overlaps");
    expect("{\"a\":" ENTRY("F32", "[2]", "[0,8]") ",\"b\":" ENTRY("F32", "[2]", "[12,20]") "}", 20, bad,
           "before tensor b belong to no tensor");
    expect("{\"a\":" ENTRY("F32", "[2]", "[4,12]") "}", 12, bad, "4 bytes before tensor a");
    expect("{\"a\":" ENTRY("F32", "[2]", "[0,8]") "}", 9, bad, "1 bytes after the last tensor");
    expect("{}", 1, bad, "after the last tensor");
    expect("{\"a\":" ENTRY("F32", "[2]", "[0,8]") "}", 7, bad, "cut short");
    expect("{\"a\":" ENTRY("F32", "[2]", "[8,0]") "}", 8, bad, "ends at byte 0");
    expect("{\"a\":" ENTRY("F32", "[2]", "[-8,0]") "}", 8, bad, "non-negative");
    expect("{\"a\":" ENTRY("F32", "[2]", "[0,-8]") "}", 8, bad, "non-negative");
    expect("{\"a\":" ENTRY("F32", "[2]", "[0,9]") "}", 9, bad, "9 bytes where its shape asks for 8");
    expect("{\"a\":" ENTRY("F32", "[2]", "[9223372036854775800,9223372036854775807]") "}", 8, bad, "non-negative integer");
    expect("{\"a\":" ENTRY("F32", "[2]", "[9007199254740991,9007199254740992]") "}", 8, bad, "cut short");
    expect("{\"a\":" ENTRY("F32", "[2]", "[18446744073709551608,0]") "}", 8, bad, "non-negative integer");
    expect("{\"a\":" ENTRY("F32", "[2]", "[0]") "}", 8, bad, "not a pair");
    expect("{\"a\":" ENTRY("F32", "[2]", "[0,4,8]") "}", 8, bad, "not a pair");
    expect("{\"a\":" ENTRY("F32", "[2]", "{\"0\":0}") "}", 8, bad, "not an array");
    expect("{\"a\":" ENTRY("F32", "[2]", "[\"0\",\"8\"]") "}", 8, bad, "non-negative integer");
}

static void damaged_shapes_are_refused(void **state)
{
    (void)state;
    const obi_status bad = OBI_ERROR_DATA;
    expect("{\"a\":" ENTRY("F32", "[4294967296,4294967296]", "[0,0]") "}", 0, bad, "overflows");
    expect("{\"a\":" ENTRY("F32", "[4611686018427387904]", "[0,0]") "}", 0, bad, "non-negative integer");
    expect("{\"a\":" ENTRY("F32", "[2251799813685248,2048]", "[0,0]") "}", 0, bad, "overflows");
    expect("{\"a\":" ENTRY("F32", "[-1]", "[0,0]") "}", 0, bad, "non-negative");
    expect("{\"a\":" ENTRY("F32", "[-2,-2]", "[0,16]") "}", 16, bad, "non-negative");
    expect("{\"a\":" ENTRY("F32", "[1.5]", "[0,6]") "}", 6, bad, "non-negative");
    expect("{\"a\":" ENTRY("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, bad, "9 dimensions");
    expect("{\"a\":" ENTRY("F32", "2", "[0,8]") "}", 8, bad, "\"shape\" is not an array");
    expect("{\"a\":" ENTRY("Q4", "[2]", "[0,8]") "}", 8, bad, "unknown dtype \"Q4\"");
    expect("{\"a\":" ENTRY("f32", "[2]", "[0,8]") "}", 8, bad, "unknown dtype");
    expect("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, bad, "\"dtype\" is missing");
    expect("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, bad, "\"shape\" is missing");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, bad, "\"data_offsets\" is missing");
    expect("{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, bad, "\"dtype\" is not a text");
    expect("{\"a\":[]}", 0, bad, "not an object");
    expect("{\"a\":null}", 0, bad, "not an object");
}

static void damaged_headers_are_refused(void **state)
{
    (void)state;
    const obi_status bad = OBI_ERROR_DATA;
    expect("{\"a\":" ENTRY("F32", "[2]", "[0,8]") ",\"a\":" ENTRY("F32", "[2]", "[8,16]") "}", 16, bad, "duplicate");
    expect("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, bad, "duplicate");
    expect("{\"__metadata__\":{\"a\":1}}", 0, bad, "__metadata__");
    expect("{\"__metadata__\":7}", 0, bad, "__metadata__");
    expect("[]", 0, bad, "does not begin with {");
    expect(" {}", 0, bad, "does not begin with {");
    expect("{} x", 0, bad, "not valid JSON");
    expect("{\"a\":", 0, bad, "not valid JSON");
    expect("{\"\xff\":1}", 0, bad, "not valid JSON");
    expect("{\"a\\u0000b\":1}", 0, bad, "not valid JSON");
    char *deep = malloc(200001);
    memset(deep, '[', 200000);
    memcpy(deep, "{\"a\":", 5);
    deep[200000] = 0;
    expect(deep, 0, bad, "not valid JSON");
    free(deep);
}

static void header_lengths_are_bounded(void **state)
{
    (void)state;
    static const uint64_t lengths[] = { 3, 100, 99999999, 100000000, 100000001, UINT32_MAX, UINT64_C(1) << 32, INT64_MAX,
                                        UINT64_C(1) << 63, UINT64_MAX - 8, UINT64_MAX - 7, UINT64_MAX };
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        uint8_t bytes[10] = { 0, 0, 0, 0, 0, 0, 0, 0, '{', '}' };
        for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(lengths[k] >> (8 * i));
        assert_int_equal(open_exact(bytes, sizeof bytes), OBI_ERROR_DATA);
        assert_non_null(strstr(obi_last_error(), lengths[k] > 100000000 ? "its header would have" : "cut short"));
    }
    uint8_t zero[8] = { 0 };
    assert_int_equal(open_exact(zero, 8), OBI_ERROR_DATA);
    assert_int_equal(open_exact(zero, 0), OBI_ERROR_DATA);
}

static void every_prefix_is_refused(void **state)
{
    (void)state;
    st_file *file = malloc(sizeof *file);
    st_begin(file);
    toy_add(file, 1, 4, "BF16");
    st_write(file, "toy");
    free(file);
    uint8_t *bytes;
    size_t size = slurp(scratch_path("toy"), &bytes);
    for (size_t cut = 0; cut < size; cut++)
        if (open_exact(bytes, cut) != OBI_ERROR_DATA) fail_msg("the first %zu of %zu bytes were accepted", cut, size);
    assert_int_equal(open_exact(bytes, size), OBI_OK);
    free(bytes);
}

static void every_prefix_of_a_real_file_is_refused(void **state)
{
    (void)state;
    uint8_t *bytes;
    size_t size = slurp(test_data_path("models/tinystories656k/model.safetensors"), &bytes);
    for (size_t cut = 0; cut < size; cut += cut < 4096 ? 1 : 40009)
        if (open_exact(bytes, cut) != OBI_ERROR_DATA) fail_msg("the first %zu of %zu bytes were accepted", cut, size);
    assert_int_equal(open_exact(bytes, size - 1), OBI_ERROR_DATA);
    assert_int_equal(open_exact(bytes, size), OBI_OK);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_files_are_read),
        cmocka_unit_test(a_tensor_is_described),
        cmocka_unit_test(damaged_ranges_are_refused),
        cmocka_unit_test(damaged_shapes_are_refused),
        cmocka_unit_test(damaged_headers_are_refused),
        cmocka_unit_test(header_lengths_are_bounded),
        cmocka_unit_test_teardown(every_prefix_is_refused, clear_scratch),
        cmocka_unit_test(every_prefix_of_a_real_file_is_refused),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}

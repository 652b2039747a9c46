/* test_weight_upload: what lies in a weight's blocks after an upload, word for word: through the staging buffer and in place, of every
 * layout, cut in odd places, from an odd address, with rubbish in the pad bits; and in weights that are pages of a file. */
#include "device.h"

#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "ops/op_dense.h"
#include "ops/tensor.h"
#include "scratch.h"

#define RUBBISH 0xdeadbeefu

static uint32_t rows_at_once; /* of one call; 0: all */

/* The words of block `block` by the definition of the layouts in ops/tensor.h. */
static void expected_block(const obi_weight *weight, const uint32_t *words, uint32_t block, uint32_t *out)
{
    uint32_t first = block * weight->block_rows, rows = weight->rows - first, row_words = weight->row_words;
    if (rows > weight->block_rows) rows = weight->block_rows;
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t i = 0; i < row_words; i++) {
            uint32_t word = words[(uint64_t)(first + row) * row_words + i];
            bool last = i + 1 == row_words && weight->columns % 32 && obi_weight_is_signs(weight->type);
            if (last) word &= (1u << weight->columns % 32) - 1;
            uint64_t tile = row / OBI_TILE_ROWS * OBI_TILE_ROWS;
            uint64_t at = weight->type == OBI_WEIGHT_SIGN_TILES ? tile * row_words + (uint64_t)i * OBI_TILE_ROWS + row % OBI_TILE_ROWS
                                                                 : (uint64_t)row * row_words + i;
            out[at] = word;
        }
}

static void check_block(const obi_weight *weight, const uint32_t *words, uint32_t block)
{
    uint32_t first, count;
    obi_view view = obi_weight_block(weight, block, &first, &count);
    size_t stored = weight->type == OBI_WEIGHT_SIGN_TILES ? obi_align_up(count, OBI_TILE_ROWS) : count;
    size_t bytes = stored * weight->row_words * 4;
    uint32_t *want = obi_calloc(1, bytes), *got = obi_calloc(1, bytes);
    assert_true(want && got && view.size >= bytes);
    expected_block(weight, words, block, want);
    TEST_OK(obi_download_bytes(test_device(), view, got, bytes));
    assert_memory_equal(got, want, bytes);
    obi_free(want);
    obi_free(got);
}

static void upload_and_check(obi_weight_type type, uint32_t rows, uint32_t columns, uint64_t block_bytes, bool in_place)
{
    obi_weight weight;
    obi_upload *upload;
    obi_rng rng = obi_rng_seed(rows + columns);
    TEST_OK(obi_weight_create(test_device(), type, rows, columns, block_bytes, &weight));
    TEST_OK(obi_upload_create(test_device(), &upload));
    for (uint32_t i = 0; i < weight.block_count; i++) {
        obi_cmd *cmd = test_env()->cmd;
        obi_cmd_begin(cmd);
        obi_cmd_fill(cmd, obi_view_of(weight.blocks[i]), RUBBISH);
        TEST_OK(obi_cmd_run(cmd));
    }
    if (in_place) obi_upload_in_place(upload);
    size_t count = (size_t)rows * weight.row_words;
    uint8_t *odd = obi_calloc(1, count * 4 + 1);
    uint32_t *words = obi_calloc(count, 4);
    assert_true(odd && words);
    for (size_t i = 0; i < count; i++) words[i] = (uint32_t)(obi_rng_next(&rng) >> 16);
    memcpy(odd + 1, words, count * 4);
    uint32_t step = rows_at_once && rows_at_once < rows ? rows_at_once : rows;
    for (uint32_t first = 0; first < rows; first += step)
        TEST_OK(obi_weight_upload(upload, &weight, first, rows - first < step ? rows - first : step,
                                  odd + 1 + (size_t)first * weight.row_words * 4));
    TEST_OK(obi_upload_finish(upload));
    for (uint32_t i = 0; i < weight.block_count; i++) check_block(&weight, words, i);
    obi_upload_destroy(upload);
    obi_weight_destroy(test_device(), &weight);
    obi_free(odd);
    obi_free(words);
}

static void test_layouts(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = { { 1, 1 },    { 2, 31 },    { 15, 33 },    { 127, 500 },
                                         { 128, 64 }, { 129, 513 }, { 300, 1000 }, { 1000, 97 } };
    static const obi_weight_type types[] = { OBI_WEIGHT_F32, OBI_WEIGHT_F16, OBI_WEIGHT_SIGN, OBI_WEIGHT_SIGN_TILES };
    for (size_t t = 0; t < 4; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int in_place = 0; in_place < 2; in_place++) {
                uint32_t rows = sizes[s][0], columns = sizes[s][1];
                uint64_t tile = (uint64_t)obi_weight_row_words(types[t], columns) * 4 * OBI_TILE_ROWS;
                for (int cut = 0; cut < 2; cut++) {
                    rows_at_once = cut ? types[t] == OBI_WEIGHT_SIGN_TILES ? OBI_TILE_ROWS : 7 : 0;
                    upload_and_check(types[t], rows, columns, 0, in_place);
                    upload_and_check(types[t], rows, columns, 3 * tile, in_place); /* blocks of 384 rows */
                }
            }
    rows_at_once = 0;
    test_device_check();
}

/* More than the staging buffer holds, and enough for several threads. */
static void test_large(void **state)
{
    (void)state;
    for (int in_place = 0; in_place < 2; in_place++) {
        upload_and_check(OBI_WEIGHT_SIGN_TILES, 20000, 4033, 0, in_place);
        upload_and_check(OBI_WEIGHT_SIGN, 20000, 4033, 0, in_place);
        upload_and_check(OBI_WEIGHT_F16, 3001, 3001, 5 << 20, in_place);
    }
    test_device_check();
}

static void test_refused(void **state)
{
    (void)state;
    obi_upload *upload;
    obi_weight weight;
    uint32_t words[64] = { 0 };
    TEST_OK(obi_upload_create(test_device(), &upload));
    TEST_OK(obi_weight_create(test_device(), OBI_WEIGHT_SIGN, 8, 40, 0, &weight));
    assert_int_equal(obi_weight_upload(upload, &weight, 9, 0, words), OBI_ERROR_ARGUMENT);
    assert_int_equal(obi_weight_upload(upload, &weight, 0, 9, words), OBI_ERROR_ARGUMENT);
    assert_int_equal(obi_weight_upload(upload, &weight, 8, UINT32_MAX, words), OBI_ERROR_ARGUMENT);
    assert_int_equal(obi_upload_commit(upload), OBI_ERROR_ARGUMENT);
    void *space;
    obi_view beyond = { weight.blocks[0], 4, weight.blocks[0]->size };
    assert_int_equal(obi_upload_reserve(upload, beyond, &space), OBI_ERROR_ARGUMENT);
    obi_upload_in_place(upload);
    assert_int_equal(obi_upload_reserve(upload, beyond, &space), OBI_ERROR_ARGUMENT);
    obi_weight_destroy(test_device(), &weight);
    obi_upload_destroy(upload);
    test_device_check();
}

/* ---- pages of a file ----------------------------------------------------------------------------------------------- */

#define FILE_BYTES ((6u << 20) + 100)

/* A file of random halves from 1/4 to 1/2, which are fair floats too, and its mapping. */
static void open_file(obi_mapping *mapping)
{
    const char *path = scratch_path("words");
    obi_rng rng = obi_rng_seed(8);
    obi_writer writer;
    uint32_t *words = obi_calloc(FILE_BYTES / 4, 4);
    assert_non_null(words);
    for (size_t i = 0; i < FILE_BYTES / 4; i++) words[i] = ((uint32_t)(obi_rng_next(&rng) >> 20) & 0x83ff83ffu) | 0x34003400u;
    TEST_OK(obi_writer_open(&writer, path));
    TEST_OK(obi_write(&writer, words, FILE_BYTES));
    TEST_OK(obi_writer_commit(&writer));
    TEST_OK(obi_mapping_open(mapping, path));
    obi_free(words);
    unlink(path);
}

/* y = W x of an imported weight and of the same words uploaded: the same bits. */
static void compare_products(const obi_weight *imported, const void *words)
{
    obi_case_env *env = test_env();
    obi_weight uploaded;
    obi_view x, y[2];
    uint32_t m = imported->rows, n = imported->columns;
    obi_case_env_clear(env);
    TEST_OK(obi_weight_create(env->device, imported->type, m, n, 0, &uploaded));
    TEST_OK(obi_weight_upload(env->upload, &uploaded, 0, m, words));
    TEST_OK(obi_upload_finish(env->upload));
    float *values = obi_case_normal(env, n, 1.0), *got = obi_case_zeros(env, m), *want = obi_case_zeros(env, m);
    assert_true(values && got && want);
    TEST_OK(obi_case_upload(env, values, (uint64_t)n * 4, &x));
    for (int i = 0; i < 2; i++) TEST_OK(obi_case_output(env, (uint64_t)m * 4, &y[i]));
    obi_cmd_begin(env->cmd);
    obi_op_dense_fwd(env->cmd, y[0], x, imported, 1);
    obi_op_dense_fwd(env->cmd, y[1], x, &uploaded, 1);
    TEST_OK(obi_cmd_run(env->cmd));
    TEST_OK(obi_case_download(env, y[0], got, (uint64_t)m * 4));
    TEST_OK(obi_case_download(env, y[1], want, (uint64_t)m * 4));
    assert_memory_equal(got, want, (size_t)m * 4);
    obi_weight_destroy(env->device, &uploaded);
}

static void test_pages_of_a_file(void **state)
{
    (void)state;
    obi_device *device = test_device();
    obi_mapping mapping, held, outside;
    open_file(&mapping);
    if (device->caps.import_alignment == 0) { /* SwiftShader has the extension and imports no memory for buffers */
        obi_weight weight;
#ifndef _WIN32 /* Wine hides the extension */
        assert_null(strstr(device->caps.name, "llvmpipe"));
#endif
        assert_false(obi_weight_import(device, OBI_WEIGHT_F32, 300, 512, &mapping, 0, &weight));
        assert_null(weight.blocks);
        obi_mapping_close(&mapping);
        return;
    }
    assert_true(obi_mapping_share(&mapping, &held));
    TEST_OK(obi_mapping_from_memory(&outside, held.data, held.size, "memory"));
    obi_mapping_close(&mapping); /* the other holder keeps the pages */
    uint64_t used = device->memory.used_bytes, reserved = device->memory.reserved_bytes;
    static const uint64_t offsets[] = { 0, 16, 32, 64, 96, 256, 4096, 4096 + 32, 8192 - 32, 100000 };
    uint32_t made = 0;
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
        for (obi_weight_type type = OBI_WEIGHT_F32; type <= OBI_WEIGHT_F16; type++) {
            obi_weight weight;
            if (!obi_weight_import(device, type, 300, 512, &held, offsets[i], &weight)) {
                assert_true(offsets[i] % device->caps.buffer_alignment != 0 && weight.blocks == NULL);
                continue;
            }
            made++;
            assert_true(device->memory.used_bytes == used && device->memory.reserved_bytes == reserved);
            check_block(&weight, (const uint32_t *)(const void *)(held.data + offsets[i]), 0);
            compare_products(&weight, held.data + offsets[i]);
            obi_weight_destroy(device, &weight);
            obi_case_env_clear(test_env());
            used = device->memory.used_bytes;
            reserved = device->memory.reserved_bytes;
        }
    assert_true(made >= 2 * 3);
    /* The last words of the file; then one past them, memory that is not a file's, a type in tiles, half a word. */
    obi_weight weight;
    uint64_t last = FILE_BYTES - FILE_BYTES % 256 - 256;
    assert_true(obi_weight_import(device, OBI_WEIGHT_F32, 1, (uint32_t)(FILE_BYTES - last) / 4, &held, last, &weight));
    check_block(&weight, (const uint32_t *)(const void *)(held.data + last), 0);
    obi_weight_destroy(device, &weight);
    assert_false(obi_weight_import(device, OBI_WEIGHT_F32, 1, (uint32_t)(FILE_BYTES - last) / 4 + 1, &held, last, &weight));
    assert_false(obi_weight_import(device, OBI_WEIGHT_F32, 2, 64, &held, UINT64_MAX - 255, &weight));
    assert_false(obi_weight_import(device, OBI_WEIGHT_F32, 2, 64, &outside, 0, &weight));
    assert_false(obi_weight_import(device, OBI_WEIGHT_SIGN_TILES, 128, 64, &held, 0, &weight));
    assert_false(obi_weight_import(device, OBI_WEIGHT_F32, 2, 64, &held, 2, &weight));
    assert_false(atomic_load(&device->memory.import_failed));
    obi_mapping_close(&held);
    obi_mapping_close(&outside);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_layouts), cmocka_unit_test(test_large), cmocka_unit_test(test_refused),
                                        cmocka_unit_test(test_pages_of_a_file) };
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, scratch_close));
}

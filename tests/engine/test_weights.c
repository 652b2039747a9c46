/* test_weights: files that are whole as GGUF but whose tensors are not what the model's sizes ask for. */
#include "device.h"

#include <string.h>
#include <unistd.h>

#include "engine/random_weights.h"
#include "engine/weights.h"
#include "scratch.h"
#include "synthetic_model.h"

/* Writes a one-layer 1-bit model of zeros whose ffn_down.weight has `type` and lies at the very end of the file. */
static void write_signs_as(obi_dtype type, const char *path)
{
    synthetic_model model = { .config = { .onebit = true, .post_norm = true, .post_norm_eps = 1e-5f, .width = 64, .layers = 1, .heads = 4,
                                          .kv_heads = 2, .head_size = 16, .ffn = 16384, .vocabulary = 33, .context = 64, .norm_eps = 1e-5f,
                                          .rope_theta = 10000, .rope_scale = 1, .rope_dimensions = 16, .tied = true },
                              .embedding = OBI_DTYPE_F16, .norm = OBI_DTYPE_F16 };
    synthetic_tensor list[4 + 2 + 3 * OBI_LINEAR_COUNT], last;
    uint32_t count = synthetic_list(&model, list), at = 0;
    while (strcmp(list[at].name, "blk.0.ffn_down.weight") != 0) at++;
    last = list[at];
    memmove(&list[at], &list[at + 1], (count - at - 1) * sizeof *list);
    last.type = type;
    list[count - 1] = last;
    obi_gguf_writer *writer;
    TEST_OK(obi_gguf_writer_create(&writer, path));
    obi_config_to_gguf(&model.config, writer);
    for (uint32_t i = 0; i < count; i++)
        obi_gguf_add_tensor(writer, list[i].name, list[i].type, list[i].rows == 1 ? 1 : 2, (uint64_t[2]){ list[i].columns, list[i].rows });
    TEST_OK(obi_gguf_writer_begin(writer));
    uint8_t *zeros = calloc(1, 1 << 20);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes;
        assert_true(obi_dtype_bytes(list[i].type, list[i].rows * list[i].columns, &bytes) && bytes <= 1 << 20);
        TEST_OK(obi_gguf_write(writer, zeros, bytes));
    }
    free(zeros);
    uint64_t file_bytes;
    TEST_OK(obi_gguf_writer_commit(writer, &file_bytes));
}

static obi_status load_lending(const char *path, bool lend, obi_weights **weights)
{
    obi_gguf gguf;
    TEST_OK(obi_gguf_open(&gguf, path));
    gguf.lend = lend;
    obi_status status = obi_weights_load(test_device(), &gguf, NULL, NULL, weights);
    obi_gguf_close(&gguf);
    return status;
}

static obi_status load(const char *path, obi_weights **weights) { return load_lending(path, false, weights); }

/* Pages of the file are taken only by leave, are counted apart, and are not memory that a context may have. */
static void test_pages_of_the_file(void **state)
{
    (void)state;
    obi_device *device = test_device();
    const char *path = scratch_path("pages.gguf");
    obi_weights *copied, *lent;
    write_signs_as(OBI_DTYPE_I32, path);
    uint64_t before = device->memory.used_bytes;
    TEST_OK(load_lending(path, false, &copied));
    uint64_t taken = device->memory.used_bytes - before;
    assert_int_equal(device->memory.imported_bytes, 0);
    TEST_OK(load_lending(path, true, &lent));
    uint64_t pages = device->memory.imported_bytes, rest = device->memory.used_bytes - before - taken;
    if (obi_memory_imports(device)) assert_int_equal(pages, 33 * 64 * 2); /* the embedding */
    else assert_int_equal(pages, 0);
    assert_in_range(rest + pages, taken - OBI_BUFFER_ALIGNMENT, taken + OBI_BUFFER_ALIGNMENT);
    assert_int_equal(lent->device_bytes, copied->device_bytes);
    if (pages > 0) { /* as if there were more pages than memory */
        device->memory.imported_bytes = UINT64_MAX / 2;
        assert_int_equal(obi_memory_fits(device, 1, "one byte"), OBI_ERROR_MEMORY);
        device->memory.imported_bytes = pages;
    }
    obi_weights_free(copied);
    obi_weights_free(lent);
    assert_int_equal(device->memory.imported_bytes, 0);
    assert_int_equal(device->memory.used_bytes, before);
    unlink(path);
    test_device_check();
}

/* Signs of a type narrower than I32 have the right shape and too few bytes: reading them as words would leave the file. */
static void test_signs_of_another_type(void **state)
{
    (void)state;
    static const obi_dtype wrong[] = { OBI_DTYPE_I8, OBI_DTYPE_I16, OBI_DTYPE_F16, OBI_DTYPE_F32, OBI_DTYPE_I64 };
    uint64_t before = test_device()->memory.used_bytes;
    const char *path = scratch_path("signs.gguf");
    obi_weights *weights;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_signs_as(wrong[i], path);
        weights = (obi_weights *)1;
        assert_int_equal(load(path, &weights), OBI_ERROR_DATA);
        assert_null(weights);
        assert_non_null(strstr(obi_last_error(), "blk.0.ffn_down.weight"));
        assert_non_null(strstr(obi_last_error(), obi_dtype_name(wrong[i])));
        assert_int_equal(test_device()->memory.used_bytes, before);
    }
    write_signs_as(OBI_DTYPE_I32, path);
    TEST_OK(load(path, &weights));
    obi_weights_free(weights);
    assert_int_equal(test_device()->memory.used_bytes, before);
    unlink(path);
    test_device_check();
}

/* What a model of random weights needs is known before: nothing is taken that was not counted, but for what lies between buffers,
 * whose beginnings are multiples of OBI_BUFFER_ALIGNMENT; the padding of tiles is not that small. */
static void test_bytes_of_random_weights(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = { { 64, 172 }, { 200, 130 }, { 256, 1000 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        obi_config config;
        obi_weights *weights;
        TEST_OK(obi_random_config(sizes[i][0], sizes[i][1], 2, 4, 2, 300, 64, &config));
        if (i > 0) TEST_OK(obi_random_config_planes(&config, 1 + (uint32_t)i));
        uint64_t before = test_device()->memory.used_bytes, bytes = obi_random_weights_bytes(test_device(), &config);
        TEST_OK(obi_random_weights_create(test_device(), &config, 1, NULL, NULL, &weights));
        uint64_t used = test_device()->memory.used_bytes - before, buffers = 3 + 2 * (OBI_LINEAR_COUNT + 3);
        if (used > bytes + buffers * OBI_BUFFER_ALIGNMENT)
            fail_msg("%u x %u: %llu bytes were counted and %llu taken", sizes[i][0], sizes[i][1], (unsigned long long)bytes,
                     (unsigned long long)used);
        assert_true(bytes <= used + weights->device_bytes); /* and not many times too much */
        obi_weights_free(weights);
        assert_int_equal(test_device()->memory.used_bytes, before);
    }
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_of_the_file),
        cmocka_unit_test(test_signs_of_another_type),
        cmocka_unit_test(test_bytes_of_random_weights),
    };
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, scratch_close));
}

/* test_convert_refused: conversions that cannot be, that are stopped, or whose output cannot be written: a status with a
 * sentence that names the tensor or the file, and nothing left behind. */
#include "model_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "import_files.h"
#include "onebit/onebit_train.h"
#include "synthetic_model.h"

#define LLAMA "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\"," TOY_SIZES "}"
static const char *const form_names[] = { "onebit", "f16", "f32" };

/* The toy in F32, with `value` as element `element` of tensor `t`. */
static void put_toy(size_t t, size_t element, float value)
{
    st_file *file = malloc(sizeof *file);
    size_t at = 0;
    st_begin(file);
    toy_add(file, 0, TOY_HEAD, "F32");
    for (size_t i = 0; i < t; i++) at += (size_t)(toy_tensors[i].rows ? toy_tensors[i].rows : 1) * toy_tensors[i].columns;
    memcpy(file->data + 4 * (at + element), &value, 4);
    st_write(file, "model.safetensors");
    free(file);
    put_text("config.json", LLAMA);
}

/* Files in the scratch directory; a temporary one is not among a model's. */
static int file_count(void)
{
    int count = 0;
    DIR *directory = opendir(scratch_directory);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (strstr(entry->d_name, ".tmp")) fail_msg("a temporary file is left: %s", entry->d_name);
        count += entry->d_name[0] != '.';
    }
    closedir(directory);
    return count;
}

/* Converting `input` fails with `code` and a sentence that has `words` in it, and changes nothing in the directory. */
static void expect_failure(const char *input, const obi_convert_desc *desc, obi_device *device, obi_status code, const char *words)
{
    int before = file_count();
    obi_convert_report report;
    obi_source *source = expect_opens(input, NULL);
    obi_status status = obi_convert(device, source, desc, &report);
    obi_source_close(source);
    if (status != code || !strstr(obi_last_error(), words))
        fail_msg("form %s gave %d \"%s\", expected %d with \"%s\"", form_names[desc->form], status,
                 status ? obi_last_error() : "", code, words);
    assert_null(report.layers);
    assert_int_equal(file_count(), before);
}

static void test_damaged_weights(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    static const size_t tensors[] = { 0, 1, 2, 7, 9, 10, TOY_HEAD }; /* embedding, norm, q, gate, down, output norm, head */
    for (size_t t = 0; t < sizeof tensors / sizeof *tensors; t++)
        for (size_t b = 0; b < 3; b++) {
            put_toy(tensors[t], 17, bad[b]);
            for (int form = OBI_FORM_ONEBIT; form <= OBI_FORM_F32; form++) {
                obi_convert_desc desc = { .output = scratch_path("out.gguf"), .form = (obi_form)form };
                expect_failure(scratch_directory, &desc, test_device(), OBI_ERROR_DATA, toy_tensors[tensors[t]].gguf);
            }
        }
    test_device_check();
}

/* 1e6 is a number, but none of F16. In a linear layer of the 1-bit form it is no trouble: it becomes a sign and a scale. */
static void test_too_large_for_f16(void **state)
{
    (void)state;
    obi_convert_desc desc = { .output = scratch_path("out.gguf") };
    put_toy(0, 5, 1e6f);
    desc.form = OBI_FORM_ONEBIT;
    expect_failure(scratch_directory, &desc, test_device(), OBI_ERROR_DATA, "token_embd.weight holds 1e+06");
    desc.form = OBI_FORM_F16;
    expect_failure(scratch_directory, &desc, NULL, OBI_ERROR_DATA, "token_embd.weight holds 1e+06");
    put_toy(0, 5, -65520); /* the first that rounds to infinity */
    expect_failure(scratch_directory, &desc, NULL, OBI_ERROR_DATA, "token_embd.weight");
    static const struct { size_t tensor; float value; obi_form form; } fine[] = {
        { 0, -65519, OBI_FORM_F16 }, { 0, 1e6f, OBI_FORM_F32 }, { 1, 1e6f, OBI_FORM_F16 }, { 2, 1e6f, OBI_FORM_ONEBIT },
    };
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        obi_convert_report report;
        put_toy(fine[i].tensor, 5, fine[i].value);
        obi_source *source = expect_opens(scratch_directory, NULL);
        desc.form = fine[i].form;
        TEST_OK(obi_convert(test_device(), source, &desc, &report));
        obi_convert_report_clear(&report);
        obi_source_close(source);
        unlink(desc.output);
    }
}

static void test_onebit_to_dense(void **state)
{
    (void)state;
    synthetic_model model = { .config = { .onebit = true, .post_norm = true, .post_norm_eps = 1e-5f, .width = 40, .layers = 1, .heads = 4,
                                          .kv_heads = 2, .head_size = 10, .ffn = 24, .vocabulary = 11, .context = 64, .norm_eps = 1e-5f,
                                          .rope_theta = 10000, .rope_scale = 1, .rope_dimensions = 10, .tied = true },
                              .embedding = OBI_DTYPE_F16, .norm = OBI_DTYPE_F32, .seed = 3 };
    char input[640];
    snprintf(input, sizeof input, "%s", scratch_path("in.gguf"));
    synthetic_write(&model, input);
    for (int form = OBI_FORM_F16; form <= OBI_FORM_F32; form++) {
        obi_convert_desc desc = { .output = scratch_path("out.gguf"), .form = (obi_form)form };
        expect_failure(input, &desc, test_device(), OBI_ERROR_ARGUMENT, "1-bit model");
    }
}

static void test_no_device(void **state)
{
    (void)state;
    put_toy(0, 0, 1);
    obi_convert_desc desc = { .output = scratch_path("out.gguf"), .form = OBI_FORM_ONEBIT };
    expect_failure(scratch_directory, &desc, NULL, OBI_ERROR_NO_DEVICE, "needs a Vulkan device");
}

/* ---- stopped by the caller ------------------------------------------------------------------------------------- */

typedef struct patience { int calls, limit; double last; } patience;

static bool count_calls(double fraction, const char *what, void *user)
{
    patience *at = user;
    assert_non_null(what);
    assert_true(fraction > at->last && fraction <= 1 + 1e-9);
    at->last = fraction;
    return ++at->calls != at->limit;
}

static void test_cancelled(void **state)
{
    (void)state;
    put_toy(0, 0, 1);
    for (int form = OBI_FORM_ONEBIT; form <= OBI_FORM_F32; form++) {
        patience whole = { 0 };
        obi_convert_desc desc = { .output = scratch_path("out.gguf"), .form = (obi_form)form, .progress = count_calls, .user = &whole };
        obi_convert_report report;
        obi_source *source = expect_opens(scratch_directory, NULL);
        TEST_OK(obi_convert(test_device(), source, &desc, &report));
        obi_convert_report_clear(&report);
        obi_source_close(source);
        assert_true(whole.calls >= TOY_COUNT && fabs(whole.last - 1) < 1e-9); /* it ends at 1 */
        unlink(desc.output);
        for (int limit = 1; limit <= whole.calls; limit++) {
            patience some = { .limit = limit };
            desc.user = &some;
            expect_failure(scratch_directory, &desc, test_device(), OBI_ERROR_CANCELLED, "cancelled");
            assert_int_equal(some.calls, limit);
        }
    }
    test_device_check();
}

/* What was there under the output's name is still there after a failure. */
static void test_old_output_survives(void **state)
{
    (void)state;
    uint8_t *bytes;
    patience some = { .limit = 3 };
    obi_convert_desc desc = { .output = scratch_path("out.gguf"), .form = OBI_FORM_F16, .progress = count_calls, .user = &some };
    put_toy(0, 0, 1);
    put_text("out.gguf", "precious");
    expect_failure(scratch_directory, &desc, NULL, OBI_ERROR_CANCELLED, "cancelled");
    assert_int_equal(slurp(desc.output, &bytes), 8);
    assert_memory_equal(bytes, "precious", 8);
    free(bytes);
}

/* ---- outputs that cannot be written ---------------------------------------------------------------------------- */

static void test_no_such_directory(void **state)
{
    (void)state;
    put_toy(0, 0, 1);
    for (int form = OBI_FORM_ONEBIT; form <= OBI_FORM_F32; form++) {
        obi_convert_desc desc = { .output = scratch_path("nowhere/out.gguf"), .form = (obi_form)form };
        expect_failure(scratch_directory, &desc, test_device(), OBI_ERROR_RUNTIME, "nowhere/out.gguf");
    }
}

static void test_output_is_a_directory(void **state)
{
    (void)state;
    put_toy(0, 0, 1);
    char path[640];
    snprintf(path, sizeof path, "%s", scratch_path("taken"));
    assert_int_equal(mkdir(path, 0755), 0);
    obi_convert_desc desc = { .output = path, .form = OBI_FORM_F32 };
    expect_failure(scratch_directory, &desc, NULL, OBI_ERROR_ARGUMENT, "taken");
    assert_int_equal(rmdir(path), 0);
}

#ifndef _WIN32 /* which has no such limits */
/* A file system that is full part of the way: here, a limit on the size of files. */
static void test_full_disk(void **state)
{
    (void)state;
    static const rlim_t sizes[] = { 0, 100, 4096, 30000 };
    struct rlimit before, limit;
    put_toy(0, 0, 1);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        obi_convert_desc desc = { .output = scratch_path("out.gguf"), .form = OBI_FORM_F32 };
        obi_convert_report report;
        obi_source *source = expect_opens(scratch_directory, NULL);
        int files = file_count();
        limit = before;
        limit.rlim_cur = sizes[i];
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0); /* whatever this process writes from here on: only the output */
        obi_status status = obi_convert(NULL, source, &desc, &report);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        obi_source_close(source);
        if (status != OBI_ERROR_RUNTIME || !strstr(obi_last_error(), "out.gguf"))
            fail_msg("with files of %llu bytes: %d \"%s\"", (unsigned long long)sizes[i], status, status ? obi_last_error() : "");
        assert_int_equal(file_count(), files);
    }
    signal(SIGXFSZ, handler);
}
#endif

/* The public call refuses to write over what it reads, whatever the paths look like. */
static void test_input_is_the_output(void **state)
{
    (void)state;
    put_toy(0, 0, 1);
    char dense[640], other[640];
    snprintf(dense, sizeof dense, "%s", scratch_path("in.gguf"));
    snprintf(other, sizeof other, "%s/./in.gguf", scratch_directory);
    ob_quantize_desc desc = { .input = scratch_directory, .output = dense, .form = OB_FORM_F16 };
    ob_quantize_report *report;
    assert_int_equal(ob_quantize(NULL, &desc, &report), OB_OK);
    assert_string_equal(report->format, "huggingface");
    assert_int_equal(report->parameters, report->fp16_bytes / 2);
    ob_quantize_report_free(report);
    desc.input = dense;
    desc.output = other;
    assert_int_equal(ob_quantize(NULL, &desc, &report), OB_ERROR_ARGUMENT);
    assert_non_null(strstr(ob_last_error(), "both input and output"));
    assert_null(report);
    desc.output = NULL;
    assert_int_equal(ob_quantize(NULL, &desc, &report), OB_ERROR_ARGUMENT);
    obi_source_close(expect_opens(dense, NULL)); /* and it is whole */
    desc.input = scratch_directory; /* a file in the input's directory, which is read as well */
    desc.output = scratch_path("model.safetensors");
    assert_int_equal(ob_quantize(NULL, &desc, &report), OB_ERROR_ARGUMENT);
    assert_non_null(strstr(ob_last_error(), "both input and output"));
    obi_source_close(expect_opens(scratch_directory, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_damaged_weights, clear_scratch),
        cmocka_unit_test_teardown(test_too_large_for_f16, clear_scratch),
        cmocka_unit_test_teardown(test_onebit_to_dense, clear_scratch),
        cmocka_unit_test_teardown(test_no_device, clear_scratch),
        cmocka_unit_test_teardown(test_cancelled, clear_scratch),
        cmocka_unit_test_teardown(test_old_output_survives, clear_scratch),
        cmocka_unit_test_teardown(test_no_such_directory, clear_scratch),
        cmocka_unit_test_teardown(test_output_is_a_directory, clear_scratch),
#ifndef _WIN32
        cmocka_unit_test_teardown(test_full_disk, clear_scratch),
#endif
        cmocka_unit_test_teardown(test_input_is_the_output, clear_scratch),
    };
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, scratch_close));
}

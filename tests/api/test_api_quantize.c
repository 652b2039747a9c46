/* test_api_quantize: making models through onebit_train.h: the report agrees with the file, and what fails leaves nothing. */
#include "api.h"

#include <math.h>

static ob_context *shared;
static char out[1024]; /* the output of each test; it is not there when a test begins */

static int open_shared(void **state)
{
    if (scratch_open(state) != 0) return -1;
    shared = api_context();
    snprintf(out, sizeof out, "%s", scratch_path("out.gguf"));
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    ob_context_destroy(shared);
    api_remove_tree(scratch_directory);
    return 0;
}

static int remove_output(void **state)
{
    (void)state;
    unlink(out);
    return api_entries(scratch_directory) == 0 ? 0 : -1; /* a temporary file would be one more */
}

static ob_quantize_desc stories_desc(ob_form form)
{
    return (ob_quantize_desc){
        .input = test_data_path(API_STORIES), .tokenizer = test_data_path(API_STORIES_TOKENIZER), .output = out, .form = form
    };
}

static uint64_t size_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (uint64_t)info.st_size;
}

/* ---- reports --------------------------------------------------------------------------------------------------------- */

#define PARAMETERS 260032u /* of stories260K */
#define LINEAR 226560u     /* of them in its 35 linear layers */

static void test_dense_report(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        ob_quantize_desc desc = stories_desc(i ? OB_FORM_F16 : OB_FORM_F32);
        ob_quantize_report *report = NULL;
        API_OK(ob_quantize(i ? shared : NULL, &desc, &report)); /* a context is allowed where none is needed */
        assert_non_null(report);
        assert_string_equal(report->format, "llama2.c");
        assert_int_equal(report->layer_count, 0);
        assert_true(report->parameters == PARAMETERS && report->source_bytes == 4 * PARAMETERS && report->fp16_bytes == 2 * PARAMETERS);
        assert_true(report->linear_bits == (i ? 16 : 32));
        assert_int_equal(report->file_bytes, size_of(out));
        assert_true(report->tensor_bytes < report->file_bytes && report->tensor_bytes >= (i ? 2 : 4) * PARAMETERS);
        assert_true(fabs(report->model_bits - 8.0 * (double)report->tensor_bytes / PARAMETERS) < 1e-9);
        assert_true(report->seconds >= 0 && report->seconds < 100);
        ob_quantize_report_free(report);
        unlink(out);
    }
}

typedef struct steps { unsigned count, stop_at; double last; } steps;

static bool on_progress(double fraction, const char *what, void *user)
{
    steps *seen = user;
    if (!(fraction >= seen->last && fraction <= 1) || !what || !what[0]) fail_msg("progress went from %g to %g", seen->last, fraction);
    if (access(out, F_OK) == 0) fail_msg("the output appears at %g", fraction); /* only when complete */
    seen->last = fraction;
    return ++seen->count != seen->stop_at;
}

static void test_onebit_report(void **state)
{
    (void)state;
    steps seen = { 0 };
    ob_quantize_desc desc = stories_desc(OB_FORM_ONEBIT);
    desc.progress = on_progress;
    desc.user = &seen;
    ob_quantize_report *report = NULL;
    API_OK(ob_quantize(shared, &desc, &report));
    assert_true(seen.count > 35 && fabs(seen.last - 1) < 1e-9);
    assert_int_equal(report->layer_count, 35);
    double weights = 0, bits = 0, norm2 = 0, svid = 0, rank1 = 0, xnor = 0;
    for (uint32_t i = 0; i < report->layer_count; i++) {
        const ob_quantize_row *row = &report->layers[i];
        assert_true(strncmp(row->name, "blk.", 4) == 0 && row->rows > 0 && row->columns > 0);
        /* Signs with two vectors do better than signs with row means, and any way loses less than everything. */
        assert_true(row->error_svid > 0 && row->error_svid <= row->error_xnor + 1e-6 && row->error_xnor < 1 && row->error_rank1 < 1);
        assert_true(row->bits == (double)row->rows * row->columns + 16.0 * (row->rows + row->columns));
        weights += (double)row->rows * row->columns;
        bits += row->bits;
        norm2 += row->norm2;
        svid += row->error_svid * row->norm2;
        rank1 += row->error_rank1 * row->norm2;
        xnor += row->error_xnor * row->norm2;
    }
    assert_true(weights == LINEAR);
    assert_true(fabs(report->linear_bits - bits / weights) < 1e-9 && fabs(report->error_svid - svid / norm2) < 1e-9);
    assert_true(fabs(report->error_rank1 - rank1 / norm2) < 1e-9 && fabs(report->error_xnor - xnor / norm2) < 1e-9);
    assert_int_equal(report->file_bytes, size_of(out));
    ob_quantize_report_free(report);

    ob_model *model = api_model(shared, out);
    ob_model_info info;
    API_OK(ob_model_info_get(model, &info));
    assert_string_equal(info.architecture, "onebitllama");
    assert_true(info.onebit && info.has_tokenizer && info.parameters == PARAMETERS);
    assert_true(info.device_bytes < PARAMETERS); /* a byte a weight would be four times as much as it takes */
    ob_session *session = api_session(model, (ob_sampling){ 0 });
    uint32_t ids[4];
    API_OK(api_generate(session, (const uint32_t[]){ 1, 403 }, 2, ids, 4));
    ob_session_destroy(session);
    ob_model_destroy(model);

    /* The file says the same about itself without a device. */
    ob_model_size size;
    API_OK(ob_model_size_get(out, &size));
    assert_true(size.planes == 1 && size.linear_weights == LINEAR && size.parameters == PARAMETERS && size.file_bytes == size_of(out));
    assert_true(fabs(size.linear_bits - bits / weights) < 1e-6 && size.fp16_bytes == 2 * PARAMETERS);
    API_FAILS(ob_model_size_get(test_data_path("text/tinyshakespeare.txt"), &size), OB_ERROR_DATA, "tinyshakespeare");

    /* A 1-bit model stays as it is, needs no device for that, and has no dense form. */
    char copy[1024];
    snprintf(copy, sizeof copy, "%s", scratch_path("copy.gguf"));
    API_OK(ob_quantize(NULL, &(ob_quantize_desc){ .input = out, .output = copy, .form = OB_FORM_ONEBIT }, &report));
    assert_string_equal(report->format, "gguf");
    assert_int_equal(report->layer_count, 0);
    assert_true(fabs(report->linear_bits - bits / weights) < 1e-9);
    ob_quantize_report_free(report);
    unlink(copy);
    API_FAILS(ob_quantize(NULL, &(ob_quantize_desc){ .input = out, .output = copy, .form = OB_FORM_F16 }, &report), OB_ERROR_ARGUMENT,
              "onebit");
    assert_null(report);
    assert_int_equal(access(copy, F_OK), -1);
}

/* ---- methods --------------------------------------------------------------------------------------------------------- */

static const char story[] = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she "
                            "saw a big, red ball. She wanted to play with it, but it was too high. Her mom said, \"Lily, let's go to the park.\"";

static void test_methods(void **state)
{
    (void)state;
    static const struct { ob_method method; const char *name; uint32_t bits; double scales; } direct[] = {
        { OB_METHOD_XNOR, "xnor", 1, 16 }, { OB_METHOD_BITNET_B1, "bitnet_b1", 1, 0 },
        { OB_METHOD_RTN, "rtn", 2, 18 }, { OB_METHOD_INT8, "int8", 8, 16 },
    };
    for (size_t i = 0; i < sizeof direct / sizeof *direct; i++) { /* look at weights only, and need no device */
        ob_quantize_desc desc = stories_desc(OB_FORM_ONEBIT);
        ob_quantize_report *report;
        desc.method = direct[i].method;
        API_OK(ob_quantize(NULL, &desc, &report));
        assert_string_equal(report->method, direct[i].name);
        assert_int_equal(report->bits, direct[i].bits);
        assert_int_equal(report->layer_count, 35);
        const ob_quantize_row *row = &report->layers[0];
        assert_true(row->error > 0 && row->error < 1 && isnan(row->output_error) && isnan(row->error_svid));
        double scales = direct[i].scales > 0 ? direct[i].scales * row->rows : 16;
        assert_true(row->bits == (double)direct[i].bits * row->rows * row->columns + scales);
        ob_quantize_report_free(report);
        ob_model *model = api_model(shared, out);
        ob_model_info info;
        API_OK(ob_model_info_get(model, &info));
        assert_int_equal(info.onebit, direct[i].bits == 1);
        ob_model_destroy(model);
        unlink(out);
    }
    steps seen = { 0 };
    ob_quantize_desc desc = stories_desc(OB_FORM_ONEBIT);
    ob_quantize_report *report;
    desc.method = OB_METHOD_GPTQ;
    desc.bits = 4;
    desc.calibration = story;
    desc.calibration_bytes = strlen(story);
    desc.calibration_window = 32;
    desc.progress = on_progress;
    desc.user = &seen;
    API_OK(ob_quantize(shared, &desc, &report));
    assert_true(seen.last == 1);
    for (uint32_t i = 0; i < report->layer_count; i++) /* inputs decide: outputs are kept better than weights */
        assert_true(report->layers[i].output_error >= 0 && report->layers[i].output_error < report->layers[i].error);
    ob_quantize_report_free(report);
    unlink(out);
    for (unsigned stop = 1; stop < seen.count; stop += seen.count / 4) { /* in the middle of a layer, too */
        steps again = { .stop_at = stop };
        desc.user = &again;
        API_FAILS(ob_quantize(shared, &desc, NULL), OB_ERROR_CANCELLED, "cancelled");
        assert_int_equal(api_entries(scratch_directory), 0);
    }
}

/* ---- what fails ------------------------------------------------------------------------------------------------------- */

static void expect_refused(ob_context *context, ob_quantize_desc desc, ob_status code, const char *part)
{
    ob_quantize_report *report = (ob_quantize_report *)(uintptr_t)&shared;
    unsigned before = api_entries(scratch_directory);
    API_FAILS(ob_quantize(context, &desc, &report), code, part);
    assert_null(report);
    API_FAILS(ob_quantize(context, &desc, NULL), code, part); /* without a report all the same */
    assert_int_equal(api_entries(scratch_directory), before);
}

static void test_wrong_descs(void **state)
{
    (void)state;
    ob_quantize_desc good = stories_desc(OB_FORM_F32), desc = good;
    desc.input = NULL;
    expect_refused(NULL, desc, OB_ERROR_ARGUMENT, "needed");
    desc = good;
    desc.output = NULL;
    expect_refused(NULL, desc, OB_ERROR_ARGUMENT, "needed");
    desc = good;
    desc.form = (ob_form)3;
    expect_refused(NULL, desc, OB_ERROR_ARGUMENT, "form 3");
    desc.form = (ob_form)-1;
    expect_refused(NULL, desc, OB_ERROR_ARGUMENT, "form");
    expect_refused(NULL, stories_desc(OB_FORM_ONEBIT), OB_ERROR_NO_DEVICE, "device");
    desc = good;
    desc.input = scratch_path("no_such_model.bin");
    expect_refused(NULL, desc, OB_ERROR_DATA, "no_such_model.bin");
    desc = good;
    desc.input = scratch_directory; /* a directory without a model */
    expect_refused(NULL, desc, OB_ERROR_DATA, scratch_directory);
    desc = good;
    desc.input = test_data_path("text/tinyshakespeare.txt");
    expect_refused(NULL, desc, OB_ERROR_DATA, "tinyshakespeare.txt");
    desc = good;
    desc.tokenizer = scratch_path("no_such_tokenizer.bin");
    expect_refused(NULL, desc, OB_ERROR_DATA, "no_such_tokenizer.bin");
    desc = good;
    desc.tokenizer = test_data_path("tokenizers/llama32k/tokenizer.model"); /* of a larger vocabulary */
    expect_refused(NULL, desc, OB_ERROR_DATA, "tokenizer.model");
    desc = good;
    desc.output = scratch_path("no_such_directory/out.gguf");
    expect_refused(NULL, desc, OB_ERROR_RUNTIME, "no_such_directory");
    desc.output = scratch_directory;
    expect_refused(NULL, desc, OB_ERROR_ARGUMENT, "not a file");
}

static void test_wrong_methods(void **state)
{
    (void)state;
    ob_quantize_desc good = stories_desc(OB_FORM_ONEBIT), desc = good;
    desc.method = (ob_method)7;
    expect_refused(shared, desc, OB_ERROR_ARGUMENT, "method 7");
    desc.method = OB_METHOD_XNOR;
    desc.bits = 2;
    expect_refused(shared, desc, OB_ERROR_ARGUMENT, "1 bit a weight");
    desc.bits = 0;
    desc.group = 32;
    expect_refused(shared, desc, OB_ERROR_ARGUMENT, "no groups");
    desc = good;
    desc.method = OB_METHOD_RTN;
    desc.bits = 5;
    expect_refused(shared, desc, OB_ERROR_ARGUMENT, "1 to 4 bits");
    desc.bits = 4;
    desc.form = OB_FORM_F16;
    expect_refused(shared, desc, OB_ERROR_ARGUMENT, "form onebit");
    good.method = OB_METHOD_GPTQ;
    expect_refused(shared, good, OB_ERROR_ARGUMENT, "text to calibrate with");
    good.calibration = story;
    expect_refused(shared, good, OB_ERROR_DATA, "text is empty");
    good.calibration_bytes = strlen(story);
    expect_refused(NULL, good, OB_ERROR_NO_DEVICE, "device");
    expect_refused(shared, good, OB_ERROR_DATA, "less than one window of 512");
    desc = good;
    desc.calibration_window = 513;
    expect_refused(shared, desc, OB_ERROR_ARGUMENT, "context of 512");
    desc.calibration_window = 16;
    desc.group = 48;
    expect_refused(shared, desc, OB_ERROR_ARGUMENT, "multiples of 128");
    desc.group = 0;
    desc.calibration_windows = 1;
    desc.damping = -1; /* none: 16 inputs do not make a Hessian of 64 */
    expect_refused(shared, desc, OB_ERROR_DATA, "blk.0.attn_q.weight: the Hessian of its 64 inputs is singular");
    desc = good;
    desc.damping = (double)INFINITY;
    expect_refused(shared, desc, OB_ERROR_ARGUMENT, "damping of inf");
    desc.damping = 0;
    desc.epochs = 3;
    expect_refused(shared, desc, OB_ERROR_ARGUMENT, "omniquant's; the method gptq");
    desc = stories_desc(OB_FORM_F16); /* a setting of a method, where there is none */
    desc.int8_threshold = 6;
    expect_refused(NULL, desc, OB_ERROR_ARGUMENT, "int8's; the method svid");
}

static void test_input_as_output(void **state)
{
    (void)state;
    ob_quantize_desc desc = stories_desc(OB_FORM_F32);
    API_OK(ob_quantize(NULL, &desc, NULL));
    uint64_t bytes = size_of(out);
    char alias[1024];
    snprintf(alias, sizeof alias, "%s/./out.gguf", scratch_directory);
    expect_refused(NULL, (ob_quantize_desc){ .input = out, .output = alias, .form = OB_FORM_F16 }, OB_ERROR_ARGUMENT,
                   "both input and output");
#ifndef _WIN32 /* where links are for those with a privilege */
    snprintf(alias, sizeof alias, "%s", scratch_path("link.gguf"));
    assert_int_equal(symlink(out, alias), 0);
    expect_refused(NULL, (ob_quantize_desc){ .input = out, .output = alias, .form = OB_FORM_F16 }, OB_ERROR_ARGUMENT,
                   "both input and output");
    expect_refused(NULL, (ob_quantize_desc){ .input = alias, .output = out, .form = OB_FORM_F16 }, OB_ERROR_ARGUMENT,
                   "both input and output");
    unlink(alias);
#endif
    assert_int_equal(size_of(out), bytes);
}

/* Cancelled at any step: no output, or the old one untouched, and no temporary file. */
static void test_cancelled(void **state)
{
    (void)state;
    for (int form = OB_FORM_ONEBIT; form <= OB_FORM_F32; form++) {
        if (form == OB_FORM_F16) continue;
        steps all = { 0 };
        ob_quantize_desc desc = stories_desc((ob_form)form);
        desc.progress = on_progress;
        desc.user = &all;
        API_OK(ob_quantize(shared, &desc, NULL));
        unlink(out);
        for (unsigned stop = 1; stop <= all.count; stop += stop == 1 || stop + 20 > all.count ? 9 : 20) {
            steps seen = { .stop_at = stop };
            desc.user = &seen;
            ob_quantize_report *report = (ob_quantize_report *)(uintptr_t)&shared;
            API_FAILS(ob_quantize(shared, &desc, &report), OB_ERROR_CANCELLED, "cancelled");
            assert_null(report);
            assert_int_equal(seen.count, stop);
            assert_int_equal(api_entries(scratch_directory), 0);
        }
    }
}

static bool stop_in_the_middle(double fraction, const char *what, void *user)
{
    (void)what;
    (void)user;
    return fraction < 0.5;
}

static void test_failure_keeps_the_old_output(void **state)
{
    (void)state;
    api_write_file(out, "old", 3);
    ob_quantize_desc desc = stories_desc(OB_FORM_F32);
    desc.progress = stop_in_the_middle;
    expect_refused(NULL, desc, OB_ERROR_CANCELLED, "cancelled");
    size_t bytes;
    unsigned char *data = api_read_file(out, &bytes);
    assert_int_equal(bytes, 3);
    assert_memory_equal(data, "old", 3);
    free(data);
    desc.progress = NULL;
    API_OK(ob_quantize(NULL, &desc, NULL)); /* and success replaces it */
    assert_true(size_of(out) > 4 * PARAMETERS);
}

int main(void)
{
    api_plain_environment();
#define TEST(name) cmocka_unit_test_teardown(name, remove_output)
    const struct CMUnitTest tests[] = {
        TEST(test_dense_report), TEST(test_onebit_report), TEST(test_methods), TEST(test_wrong_methods), TEST(test_wrong_descs),
        TEST(test_input_as_output), TEST(test_cancelled),
        TEST(test_failure_keeps_the_old_output),
    };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}

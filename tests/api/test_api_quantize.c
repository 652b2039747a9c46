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
        TEST(test_dense_report), TEST(test_onebit_report), TEST(test_wrong_descs), TEST(test_input_as_output), TEST(test_cancelled),
        TEST(test_failure_keeps_the_old_output),
    };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}

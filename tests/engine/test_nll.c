/* Mean negative log-likelihood of trained models on held-out text against an independent implementation (golden.json):
 * F32 weights within 1e-3 nats, F16 weights within 3e-3; with keys and values as bytes within 0.5 %. */
#include "model_file.h"

#include <math.h>
#include <string.h>

#include "core/file.h"
#include "engine/score.h"

#define BYTES 0.005

static void check(const char *what, double sum, size_t predicted, size_t expected_predicted, double expected, double tolerance)
{
    double mean = sum / (double)predicted;
    print_message("%s: %zu predictions, mean NLL %.6f, golden %.6f\n", what, predicted, mean, expected);
    assert_int_equal(predicted, expected_predicted);
    if (!(fabs(mean - expected) < tolerance)) fail_msg("%s: mean NLL %.6f, golden %.6f", what, mean, expected);
}

/* The windows protocol of SOURCES.md: one encoding with BOS in front, windows of `window` ids, the remainder dropped. */
static void check_windows(const model_file *model, const char *what, const char *text, size_t length, uint32_t window, size_t tokens,
                          size_t predicted, double expected, double tolerance, int kv_type)
{
    uint32_t *ids;
    size_t count, done = 0;
    double *nll = malloc(window * sizeof *nll), sum = 0;
    TEST_OK(obi_tokenizer_encode(model->tokenizer, text, length, OBI_ENCODE_BOS, &ids, &count));
    assert_int_equal(count, tokens);
    obi_session_desc desc = { .kv_type = kv_type, .batch = 256 };
    obi_session *session = model_session(model, &desc);
    for (size_t first = 0; first + window <= count; first += window) {
        TEST_OK(obi_session_score(session, ids + first, window, nll));
        for (uint32_t i = 0; i < window - 1; i++) sum += nll[i];
        done += window - 1;
    }
    check(what, sum, done, predicted, expected, tolerance);
    obi_session_destroy(session);
    obi_free(ids);
    free(nll);
}

static void test_stories260k(void **state)
{
    (void)state;
    obi_mapping text;
    TEST_OK(obi_mapping_open(&text, test_data_path("text/tinystories_valid_head.txt")));
    const char *data = (const char *)text.data;
    model_file model;
    model_open(&model, model_convert("stories260K/stories260K.bin", OBI_FORM_F32, "f32.gguf"));
    check_windows(&model, "stories260K F32, windows of 256", data, 16384, 256, 7891, 7650, 1.412988, 1e-3, OBI_KV_F32);
    check_windows(&model, "stories260K F32, windows of 512", data, 16384, 512, 7891, 7665, 1.387633, 1e-3, OBI_KV_F32);
    check_windows(&model, "stories260K F32, keys and values as bytes", data, 16384, 512, 7891, 7665, 1.387633, BYTES * 1.387633,
                  OBI_KV_INT8);
    model_close(&model);
    model_open(&model, model_convert("stories260K/stories260K.bin", OBI_FORM_F16, "f16.gguf"));
    check_windows(&model, "stories260K F16, windows of 512", data, 16384, 512, 7891, 7665, 1.387633, 3e-3, OBI_KV_F32);
    model_close(&model);
    obi_mapping_close(&text);
    test_device_check();
}

static void test_babyllama105(void **state)
{
    (void)state;
    obi_mapping text;
    TEST_OK(obi_mapping_open(&text, test_data_path("text/tinystories_valid_head.txt")));
    char plain[16384]; /* newline -> space, other than ASCII dropped, then the first 16384 bytes */
    size_t length = 0;
    for (uint64_t i = 0; i < text.size && length < sizeof plain; i++)
        if (text.data[i] < 128) plain[length++] = text.data[i] == '\n' ? ' ' : (char)text.data[i];
    obi_mapping_close(&text);
    model_file model;
    model_open(&model, model_convert("babyllama105/babyllama105.bin", OBI_FORM_F32, "f32.gguf"));
    check_windows(&model, "babyllama105 F32, windows of 256", plain, length, 256, 16386, 16320, 0.782806, 1e-3, OBI_KV_F32);
    check_windows(&model, "babyllama105 F32, keys and values as bytes", plain, length, 256, 16386, 16320, 0.782806, BYTES * 0.782806,
                  OBI_KV_INT8);
    model_close(&model);
    model_open(&model, model_convert("babyllama105/babyllama105.bin", OBI_FORM_F16, "f16.gguf"));
    check_windows(&model, "babyllama105 F16, windows of 256", plain, length, 256, 16386, 16320, 0.782806, 3e-3, OBI_KV_F32);
    model_close(&model);
    test_device_check();
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

/* The golden ids of SOURCES.md hold one unk for each byte of a character without a piece, where the tokenizer's own
 * fuse_unk (and so Hugging Face, and we) gives one for the whole run. Four curly quotes of three bytes make the
 * difference: 3324 predictions instead of 3332. To compare models and not tokenizers, each unk becomes three here. */
static size_t split_unknown(const uint32_t *ids, size_t count, uint32_t unk, uint32_t *out, size_t room)
{
    size_t made = 0;
    for (size_t i = 0; i < count; i++)
        for (int times = ids[i] == unk ? 3 : 1; times > 0 && made < room; times--) out[made++] = ids[i];
    return made;
}

/* The first 20 stories, stripped, [bos] + ids + [eos] cut to 512, each from a fresh context. */
static void check_stories(const model_file *model, const char *what, double tolerance)
{
    static const char mark[] = "<|endoftext|>";
    obi_mapping text;
    TEST_OK(obi_mapping_open(&text, test_data_path("text/tinystories_train_v2gpt4.txt")));
    const char *at = (const char *)text.data, *end = at + text.size;
    double nll[512], sum = 0;
    size_t predicted = 0;
    obi_session_desc desc = { .kv_type = OBI_KV_F32, .batch = 256 };
    obi_session *session = model_session(model, &desc);
    for (int story = 0; story < 20; story++) {
        const char *stop = memmem(at, (size_t)(end - at), mark, sizeof mark - 1);
        assert_non_null(stop);
        const char *first = at, *last = stop;
        while (first < last && is_space(*first)) first++;
        while (last > first && is_space(last[-1])) last--;
        uint32_t *ids;
        size_t count;
        TEST_OK(obi_tokenizer_encode(model->tokenizer, first, (size_t)(last - first), OBI_ENCODE_BOS | OBI_ENCODE_EOS, &ids, &count));
        uint32_t golden[512];
        count = split_unknown(ids, count, (uint32_t)obi_tokenizer_vocab(model->tokenizer)->unk, golden, 512);
        TEST_OK(obi_session_score(session, golden, count, nll));
        for (size_t i = 0; i + 1 < count; i++) sum += nll[i];
        predicted += count - 1;
        obi_free(ids);
        at = stop + sizeof mark - 1;
    }
    check(what, sum, predicted, 3332, 3.088463, tolerance);
    obi_session_destroy(session);
    obi_mapping_close(&text);
}

static void test_tinystories656k(void **state)
{
    (void)state;
    model_file model;
    model_open(&model, model_convert("tinystories656k", OBI_FORM_F32, "f32.gguf"));
    check_stories(&model, "tinystories656k F32, 20 stories", 1e-3);
    model_close(&model);
    model_open(&model, model_convert("tinystories656k", OBI_FORM_F16, "f16.gguf"));
    check_stories(&model, "tinystories656k F16, 20 stories", 3e-3);
    model_close(&model);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_stories260k), cmocka_unit_test(test_babyllama105),
                                        cmocka_unit_test(test_tinystories656k) };
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, scratch_close));
}

/* test_instructions: examples in JSON as training sequences: the three forms, what is trained of each, cutting, and files
 * that are wrong. */
#include "data.h"
#include "scratch.h"

#include <string.h>

#include "core/alloc.h"
#include "ops/op_loss.h"
#include "quant/import/vocab_file.h"
#include "quant/train/dataset.h"

#define LENGTH 192

static obi_tokenizer *tokenizer;

static int open_all(void **state)
{
    obi_vocab vocab = { 0 };
    if (obi_vocab_file_read(&vocab, test_data_path("models/stories260K/tok512.bin"), 512) != OBI_OK) return -1;
    if (obi_tokenizer_create(&tokenizer, &vocab) != OBI_OK) return -1;
    return scratch_open(state);
}

static int close_all(void **state)
{
    obi_tokenizer_free(tokenizer);
    return scratch_close(state);
}

static obi_status open_text(obi_dataset *data, const char *text, size_t size, bool alpaca, uint32_t length)
{
    const char *path = scratch_path("data.json");
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
    obi_status status = obi_dataset_open_instructions(data, path, tokenizer, alpaca, length);
    unlink(path);
    return status;
}

static void open_good(obi_dataset *data, const char *text, bool alpaca, uint32_t length)
{
    if (open_text(data, text, strlen(text), alpaca, length) != OBI_OK) fail_msg("%s", obi_last_error());
}

/* Block `index` must be bos + prompt + answer + eos, filled with eos, and the answer and its eos must be what is trained. */
static void expect_block(const obi_dataset *data, uint64_t index, const char *prompt, const char *answer)
{
    const uint32_t *ids = data->ids + index * data->length, *targets = obi_dataset_targets(data, ids);
    uint32_t *prompt_ids, *answer_ids;
    size_t prompt_count, answer_count;
    assert_int_equal(obi_tokenizer_encode(tokenizer, prompt, strlen(prompt), OBI_ENCODE_BOS, &prompt_ids, &prompt_count), OBI_OK);
    assert_int_equal(obi_tokenizer_encode(tokenizer, answer, strlen(answer), OBI_ENCODE_EOS, &answer_ids, &answer_count), OBI_OK);
    assert_true(prompt_count + answer_count < data->length);
    assert_memory_equal(ids, prompt_ids, prompt_count * 4);
    assert_memory_equal(ids + prompt_count, answer_ids, answer_count * 4);
    assert_int_equal(answer_ids[answer_count - 1], 2);
    for (size_t t = 0; t < data->length; t++) {
        bool trained = t + 1 >= prompt_count && t + 1 < prompt_count + answer_count;
        assert_int_equal(targets[t], trained ? answer_ids[t + 1 - prompt_count] : OBI_NO_TARGET);
        if (t >= prompt_count + answer_count) assert_int_equal(ids[t], 2);
    }
    assert_int_equal(obi_dataset_trained(data, ids), answer_count);
    obi_free(prompt_ids);
    obi_free(answer_ids);
}

static void test_forms(void **state)
{
    (void)state;
    obi_dataset data;
    open_good(&data,
              "\xef\xbb\xbf{\"instruction\": \"Name a cat.\", \"input\": \"It is red.\", \"output\": \"Tom\"}\r\n"
              "\n  \n{\"instruction\": \"Sing.\", \"input\": null, \"output\": \"La la\", \"source\": [1]}\n"
              "{\"prompt\": \"One two\", \"completion\": \"three\"}\n{\"text\": \"Once upon a time\"}",
              false, LENGTH);
    assert_int_equal(data.blocks, 4);
    assert_int_equal(data.documents, 4);
    assert_int_equal(data.cut, 0);
    expect_block(&data, 0, "Name a cat.\nIt is red.\n", "Tom");
    expect_block(&data, 1, "Sing.\n", "La la");
    expect_block(&data, 2, "One two", "three");
    expect_block(&data, 3, "", "Once upon a time");
    obi_dataset_close(&data);
    open_good(&data,
              " [{\"instruction\": \"Name a cat.\", \"input\": \"Red.\", \"output\": \"Tom\"},\n{\"instruction\": \"Sing.\", "
              "\"output\": \"La\"}]\n",
              true, LENGTH);
    assert_int_equal(data.blocks, 2);
    expect_block(&data, 0,
                 "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
                 "### Instruction:\nName a cat.\nRed.\n\n### Response:\n",
                 "Tom");
    expect_block(&data, 1,
                 "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
                 "### Instruction:\nSing.\n\n### Response:\n",
                 "La");
    obi_dataset_close(&data);
}

static void test_cutting(void **state)
{
    (void)state;
    obi_dataset data;
    char text[4000];
    /* An answer that is too long loses its end; a question that is too long leaves no room for an answer. */
    snprintf(text, sizeof text,
             "{\"prompt\": \"Hi\", \"completion\": \"%0200d\"}\n{\"prompt\": \"%0200d\", \"completion\": \"x\"}\n"
             "{\"prompt\": \"Hi\", \"completion\": \"yes\"}",
             0, 0);
    open_good(&data, text, false, 64);
    assert_int_equal(data.blocks, 2);
    assert_int_equal(data.documents, 2);
    assert_int_equal(data.cut, 2);
    assert_int_equal(data.left_out, 1);
    const uint32_t *targets = obi_dataset_targets(&data, data.ids);
    assert_int_equal(targets[62], data.ids[63]);
    assert_int_equal(targets[63], OBI_NO_TARGET);
    expect_block(&data, 1, "Hi", "yes");
    obi_dataset_close(&data);
    snprintf(text, sizeof text, "{\"prompt\": \"%0200d\", \"completion\": \"x\"}", 0);
    assert_int_equal(open_text(&data, text, strlen(text), false, 64), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "raise cutoff_len"));
}

static void test_wrong_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "", "has no examples" },
        { "[]", "has no examples" },
        { "{\"text\": \"a\"}\n{\"text\": \"a\"\n", "data.json:2: not valid JSON" },
        { "{\"text\": \"a\"}\n\n[1]\n", "data.json:3: the JSON text is not an object" },
        { "{\"instruction\": \"a\"}", "data.json:1: \"output\" is missing" },
        { "{\"prompt\": \"a\", \"output\": \"b\"}", "data.json:1: \"completion\" is missing" },
        { "{\"instruction\": \"a\", \"output\": 7}", "data.json:1: \"output\" is not" },
        { "{\"instruction\": [\"a\"], \"output\": \"b\"}", "\"instruction\" is not" },
        { "{\"question\": \"a\"}", "data.json:1: an example has" },
        { "{\"text\": \"a\\u0000b\"}", "data.json:1: " },
        { "{\"text\": \"\xff\"}", "data.json:1: not valid JSON" },
        { "{\"text\": \"a\", \"text\": \"b\"}", "data.json:1: not valid JSON" },
        { "[{\"text\": \"a\"}, 3]", "data.json: example 2 is not an object" },
        { "[{\"text\": \"a\"}, {\"text\": 3}]", "data.json: example 2: \"text\" is not" },
        { "[{\"text\": \"a\"}", "data.json: not valid JSON (line 1" },
        { "just words\n", "data.json:1: not valid JSON" },
    };
    obi_dataset data;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(open_text(&data, cases[i].text, strlen(cases[i].text), true, LENGTH), OBI_ERROR_DATA);
        if (!strstr(obi_last_error(), cases[i].words)) fail_msg("\"%s\" does not say \"%s\"", obi_last_error(), cases[i].words);
        assert_null(data.ids);
    }
    assert_int_equal(open_text(&data, "{\"text\":\0 1}", 12, true, LENGTH), OBI_ERROR_DATA);
    assert_int_equal(obi_dataset_open_instructions(&data, "/no/such/file", tokenizer, true, LENGTH), OBI_ERROR_DATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_cutting),
        cmocka_unit_test(test_wrong_files),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

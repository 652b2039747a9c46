/* The split of text into words by each family's pattern, and composition. The expected splits follow from the published
 * patterns; a second engine gave the same ones. */
#include <string.h>

#include "data.h"
#include "core/alloc.h"
#include "core/status.h"
#include "model/nfc.h"
#include "model/pretokenize.h"

typedef struct split { const char *text, *gpt2, *llama3, *qwen2; } split;

/* Words are separated by '|'. */
static const split splits[] = {
    { "Hello world", "Hello| world", "Hello| world", "Hello| world" },
    { "  two  spaces ", " | two| | spaces| ", " | two| | spaces| ", " | two| | spaces| " },
    { "I'll they'RE", "I|'ll| they|'|RE", "I|'ll| they|'RE", "I|'ll| they|'RE" },
    { "it\xe2\x80\x99s", "it|\xe2\x80\x99|s", "it|\xe2\x80\x99s", "it|\xe2\x80\x99s" },
    { "12345 67", "12345| 67", "123|45| |67", "1|2|3|4|5| |6|7" },
    { "a\n\n b", "a|\n\n| b", "a|\n\n| b", "a|\n\n| b" },
    { "a \n b", "a| \n| b", "a| \n| b", "a| \n| b" },
    { "end.\n\nNext", "end|.|\n|\n|Next", "end|.\n\n|Next", "end|.\n\n|Next" },
    { "(x)[y]", "(|x|)[|y|]", "(x|)[|y|]", "(x|)[|y|]" },
    { "\tif x:", "\t|if| x|:", "\tif| x|:", "\tif| x|:" },
    /* U+180E is not a space, U+00A0 and U+3000 are, U+0301 is no letter */
    { "a\xe1\xa0\x8e" "b", "a|\xe1\xa0\x8e|b", "a|\xe1\xa0\x8e" "b", "a|\xe1\xa0\x8e" "b" },
    { "a\xc2\xa0" "b\xe3\x80\x80", "a|\xc2\xa0|b|\xe3\x80\x80", "a|\xc2\xa0" "b|\xe3\x80\x80", "a|\xc2\xa0" "b|\xe3\x80\x80" },
    { "e\xcc\x81g", "e|\xcc\x81|g", "e|\xcc\x81g", "e|\xcc\x81g" },
    { "\xe4\xb8\xad\xe6\x96\x87" "12\xf0\x9f\xa6\x99", "\xe4\xb8\xad\xe6\x96\x87|12|\xf0\x9f\xa6\x99",
      "\xe4\xb8\xad\xe6\x96\x87|12|\xf0\x9f\xa6\x99",
      "\xe4\xb8\xad\xe6\x96\x87|1|2|\xf0\x9f\xa6\x99" },
};

static void check_split(const char *name, const char *text, const char *expected)
{
    obi_pretokenizer *pretokenizer;
    obi_words words;
    char found[256], *out = found;
    assert_int_equal(obi_pretokenizer_create(&pretokenizer, name), OBI_OK);
    assert_int_equal(obi_words_open(&words, pretokenizer), OBI_OK);
    for (size_t start = 0, end; start < strlen(text); start = end) {
        assert_int_equal(obi_words_next(&words, text, strlen(text), start, &end), OBI_OK);
        assert_true(end > start && end <= strlen(text));
        if (start) *out++ = '|';
        memcpy(out, text + start, end - start);
        out += end - start;
    }
    *out = 0;
    assert_string_equal(found, expected);
    obi_words_close(&words);
    obi_pretokenizer_free(pretokenizer);
}

static void texts_split_by_family(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        check_split("gpt-2", splits[i].text, splits[i].gpt2);
        check_split("llama-bpe", splits[i].text, splits[i].llama3);
        check_split("llama3", splits[i].text, splits[i].llama3);
        check_split("llama-v3", splits[i].text, splits[i].llama3);
        check_split("qwen2", splits[i].text, splits[i].qwen2);
    }
}

static void unknown_families_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = { "", "default", "GPT-2", "gpt-2 ", "qwen", "llama-bpe2" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        obi_pretokenizer *pretokenizer;
        assert_int_equal(obi_pretokenizer_create(&pretokenizer, names[i]), OBI_ERROR_DATA);
        assert_null(pretokenizer);
        assert_null(obi_pretokenizer_canonical(names[i]));
    }
    assert_string_equal(obi_pretokenizer_canonical("llama3"), "llama-bpe");
}

/* A run that is matched and then given back step by step; the engine's usual limits would end it. */
static void long_runs_are_no_error(void **state)
{
    (void)state;
    size_t length = 12000000, end;
    char *text = obi_calloc(length, 1);
    memset(text, ' ', length - 1);
    text[length - 1] = 'x';
    static const char *const names[] = { "gpt-2", "llama-bpe", "qwen2" };
    for (int i = 0; i < 3; i++) {
        obi_pretokenizer *pretokenizer;
        obi_words words;
        assert_int_equal(obi_pretokenizer_create(&pretokenizer, names[i]), OBI_OK);
        assert_int_equal(obi_words_open(&words, pretokenizer), OBI_OK);
        if (obi_words_next(&words, text, length, 0, &end) != OBI_OK) fail_msg("%s", obi_last_error());
        assert_int_equal(end, length - 2);
        obi_words_close(&words);
        obi_pretokenizer_free(pretokenizer);
    }
    obi_free(text);
}

static void check_composed(const char *text, const char *expected)
{
    char *out;
    size_t length;
    assert_int_equal(obi_nfc(text, strlen(text), &out, &length), OBI_OK);
    if (!expected) {
        assert_null(out);
        return;
    }
    assert_non_null(out);
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(out, expected, length);
    obi_free(out);
}

static void marks_are_composed(void **state)
{
    (void)state;
    check_composed("plain", NULL);
    check_composed("\xc3\xa9", NULL);                              /* composed already */
    check_composed("e\xcc\x81", "\xc3\xa9");
    check_composed("a\xcc\x81\xcc\xa3", "\xe1\xba\xa1\xcc\x81");   /* the dot below goes first */
    check_composed("\xe2\x84\xab", "\xc3\x85");                    /* angstrom sign */
    check_composed("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c"); /* Hangul */
    check_composed("\xef\xac\x81", NULL);                          /* a ligature stays */
    check_composed("", NULL);
}

/* Marks of falling classes, the order that is worst for sorting by exchange. */
static void long_runs_of_marks_take_little_time(void **state)
{
    (void)state;
    size_t pairs = 100000, length = 1 + pairs * 4, written;
    char *text = obi_calloc(length, 1), *out;
    text[0] = 'q';
    for (size_t i = 0; i < pairs; i++) {
        memcpy(text + 1 + 2 * i, "\xcc\x81", 2);           /* class 230 */
        memcpy(text + 1 + 2 * (pairs + i), "\xcc\xa3", 2); /* class 220 */
    }
    assert_int_equal(obi_nfc(text, length, &out, &written), OBI_OK);
    assert_non_null(out);
    assert_int_equal(written, length);
    assert_memory_equal(out + 1, "\xcc\xa3\xcc\xa3", 4);
    assert_memory_equal(out + length - 4, "\xcc\x81\xcc\x81", 4);
    obi_free(out);
    obi_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_split_by_family),
        cmocka_unit_test(unknown_families_are_refused),
        cmocka_unit_test(long_runs_are_no_error),
        cmocka_unit_test(marks_are_composed),
        cmocka_unit_test(long_runs_of_marks_take_little_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

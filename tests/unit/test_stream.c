/* What onebit-run-vk prints is valid UTF-8 however the tokens cut it, and JSON is JSON whatever the names hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/common/json.c"
#include "apps/common/stream.c"

/* What comes out when `bytes` are written in pieces of `step`. */
static const char *streamed(const char *bytes, size_t step)
{
    static char out[4096];
    FILE *file = tmpfile();
    assert_non_null(file);
    app_stream stream = { .file = file };
    size_t length = strlen(bytes);
    for (size_t i = 0; i < length; i += step) assert_true(app_stream_write(&stream, bytes + i, length - i < step ? length - i : step));
    assert_true(app_stream_end(&stream));
    rewind(file);
    out[fread(out, 1, sizeof out - 1, file)] = 0;
    fclose(file);
    return out;
}

#define FFFD "\xEF\xBF\xBD"

static void test_any_cut_gives_the_same_text(void **state)
{
    (void)state;
    static const struct { const char *in, *out; } cases[] = {
        { "plain", "plain\n" },
        { "ends\n", "ends\n" },
        { "\xC3\xA9t\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80!", "\xC3\xA9t\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80!\n" },
        { "a\xFF" "b\x80", "a" FFFD "b" FFFD "\n" },
        { "\xE2\x82", FFFD "\n" },                           /* unfinished at the end */
        { "\xE2\x82" "a", FFFD "a\n" },                      /* spoiled by what follows */
        { "\xF0\x9F\xE2\x82\xAC", FFFD "\xE2\x82\xAC\n" },   /* ... which begins a character */
        { "\xC0\x80", FFFD FFFD "\n" },                      /* overlong */
        { "\xED\xA0\x80", FFFD FFFD FFFD "\n" },             /* a surrogate */
        { "\xF4\x90\x80\x80", FFFD FFFD FFFD FFFD "\n" },    /* above U+10FFFF */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step < 6; step++) assert_string_equal(streamed(cases[i].in, step), cases[i].out);
}

static void test_nothing_is_held_back_that_is_whole(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    app_stream stream = { .file = file };
    app_stream_write(&stream, "a\xC3\xA9\xE2\x82", 5);
    assert_int_equal(ftell(file), 3);
    app_stream_write(&stream, "\xAC", 1);
    assert_int_equal(ftell(file), 6);
    fclose(file);
}

static void test_a_full_file_is_told(void **state)
{
    (void)state;
    FILE *file = fopen("/dev/full", "w");
    if (!file) fail_msg("this test needs /dev/full");
    app_stream stream = { .file = file };
    assert_false(app_stream_write(&stream, "text", 4));
    assert_false(app_stream_end(&stream));
    fclose(file);
}

static void test_json(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    app_json json = { .file = file };
    app_json_open(&json, NULL, '{');
    app_json_text(&json, "t", "q\" b\\ n\n \xC3\xA9 \xFF \xE2\x82");
    app_json_open(&json, "empty", '[');
    app_json_close(&json);
    app_json_open(&json, "list", '[');
    app_json_count(&json, NULL, UINT64_MAX);
    app_json_integer(&json, NULL, -1);
    app_json_number(&json, NULL, 0.5);
    app_json_number(&json, NULL, HUGE_VAL);
    app_json_bool(&json, NULL, true);
    app_json_close(&json);
    app_json_close(&json);
    char out[512];
    rewind(file);
    out[fread(out, 1, sizeof out - 1, file)] = 0;
    fclose(file);
    assert_string_equal(out, "{\n  \"t\": \"q\\\" b\\\\ n\\u000a \xC3\xA9 \\ufffd \\ufffd\",\n  \"empty\": [],\n  \"list\": [\n"
                             "    18446744073709551615,\n    -1,\n    0.5,\n    null,\n    true\n  ]\n}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut_gives_the_same_text),
        cmocka_unit_test(test_nothing_is_held_back_that_is_whole),
        cmocka_unit_test(test_a_full_file_is_told),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

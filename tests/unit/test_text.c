/* test_text: what tokens say is whole, valid UTF-8 however they cut it, and ends at the first stop string. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/text.h"

/* What comes out when `bytes` are added in pieces of `step`, each of which must be valid by itself; a '|' ends what was stopped. */
static const char *text_of(const char *bytes, size_t step, const obi_stops *stops, bool whole)
{
    static char out[4096];
    size_t length = strlen(bytes), written = 0, ready;
    bool stopped = false;
    obi_text text = { 0 };
    assert_int_equal(obi_stops_check(stops), OBI_OK);
    for (size_t i = 0; i < length && !stopped; i += step) {
        size_t left = length - i;
        assert_int_equal(obi_text_add(&text, bytes + i, left < step ? left : step, stops, &ready, &stopped), OBI_OK);
        for (size_t k = 0; k < ready;) {
            int character = obi_utf8_measure((const unsigned char *)text.bytes + k, ready - k);
            assert_true(character > 0);
            k += (size_t)character;
        }
        if (ready > 0) memcpy(out + written, text.bytes, ready);
        written += ready;
        obi_text_take(&text, ready);
    }
    if (!stopped) {
        assert_int_equal(obi_text_end(&text, whole, stops, &ready, &stopped), OBI_OK);
        if (ready > 0) memcpy(out + written, text.bytes, ready);
        written += ready;
    }
    if (stopped) out[written++] = '|';
    out[written] = 0;
    obi_text_free(&text);
    return out;
}

#define FFFD "\xEF\xBF\xBD"

static void test_any_cut_gives_the_same_text(void **state)
{
    (void)state;
    static const struct { const char *in, *out; } cases[] = {
        { "plain", "plain" },
        { "\xC3\xA9t\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80!", "\xC3\xA9t\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80!" },
        { "a\xFF" "b\x80", "a" FFFD "b" FFFD },
        { "\xE2\x82", FFFD },                             /* unfinished at the end */
        { "\xE2\x82" "a", FFFD "a" },                     /* spoiled by what follows */
        { "\xF0\x9F\xE2\x82\xAC", FFFD "\xE2\x82\xAC" },  /* ... which begins a character */
        { "\xC0\x80", FFFD FFFD },                        /* overlong */
        { "\xED\xA0\x80", FFFD FFFD FFFD },               /* a surrogate */
        { "\xF4\x90\x80\x80", FFFD FFFD FFFD FFFD },      /* above U+10FFFF */
    };
    const obi_stops none = { NULL, 0 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step < 6; step++) assert_string_equal(text_of(cases[i].in, step, &none, true), cases[i].out);
    assert_string_equal(text_of("a\xE2\x82", 1, &none, false), "a"); /* more may come another time */
}

static void test_stops(void **state)
{
    (void)state;
    static const char *const one[] = { "abcX", "bc", "\xE2\x82\xAC\n", "zz" };
    const obi_stops stops = { one, 4 };
    static const struct { const char *in, *out; } cases[] = {
        { "see abcX!", "see |" },
        { "see abcY!", "see a|" },        /* the earlier one came to nothing, and the later one had come meanwhile */
        { "see abc", "see a|" },          /* the same at the end */
        { "ab ac bb", "ab ac bb" },
        { "zyz", "zyz" },                 /* begins twice */
        { "zyzz!", "zy|" },
        { "\xE2\x82\xAC", "\xE2\x82\xAC" },
        { "1 \xE2\x82\xAC\n2", "1 |" },
        { "\xFFzz", FFFD "|" },
        { "zz", "|" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step < 12; step++) assert_string_equal(text_of(cases[i].in, step, &stops, true), cases[i].out);
}

static void test_nothing_is_held_back_that_is_sure(void **state)
{
    (void)state;
    static const char *const one[] = { "stop" };
    const obi_stops stops = { one, 1 };
    obi_text text = { 0 };
    size_t ready;
    bool stopped;
    assert_int_equal(obi_text_add(&text, "a\xC3\xA9\xE2\x82", 5, &stops, &ready, &stopped), OBI_OK);
    assert_int_equal(ready, 3);
    obi_text_take(&text, ready);
    assert_int_equal(obi_text_add(&text, "\xAC st", 4, &stops, &ready, &stopped), OBI_OK);
    assert_int_equal(ready, 4); /* the sign and the space */
    obi_text_take(&text, ready);
    assert_int_equal(obi_text_add(&text, "art", 3, &stops, &ready, &stopped), OBI_OK);
    assert_int_equal(ready, 5);
    assert_false(stopped);
    obi_text_free(&text);
}

static void test_stops_that_are_none(void **state)
{
    (void)state;
    static const char *const wrong[] = { "", NULL, "\xE2\x82", "a\xFF", "\x80" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *const two[] = { "fine", wrong[i] };
        const obi_stops stops = { two, 2 };
        assert_int_equal(obi_stops_check(&stops), OBI_ERROR_ARGUMENT);
        assert_non_null(strstr(obi_last_error(), "stop string 1"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_any_cut_gives_the_same_text), cmocka_unit_test(test_stops),
                                        cmocka_unit_test(test_nothing_is_held_back_that_is_sure), cmocka_unit_test(test_stops_that_are_none) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

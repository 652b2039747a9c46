#include "model/text.h"

#include <string.h>

#include "core/alloc.h"

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

int obi_utf8_measure(const unsigned char *bytes, size_t count)
{
    unsigned char first = bytes[0];
    if (first < 0x80) return 1;
    if (first < 0xC2 || first > 0xF4) return -1;
    int length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    /* The second byte's range leaves out overlong forms, surrogates and what lies above U+10FFFF. */
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= count) return 0;
        if (bytes[i] < low || bytes[i] > high) return -i;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

obi_status obi_stops_check(const obi_stops *stops)
{
    for (size_t i = 0; i < stops->count; i++) {
        const char *stop = stops->strings[i];
        size_t left = stop ? strlen(stop) : 0;
        if (left == 0) return obi_fail(OBI_ERROR_ARGUMENT, "stop string %zu is empty", i);
        for (int length; left > 0; stop += length, left -= (size_t)length) {
            length = obi_utf8_measure((const unsigned char *)stop, left);
            if (length <= 0) return obi_fail(OBI_ERROR_ARGUMENT, "stop string %zu is not valid UTF-8", i);
        }
    }
    return OBI_OK;
}

static obi_status reserve(obi_text *text, size_t more)
{
    if (more <= text->room - text->count) return OBI_OK;
    size_t room = 2 * text->count + more + 64; /* pieces of tokens are far from SIZE_MAX / 3 */
    char *bytes = obi_realloc(text->bytes, room, 1);
    if (!bytes) return OBI_ERROR_MEMORY;
    text->bytes = bytes;
    text->room = room;
    return OBI_OK;
}

static void put(obi_text *text, const void *bytes, size_t count)
{
    memcpy(text->bytes + text->count, bytes, count);
    text->count += count;
}

static void add_characters(obi_text *text, const char *bytes, size_t count)
{
    while (count > 0) {
        /* At most four bytes decide about the next character. */
        unsigned char window[8];
        size_t begun = text->begun_count, added = count < sizeof window - begun ? count : sizeof window - begun;
        memcpy(window, text->begun, begun);
        memcpy(window + begun, bytes, added);
        int length = obi_utf8_measure(window, begun + added);
        if (length == 0) { /* then fewer than four bytes are left */
            memcpy(text->begun, window, begun + added);
            text->begun_count = begun + added;
            return;
        }
        if (length > 0) put(text, window, (size_t)length);
        else put(text, replacement, 3);
        /* What was begun is a good beginning, so it is used up whole, with the new byte that finishes or spoils it. */
        size_t used = (size_t)(length > 0 ? length : -length);
        text->begun_count = 0;
        bytes += used - begun;
        count -= used - begun;
    }
}

/* Where the first stop string begins that is there in full or, if more may follow, that may be one: text->count if there is none. */
static size_t find_stop(const obi_text *text, const obi_stops *stops, bool more, bool *whole)
{
    *whole = false;
    for (size_t at = 0; at < text->count; at++) {
        bool begun = false;
        size_t left = text->count - at;
        for (size_t i = 0; i < stops->count; i++) {
            size_t length = strlen(stops->strings[i]);
            if (memcmp(text->bytes + at, stops->strings[i], length < left ? length : left) != 0) continue;
            begun = begun || more || length <= left;
            *whole = *whole || length <= left;
        }
        if (begun) return at; /* it may yet become whole: no later one counts before that is known */
    }
    return text->count;
}

obi_status obi_text_add(obi_text *text, const char *bytes, size_t count, const obi_stops *stops, size_t *ready, bool *stopped)
{
    OBI_TRY(reserve(text, 3 * (text->begun_count + count)));
    add_characters(text, bytes, count);
    *ready = find_stop(text, stops, true, stopped);
    return OBI_OK;
}

obi_status obi_text_end(obi_text *text, bool whole, const obi_stops *stops, size_t *ready, bool *stopped)
{
    if (whole && text->begun_count > 0) {
        OBI_TRY(reserve(text, 3));
        put(text, replacement, 3);
        text->begun_count = 0;
    }
    *ready = find_stop(text, stops, false, stopped);
    return OBI_OK;
}

void obi_text_take(obi_text *text, size_t count)
{
    text->count -= count;
    if (text->count > 0) memmove(text->bytes, text->bytes + count, text->count);
}

void obi_text_forget(obi_text *text) { text->count = text->begun_count = 0; }

void obi_text_free(obi_text *text)
{
    obi_free(text->bytes);
    *text = (obi_text){ 0 };
}

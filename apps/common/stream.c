#include "stream.h"

#include <string.h>

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

int app_utf8_measure(const unsigned char *bytes, size_t count)
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

static void put(app_stream *stream, const void *bytes, size_t count)
{
    if (count == 0 || stream->failed) return;
    if (fwrite(bytes, 1, count, stream->file) != count) stream->failed = true;
    stream->last = ((const unsigned char *)bytes)[count - 1];
}

bool app_stream_write(app_stream *stream, const char *bytes, size_t count)
{
    while (count > 0 || stream->held_count > 0) {
        /* At most four bytes decide about the next character. */
        unsigned char window[8];
        size_t held = stream->held_count, added = count < sizeof window - held ? count : sizeof window - held;
        memcpy(window, stream->held, held);
        memcpy(window + held, bytes, added);
        int length = app_utf8_measure(window, held + added);
        if (length == 0) { /* then fewer than four bytes are left */
            memcpy(stream->held, window, held + added);
            stream->held_count = held + added;
            break;
        }
        if (length > 0) put(stream, window, (size_t)length);
        else put(stream, replacement, 3);
        /* What was held is a good beginning, so it is used up whole, with the new byte that finishes or spoils it. */
        size_t used = (size_t)(length > 0 ? length : -length);
        stream->held_count = 0;
        bytes += used - held;
        count -= used - held;
    }
    if (fflush(stream->file) != 0) stream->failed = true;
    return !stream->failed;
}

bool app_stream_end(app_stream *stream)
{
    if (stream->held_count > 0) put(stream, replacement, 3);
    stream->held_count = 0;
    if (stream->last != '\n') put(stream, "\n", 1);
    if (fflush(stream->file) != 0) stream->failed = true;
    return !stream->failed;
}

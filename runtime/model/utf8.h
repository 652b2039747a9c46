/* utf8: one character at a time, strictly (no overlong forms, no surrogates, nothing above U+10FFFF). */
#ifndef OBI_MODEL_UTF8_H
#define OBI_MODEL_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The bytes of the character that starts at text (1..4) and its code point, or 0 when the bytes there are no
 * character; `left` is how many bytes may be read, at least 1. */
static inline size_t obi_utf8_decode(const char *text, size_t left, uint32_t *codepoint)
{
    const uint8_t *bytes = (const uint8_t *)text;
    uint32_t first = bytes[0];
    if (first < 0x80) {
        *codepoint = first;
        return 1;
    }
    size_t length = first >= 0xc2 && first < 0xe0 ? 2u : first >= 0xe0 && first < 0xf0 ? 3u : first >= 0xf0 && first < 0xf5 ? 4u : 0u;
    if (length == 0 || length > left) return 0;
    uint32_t value = first & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) return 0;
        value = value << 6 | (bytes[i] & 0x3fu);
    }
    if ((length == 3 && value < 0x800) || (length == 4 && value < 0x10000) || value > 0x10ffff) return 0;
    if (value >= 0xd800 && value < 0xe000) return 0;
    *codepoint = value;
    return length;
}

/* Writes a code point below U+0800, 1 or 2 bytes. */
static inline size_t obi_utf8_encode_short(uint32_t codepoint, char *out)
{
    if (codepoint < 0x80) {
        out[0] = (char)codepoint;
        return 1;
    }
    out[0] = (char)(0xc0 | codepoint >> 6);
    out[1] = (char)(0x80 | (codepoint & 0x3f));
    return 2;
}

#endif

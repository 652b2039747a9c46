#include "model/nfc.h"

#include <string.h>

#include <utf8proc.h>

#include "core/alloc.h"
#include "model/utf8.h"

#define LONGEST_DECOMPOSITION 4 /* code points that one character can become */

static unsigned combining_class(utf8proc_int32_t codepoint)
{
    utf8proc_propval_t value = utf8proc_get_property(codepoint)->combining_class;
    return value < 0 || value > 254 ? 0u : (unsigned)value;
}

/* Sorts a run of marks by class, keeping the order within a class: by insertion when short, by counting when long. */
static void order_marks(utf8proc_int32_t *marks, size_t count, utf8proc_int32_t *scratch)
{
    if (count <= 16) {
        for (size_t i = 1; i < count; i++) {
            utf8proc_int32_t mark = marks[i];
            size_t hole = i;
            for (; hole > 0 && combining_class(marks[hole - 1]) > combining_class(mark); hole--) marks[hole] = marks[hole - 1];
            marks[hole] = mark;
        }
        return;
    }
    size_t starts[256] = { 0 };
    for (size_t i = 0; i < count; i++) starts[combining_class(marks[i]) + 1]++;
    for (size_t i = 1; i < 256; i++) starts[i] += starts[i - 1];
    for (size_t i = 0; i < count; i++) scratch[starts[combining_class(marks[i])]++] = marks[i];
    memcpy(marks, scratch, count * sizeof *marks);
}

obi_status obi_nfc(const char *text, size_t length, char **out, size_t *out_length)
{
    *out = NULL;
    size_t characters = 0;
    uint32_t any = 0;
    for (size_t i = 0; i < length; i++) {
        any |= (uint8_t)text[i] & 0x80u;
        characters += ((uint8_t)text[i] & 0xc0) != 0x80;
    }
    if (!any) return OBI_OK; /* ASCII is composed */

    obi_status status = OBI_ERROR_MEMORY;
    char *composed = NULL;
    utf8proc_int32_t *scratch = NULL;
    utf8proc_int32_t *codepoints = obi_calloc(characters * LONGEST_DECOMPOSITION + 1, sizeof *codepoints);
    if (!codepoints) return OBI_ERROR_MEMORY;
    size_t count = 0;
    for (size_t i = 0; i < length;) {
        uint32_t codepoint = 0;
        size_t bytes = obi_utf8_decode(text + i, length - i, &codepoint);
        int boundary = 0;
        utf8proc_ssize_t made = utf8proc_decompose_char((utf8proc_int32_t)codepoint, codepoints + count, LONGEST_DECOMPOSITION,
                                                        UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &boundary);
        if (made < 0 || made > LONGEST_DECOMPOSITION) {
            status = obi_fail(OBI_ERROR_RUNTIME, "the installed utf8proc library cannot decompose U+%04X", (unsigned)codepoint);
            goto done;
        }
        count += (size_t)made;
        i += bytes ? bytes : 1;
    }
    scratch = obi_calloc(count, sizeof *scratch);
    if (!scratch) goto done;
    for (size_t i = 0; i < count;) {
        size_t end = i;
        while (end < count && combining_class(codepoints[end]) != 0) end++;
        if (end > i) order_marks(codepoints + i, end - i, scratch);
        i = end + 1;
    }
    count = (size_t)utf8proc_normalize_utf32(codepoints, (utf8proc_ssize_t)count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    composed = obi_calloc(count * 4 + 1, 1);
    if (!composed) goto done;
    size_t written = 0;
    for (size_t i = 0; i < count; i++)
        written += (size_t)utf8proc_encode_char(codepoints[i], (utf8proc_uint8_t *)composed + written);
    status = OBI_OK;
    if (written == length && memcmp(composed, text, length) == 0) goto done;
    *out = composed;
    *out_length = written;
    composed = NULL;
done:
    obi_free(codepoints);
    obi_free(scratch);
    obi_free(composed);
    return status;
}

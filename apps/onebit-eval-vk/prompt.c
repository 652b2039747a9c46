#include "prompt.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

char *prompt_join(const char *first, ...)
{
    size_t bytes = 1;
    va_list parts;
    va_start(parts, first);
    for (const char *part = first; part; part = va_arg(parts, const char *)) bytes += strlen(part);
    va_end(parts);
    char *text = malloc(bytes), *at = text;
    if (!text) return NULL;
    va_start(parts, first);
    for (const char *part = first; part; part = va_arg(parts, const char *)) {
        size_t count = strlen(part);
        memcpy(at, part, count);
        at += count;
    }
    va_end(parts);
    *at = 0;
    return text;
}

static char *copy(const char *text, size_t bytes)
{
    char *made = malloc(bytes + 1);
    if (!made) return NULL;
    memcpy(made, text, bytes);
    made[bytes] = 0;
    return made;
}

/* One character at `at`; bytes that are none count one by one. Returns how many bytes it has. */
static size_t take(const char *at, utf8proc_int32_t *character)
{
    utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *)at, -1, character);
    if (bytes > 0) return (size_t)bytes;
    *character = -1;
    return 1;
}

/* Python's str.isspace: white space, separators, and the four separators of ASCII. */
static bool is_space(utf8proc_int32_t c)
{
    if (c < 0) return false;
    if ((c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85) return true;
    utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

char *prompt_strip(const char *text)
{
    const char *first = NULL, *end = text;
    for (const char *at = text; *at;) {
        utf8proc_int32_t c;
        size_t bytes = take(at, &c);
        if (!is_space(c)) {
            if (!first) first = at;
            end = at + bytes;
        }
        at += bytes;
    }
    return first ? copy(first, (size_t)(end - first)) : copy("", 0);
}

char *prompt_capitalize(const char *text)
{
    char *made = malloc(4 * strlen(text) + 1), *to = made;
    if (!made) return NULL;
    for (const char *at = text; *at;) {
        utf8proc_int32_t c;
        size_t bytes = take(at, &c);
        if (c < 0) *to++ = *at;
        else to += utf8proc_encode_char(at == text ? utf8proc_totitle(c) : utf8proc_tolower(c), (utf8proc_uint8_t *)to);
        at += bytes;
    }
    *to = 0;
    return made;
}

/* Every `from`, from left to right, becomes `with`, which is not longer. In place. */
static void replace(char *text, const char *from, const char *with)
{
    size_t from_bytes = strlen(from), with_bytes = strlen(with);
    char *to = text;
    for (const char *at = text; *at;) {
        if (strncmp(at, from, from_bytes) != 0) {
            *to++ = *at++;
            continue;
        }
        memcpy(to, with, with_bytes);
        to += with_bytes;
        at += from_bytes;
    }
    *to = 0;
}

/* re.sub("\[.*?\]", "", text): to the nearest closing bracket of the line. */
static void drop_brackets(char *text)
{
    char *to = text;
    for (const char *at = text; *at;) {
        size_t inside = *at == '[' ? strcspn(at, "]\n") : 0;
        if (*at == '[' && at[inside] == ']') at += inside + 1;
        else *to++ = *at++;
    }
    *to = 0;
}

char *prompt_hellaswag(const char *text)
{
    char *made = prompt_strip(text);
    if (!made) return NULL;
    replace(made, " [title]", ". ");
    drop_brackets(made);
    replace(made, "  ", " ");
    return made;
}

size_t prompt_characters(const char *text)
{
    size_t count = 0;
    utf8proc_int32_t c;
    for (; *text; count++) text += take(text, &c);
    return count;
}

#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last_error[512];

obi_status obi_fail(obi_status code, const char *format, ...)
{
    /* Through a second buffer, so that an argument may be obi_last_error() itself. */
    char text[sizeof last_error];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* What came from a path or a file must neither break the line nor steer a terminal. */
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f) *at = '?';
    memcpy(last_error, text, sizeof text);
    return code;
}

obi_status obi_fail_prefix(obi_status code, const char *format, ...)
{
    char prefix[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(prefix, sizeof prefix, format, arguments);
    va_end(arguments);
    return obi_fail(code, "%s: %s", prefix, last_error);
}

const char *obi_last_error(void) { return last_error; }

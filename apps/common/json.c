#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "stream.h"

static void put_text(FILE *file, const char *text)
{
    fputc('"', file);
    size_t left = strlen(text);
    for (const unsigned char *at = (const unsigned char *)text; left > 0;) {
        int length = app_utf8_measure(at, left);
        if (length <= 0) {
            fputs("\\ufffd", file);
            length = length ? -length : (int)left; /* 0: the text ends inside a character */
        } else if (*at == '"' || *at == '\\') {
            fprintf(file, "\\%c", *at);
        } else if (*at < 0x20) {
            fprintf(file, "\\u%04x", *at);
        } else {
            fwrite(at, 1, (size_t)length, file);
        }
        at += length;
        left -= (size_t)length;
    }
    fputc('"', file);
}

static void begin(app_json *json, const char *key)
{
    if (json->depth > 0) {
        fputs(json->filled[json->depth] ? ",\n" : "\n", json->file);
        json->filled[json->depth] = true;
        fprintf(json->file, "%*s", 2 * json->depth, "");
    }
    if (key) {
        put_text(json->file, key);
        fputs(": ", json->file);
    }
}

void app_json_open(app_json *json, const char *key, char bracket)
{
    begin(json, key);
    fputc(bracket, json->file);
    json->depth++;
    json->closing[json->depth] = bracket == '{' ? '}' : ']';
    json->filled[json->depth] = false;
}

void app_json_close(app_json *json)
{
    if (json->filled[json->depth]) fprintf(json->file, "\n%*s", 2 * (json->depth - 1), "");
    fputc(json->closing[json->depth], json->file);
    if (--json->depth == 0) fputc('\n', json->file);
}

void app_json_text(app_json *json, const char *key, const char *text)
{
    begin(json, key);
    put_text(json->file, text);
}

void app_json_count(app_json *json, const char *key, uint64_t value)
{
    begin(json, key);
    fprintf(json->file, "%" PRIu64, value);
}

void app_json_integer(app_json *json, const char *key, int64_t value)
{
    begin(json, key);
    fprintf(json->file, "%" PRId64, value);
}

void app_json_number(app_json *json, const char *key, double value)
{
    begin(json, key);
    if (isfinite(value)) fprintf(json->file, "%.9g", value);
    else fputs("null", json->file);
}

void app_json_bool(app_json *json, const char *key, bool value)
{
    begin(json, key);
    fputs(value ? "true" : "false", json->file);
}

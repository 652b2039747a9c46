/* json: prints JSON, two spaces a level, keys in the order of the calls. Text is escaped, bytes that are not UTF-8
 * become U+FFFD, and a number that JSON cannot write becomes null. Depth up to 15. */
#ifndef ONEBIT_APPS_JSON_H
#define ONEBIT_APPS_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct app_json {
    FILE *file;
    int depth;
    char closing[16]; /* '}' or ']' of each level */
    bool filled[16];  /* the level has an entry */
} app_json;

/* `key` is NULL inside an array and for the outermost value. `bracket` is '{' or '['. */
void app_json_open(app_json *json, const char *key, char bracket);
void app_json_close(app_json *json); /* of the outermost level: also ends the line */
void app_json_text(app_json *json, const char *key, const char *text);
void app_json_count(app_json *json, const char *key, uint64_t value);
void app_json_integer(app_json *json, const char *key, int64_t value);
void app_json_number(app_json *json, const char *key, double value); /* 9 digits */
void app_json_bool(app_json *json, const char *key, bool value);

#endif

#include "item_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/args.h"
#include "common/term.h"
#include "common/text_file.h"

#define DIGITS JSON_REAL_PRECISION(17) /* a double comes back as it was */

static int cannot_write(const item_log *log) { return app_refuse(1, "cannot write %s: %s", log->path, strerror(errno)); }

int item_log_add(item_log *log, const json_t *row)
{
    char *text = json_dumps(row, JSON_COMPACT | JSON_PRESERVE_ORDER | DIGITS);
    if (!text) return app_refuse(4, "there is not enough memory for a line of %s", log->path);
    bool written = fprintf(log->file, "%s\n", text) > 0 && fflush(log->file) == 0;
    free(text);
    return written ? 0 : cannot_write(log);
}

/* Settings are small and flat: the first that differs is named. */
static int check_settings(const item_log *log, const json_t *there, const json_t *settings)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)settings, key, value)
    {
        const json_t *other = json_object_get(there, key);
        if (other && json_equal(other, value)) continue;
        if (strcmp(key, "model") == 0 || strcmp(key, "teacher") == 0) continue; /* paths; that the files are the same is known by a hash */
        if (strcmp(key, "log") == 0) return app_refuse(5, "%s is no log of this measurement; give --log another name", log->path);
        char *was = other ? json_dumps(other, JSON_ENCODE_ANY | DIGITS) : NULL, *is = json_dumps(value, JSON_ENCODE_ANY | DIGITS);
        int code = app_refuse(2, "%s is the log of another run: its \"%s\" is %s, now it is %s; give --log another name", log->path, key,
                              was ? was : "not given", is ? is : "another");
        free(was);
        free(is);
        return code;
    }
    return APP_GO_ON;
}

static int read_rows(const item_log *log, const char *text, size_t bytes, const json_t *settings, item_log_row row, void *user)
{
    size_t number = 0;
    int code = APP_GO_ON;
    for (const char *at = text, *end = text + bytes; at < end && code == APP_GO_ON;) {
        size_t count = (size_t)((const char *)memchr(at, '\n', (size_t)(end - at)) - at);
        json_error_t error;
        json_t *object = json_loadb(at, count, 0, &error);
        number++;
        if (!object && number == 1) code = app_refuse(5, "%s is no log of this measurement; give --log another name", log->path);
        else if (!object) code = app_refuse(5, "%s, line %zu: %s", log->path, number, error.text);
        else code = number == 1 ? check_settings(log, object, settings) : row(object, number, user);
        json_decref(object);
        at += count + 1;
    }
    return code;
}

int item_log_open(item_log *log, const char *path, const json_t *settings, item_log_row row, void *user)
{
    *log = (item_log){ .path = path };
    char *text = NULL, *first = NULL;
    size_t bytes = 0, whole = 0;
    if (access(path, F_OK) == 0) {
        int code = app_read_text(path, UINT64_MAX, &text, &bytes);
        if (code != APP_GO_ON) return code;
        for (size_t i = 0; i < bytes; i++)
            if (text[i] == '\n') whole = i + 1;
    }
    int code = APP_GO_ON;
    if (whole == 0 && bytes > 0) { /* killed in the first line, or not ours */
        first = json_dumps(settings, JSON_COMPACT | JSON_PRESERVE_ORDER | DIGITS);
        if (!first || strncmp(first, text, bytes) != 0)
            code = app_refuse(5, "%s is no log of this measurement; give --log another name", path);
    }
    if (code == APP_GO_ON) code = read_rows(log, text, whole, settings, row, user);
    if (code == APP_GO_ON) {
        log->file = fopen(path, "ab");
        if (!log->file || (whole < bytes && ftruncate(fileno(log->file), (off_t)whole) != 0)) code = cannot_write(log);
        else if (whole == 0) code = item_log_add(log, settings) == 0 ? APP_GO_ON : 1;
    }
    free(text);
    free(first);
    return code;
}

void item_log_close(item_log *log)
{
    if (log->file) fclose(log->file);
    log->file = NULL;
}

static const char *write_hash(uint64_t hash)
{
    static char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return text;
}

const char *item_log_hash_of(const void *data, size_t bytes) { return write_hash(XXH3_64bits(data, bytes)); }

const char *item_log_hash(const char *path)
{
    FILE *file = fopen(path, "rb");
    XXH3_state_t *state = file ? XXH3_createState() : NULL;
    char *piece = state ? malloc(1 << 20) : NULL;
    bool known = piece && XXH3_64bits_reset(state) == XXH_OK;
    for (size_t got = 1; known && got > 0;) {
        got = fread(piece, 1, 1 << 20, file);
        known = XXH3_64bits_update(state, piece, got) == XXH_OK && !ferror(file);
    }
    uint64_t hash = known ? XXH3_64bits_digest(state) : 0;
    free(piece);
    if (state) XXH3_freeState(state);
    if (file) fclose(file);
    return known ? write_hash(hash) : NULL;
}

/* item_log: results item by item, JSON lines, the first of which holds the settings. A log that is there is continued: what a killed
 * program left of its last line is dropped. */
#ifndef ONEBIT_EVAL_ITEM_LOG_H
#define ONEBIT_EVAL_ITEM_LOG_H

#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

typedef struct item_log {
    const char *path;
    FILE *file;
} item_log;

/* What a row of an earlier run says; `line` is its number in the file. Returns APP_GO_ON or the exit code, and has said why. */
typedef int (*item_log_row)(const json_t *row, size_t line, void *user);

/* Opens `path`. A new file gets `settings` as its first line; one that is there must begin with the same (but for the paths
 * "model" and "teacher"), and each of its other lines goes to `row`. Returns APP_GO_ON or the exit code, and has said why: 2 when the
 * settings differ, 5 for what is no such log or damaged, 1 when it cannot be written. item_log_close must follow in either case. */
int item_log_open(item_log *log, const char *path, const json_t *settings, item_log_row row, void *user);
/* Writes one line, at once. 0, or 1 and has said why. */
int item_log_add(item_log *log, const json_t *row);
void item_log_close(item_log *log);

/* "0123456789abcdef": of a file's content; NULL when it cannot be read. Valid until the next call of either. */
const char *item_log_hash(const char *path);
const char *item_log_hash_of(const void *data, size_t bytes);

#endif

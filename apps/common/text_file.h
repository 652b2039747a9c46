/* text_file: a text that a program reads whole. */
#ifndef ONEBIT_APPS_TEXT_FILE_H
#define ONEBIT_APPS_TEXT_FILE_H

#include <stddef.h>
#include <stdint.h>

/* Reads a file, or stdin for "-", but at most `most` bytes of it. *text is to be freed with free() and has a NUL behind
 * its *count bytes. Returns APP_GO_ON or the code to exit with, and has said why. */
int app_read_text(const char *path, uint64_t most, char **text, size_t *count);

#endif

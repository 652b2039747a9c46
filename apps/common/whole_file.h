/* whole_file: a file that appears whole under its name, or not at all. */
#ifndef ONEBIT_APPS_WHOLE_FILE_H
#define ONEBIT_APPS_WHOLE_FILE_H

#include <stdbool.h>
#include <stdio.h>

typedef struct app_whole_file {
    FILE *file; /* to be written to; NULL: it could not be opened */
    char path[1024], made[1040];
} app_whole_file;

/* Opens a file beside `path`, in the same directory. False, and errno says why, when that cannot be. */
bool app_whole_file_open(app_whole_file *whole, const char *path);

/* Closes it and gives it its name, in the place of what had it before. False, and errno says why, after any failed write; what had the
 * name is then as it was. */
bool app_whole_file_commit(app_whole_file *whole);
void app_whole_file_abandon(app_whole_file *whole); /* fine also after commit, and twice */

/* Makes the directory and those above it that are missing. False, and errno says why. */
bool app_make_directory(const char *path);

#endif

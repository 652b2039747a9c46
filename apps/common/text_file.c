#include "text_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "args.h"
#include "term.h"

int app_read_text(const char *path, uint64_t most, char **text, size_t *count)
{
    *text = NULL;
    *count = 0;
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "stdin" : path;
    struct stat info;
    if (!standard && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return app_refuse(5, "%s is a directory, not a text file", path);
    FILE *file = standard ? stdin : fopen(path, "rb");
    if (!file) return app_refuse(5, "cannot open the text file %s: %s", path, strerror(errno));

    size_t used = 0, room = 1 << 16;
    char *bytes = malloc(room);
    bool fits = bytes != NULL, readable = true;
    while (fits && used < most) {
        if (room - used < 2) {
            char *moved = room <= SIZE_MAX / 2 ? realloc(bytes, 2 * room) : NULL;
            fits = moved != NULL;
            if (!fits) break;
            bytes = moved;
            room *= 2;
        }
        size_t wanted = room - used - 1; /* one for the NUL */
        if (wanted > most - used) wanted = (size_t)(most - used);
        size_t got = fread(bytes + used, 1, wanted, file);
        used += got;
        if (got < wanted) {
            readable = !ferror(file);
            break;
        }
    }
    int reason = errno;
    if (!standard) fclose(file);
    if (!fits || !readable) {
        free(bytes);
        if (!fits) return app_refuse(4, "there is not enough memory for the text of %s", name);
        return app_refuse(5, "cannot read %s: %s", name, strerror(reason));
    }
    bytes[used] = 0;
    *text = bytes;
    *count = used;
    return APP_GO_ON;
}

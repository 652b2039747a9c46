#include "compare_seconds.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "common/whole_file.h"

double compare_seconds_read(const char *directory, const char *name, uint64_t key, double otherwise)
{
    char path[1200];
    double seconds;
    uint64_t of;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    bool read = file && fscanf(file, "%16" SCNx64 " %lf", &of, &seconds) == 2 && of == key && seconds >= 0 && isfinite(seconds);
    if (file) fclose(file);
    return read ? seconds : otherwise;
}

bool compare_seconds_write(const char *directory, const char *name, uint64_t key, double seconds)
{
    char path[1200];
    app_whole_file file;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (!app_whole_file_open(&file, path)) return false;
    fprintf(file.file, "%016" PRIx64 " %.3f\n", key, seconds);
    return app_whole_file_commit(&file);
}

void compare_seconds_forget(const char *directory, const char *name)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    unlink(path);
}

#include "whole_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool app_whole_file_open(app_whole_file *whole, const char *path)
{
    memset(whole, 0, sizeof *whole);
    if (snprintf(whole->path, sizeof whole->path, "%s", path) >= (int)sizeof whole->path) {
        errno = ENAMETOOLONG;
        return false;
    }
    snprintf(whole->made, sizeof whole->made, "%s.%ld.tmp", path, (long)getpid());
    whole->file = fopen(whole->made, "wb");
    return whole->file != NULL;
}

bool app_whole_file_commit(app_whole_file *whole)
{
    FILE *file = whole->file;
    bool written = fflush(file) == 0 && !ferror(file) && fsync(fileno(file)) == 0;
    int error = errno;
    whole->file = NULL;
    if (fclose(file) != 0 && written) {
        written = false;
        error = errno;
    }
    if (written && rename(whole->made, whole->path) == 0) return true;
    if (written) error = errno;
    unlink(whole->made);
    errno = error;
    return false;
}

void app_whole_file_abandon(app_whole_file *whole)
{
    if (!whole->file) return;
    fclose(whole->file);
    whole->file = NULL;
    unlink(whole->made);
}

bool app_make_directory(const char *path)
{
    char part[1024];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part) {
        errno = length ? ENAMETOOLONG : ENOENT;
        return false;
    }
    for (size_t i = 1; i <= length; i++) {
        if (i < length && path[i] != '/') continue;
        memcpy(part, path, i);
        part[i] = 0;
        struct stat info;
        if (mkdir(part, 0777) == 0) continue;
        if (stat(part, &info) == 0 && S_ISDIR(info.st_mode)) continue; /* whatever mkdir said of it */
        if (errno == EEXIST) errno = ENOTDIR;
        return false;
    }
    return true;
}

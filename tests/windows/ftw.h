/* For tests on Windows: walks a directory, as POSIX's nftw does. */
#ifndef OB_TESTS_WINDOWS_FTW_H
#define OB_TESTS_WINDOWS_FTW_H

#include <dirent.h>

enum { FTW_F, FTW_D, FTW_DP };
#define FTW_PHYS 1
#define FTW_DEPTH 2
struct FTW {
    int base, level;
};

/* `open_most` is not heeded: a handle for each level. */
static inline int nftw(const char *path, int (*visit)(const char *, const struct stat *, int, struct FTW *), int open_most, int flags)
{
    struct stat info;
    struct FTW where = { 0, 0 };
    int status = 0;
    if (stat(path, &info) != 0) return -1;
    bool directory = S_ISDIR(info.st_mode);
    if (!directory || !(flags & FTW_DEPTH)) status = visit(path, &info, directory ? FTW_D : FTW_F, &where);
    if (!directory || status != 0) return status;
    DIR *entries = opendir(path);
    for (struct dirent *entry; status == 0 && entries && (entry = readdir(entries));) {
        char name[4096];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        status = nftw(name, visit, open_most, flags);
    }
    if (entries) closedir(entries);
    if (status == 0 && (flags & FTW_DEPTH)) status = visit(path, &info, FTW_DP, &where);
    return status;
}

#endif

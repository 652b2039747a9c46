/* For tests on Windows: "directory/" and a star, which is the only pattern they have. */
#ifndef OB_TESTS_WINDOWS_GLOB_H
#define OB_TESTS_WINDOWS_GLOB_H

#include <dirent.h>

#define GLOB_NOMATCH 3
typedef struct glob_t {
    size_t gl_pathc;
    char *gl_pathv[64];
} glob_t;

static inline int glob(const char *pattern, int flags, void *none, glob_t *found)
{
    (void)flags;
    (void)none;
    int length = (int)strlen(pattern) - 2;
    char path[4096];
    found->gl_pathc = 0;
    snprintf(path, sizeof path, "%.*s", length, pattern);
    DIR *entries = opendir(path);
    for (struct dirent *entry; entries && (entry = readdir(entries)) && found->gl_pathc < 64;) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%.*s/%s", length, pattern, entry->d_name);
        found->gl_pathv[found->gl_pathc++] = strdup(path);
    }
    if (entries) closedir(entries);
    return found->gl_pathc ? 0 : GLOB_NOMATCH;
}

static inline void globfree(glob_t *found)
{
    for (size_t i = 0; i < found->gl_pathc; i++) free(found->gl_pathv[i]);
}

#endif

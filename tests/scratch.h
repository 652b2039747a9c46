/* scratch: a directory for the files of one test program, under TMPDIR or the system's place for such. Use scratch_open
 * and scratch_close as the group's setup and teardown: the latter fails when a test has left a file behind. */
#ifndef OB_TESTS_SCRATCH_H
#define OB_TESTS_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_directory[512];

static inline int scratch_open(void **state)
{
    (void)state;
    const char *root = getenv("TMPDIR");
    snprintf(scratch_directory, sizeof scratch_directory, "%s/onebit-test-XXXXXX", root && *root ? root : P_tmpdir);
    return mkdtemp(scratch_directory) ? 0 : -1;
}

static inline int scratch_close(void **state)
{
    (void)state;
    return rmdir(scratch_directory);
}

static inline int scratch_remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)walk;
    return kind == FTW_DP ? rmdir(path) : unlink(path);
}

/* Removes a directory with what is in it; 0 when nothing is left, also when there was none. */
static inline int scratch_remove_tree(const char *path)
{
    return access(path, F_OK) != 0 ? 0 : nftw(path, scratch_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* The path of a file in it; overwritten by the fourth call after this one. */
static inline const char *scratch_path(const char *name)
{
    static char paths[4][1024];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_directory, name);
    return path;
}

#endif

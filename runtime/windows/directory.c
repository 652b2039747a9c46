/* The names in a directory. */
#include <dirent.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

struct obi_windows_directory {
    HANDLE search;
    WIN32_FIND_DATAW found;
    bool first; /* `found` has not been handed out */
    struct dirent entry;
    char path[4096];
};

DIR *opendir(const char *path)
{
    char pattern[4096];
    int length = snprintf(pattern, sizeof pattern, "%s/*", *path ? path : ".");
    if (length < 0 || (size_t)length >= sizeof pattern) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    const wchar_t *wide = obi_windows_path(pattern);
    DIR *directory = wide ? calloc(1, sizeof *directory) : NULL;
    if (!directory) return NULL;
    snprintf(directory->path, sizeof directory->path, "%s", path);
    directory->first = true;
    directory->search = FindFirstFileW(wide, &directory->found);
    if (directory->search != INVALID_HANDLE_VALUE) return directory;
    obi_windows_fail();
    free(directory);
    return NULL;
}

struct dirent *readdir(DIR *directory)
{
    while (directory->first || FindNextFileW(directory->search, &directory->found)) {
        directory->first = false;
        if (WideCharToMultiByte(CP_UTF8, 0, directory->found.cFileName, -1, directory->entry.d_name, sizeof directory->entry.d_name, NULL, NULL) > 0)
            return &directory->entry;
    }
    return NULL;
}

int closedir(DIR *directory)
{
    FindClose(directory->search);
    free(directory);
    return 0;
}

DIR *dirfd(DIR *directory) { return directory; }

int unlinkat(DIR *directory, const char *name, int flags)
{
    char path[4096 + sizeof directory->entry.d_name];
    (void)flags;
    snprintf(path, sizeof path, "%s/%s", directory->path, name);
    return unlink(path);
}

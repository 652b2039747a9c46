/* The names in a directory, in UTF-8 (the C library's own are in the code page). */
#ifndef OBI_WINDOWS_DIRENT_H
#define OBI_WINDOWS_DIRENT_H

struct dirent {
    char d_name[3 * 260];
};
#define DIR struct obi_windows_directory
DIR;

DIR *obi_windows_opendir(const char *path);
struct dirent *obi_windows_readdir(DIR *directory);
int obi_windows_closedir(DIR *directory);
/* The only directory that a file is removed in is one that is being read. */
DIR *obi_windows_dirfd(DIR *directory);
int obi_windows_unlinkat(DIR *directory, const char *name, int flags);
#define dirfd obi_windows_dirfd
#define unlinkat obi_windows_unlinkat
#define opendir obi_windows_opendir
#define readdir obi_windows_readdir
#define closedir obi_windows_closedir

#endif

/* posix: what the project uses of POSIX, on Windows. The build includes this file before every other of the project's own
 * (never before volk's or a library's), so that the code itself knows one system only. Names of files are UTF-8, whatever the code
 * page is; files are binary; errors come as errno.
 *
 * The system's headers come first: the names below are redefined for what follows them. */
#ifndef OBI_WINDOWS_POSIX_H
#define OBI_WINDOWS_POSIX_H

#ifndef _CRT_RAND_S
#define _CRT_RAND_S
#endif
#include <direct.h>
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <math.h>
#include <process.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* ---- files (files.c) ---------------------------------------------------------------------------------------------- */

#define O_CLOEXEC _O_NOINHERIT
#define O_NONBLOCK 0 /* opening never waits here */
#define O_NOFOLLOW 0 /* links are rare, and making one takes a privilege */
#define O_DIRECTORY 0x40000000

struct obi_windows_stat {
    uint64_t st_dev, st_ino; /* together which file it is */
    unsigned st_mode;
    int64_t st_size;
    time_t st_mtime;
};

int obi_windows_open(const char *path, int flags, ...);
FILE *obi_windows_fopen(const char *path, const char *mode);
ssize_t obi_windows_read(int descriptor, void *data, size_t size);
ssize_t obi_windows_write(int descriptor, const void *data, size_t size);
ssize_t obi_windows_pwrite(int descriptor, const void *data, size_t size, off_t offset);
int obi_windows_fsync(int descriptor);
int obi_windows_stat(const char *path, struct obi_windows_stat *out);
int obi_windows_fstat(int descriptor, struct obi_windows_stat *out);
int obi_windows_access(const char *path, int mode);
int obi_windows_rename(const char *from, const char *to); /* replaces what is there, unless it is mapped or open without leave */
int obi_windows_unlink(const char *path);
int obi_windows_mkdir(const char *path, unsigned mode);
int obi_windows_rmdir(const char *path);
int obi_windows_symlink(const char *target, const char *path); /* EPERM: it takes a privilege that few have */
char *obi_windows_realpath(const char *path, char *none);      /* to be freed; `none` must be NULL */
char *obi_windows_mkdtemp(char *pattern);
#define AT_FDCWD (-100)
#define RENAME_EXCHANGE 2
int obi_windows_renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags); /* EINVAL: no exchange */

/* The path in UTF-16, in a buffer of the thread's that the second call after this one overwrites; NULL and errno when it is not UTF-8 or
 * longer than 4,000 units. */
const wchar_t *obi_windows_path(const char *path);
/* Sets errno from GetLastError and returns -1. */
int obi_windows_fail(void);

#undef stat
#undef fstat
#define stat obi_windows_stat
#define fstat obi_windows_fstat
#define open obi_windows_open
#define fopen obi_windows_fopen
#define read obi_windows_read
#define write obi_windows_write
#define pwrite obi_windows_pwrite
#define fsync obi_windows_fsync
#define access obi_windows_access
#define rename obi_windows_rename
#define unlink obi_windows_unlink
#define mkdir obi_windows_mkdir
#define rmdir obi_windows_rmdir
#define symlink obi_windows_symlink
#define realpath obi_windows_realpath
#define mkdtemp obi_windows_mkdtemp
#define renameat2 obi_windows_renameat2
#define fdatasync obi_windows_fsync

/* ---- the process and the machine (system.c) ---------------------------------------------------------------------------- */

#define _SC_PAGESIZE 30
long obi_windows_sysconf(int name);
char *obi_windows_getenv(const char *name); /* UTF-8; stays as it is until the program ends */
int obi_windows_setenv(const char *name, const char *value, int overwrite);
int obi_windows_unsetenv(const char *name);
int obi_windows_gethostname(char *name, size_t room);
int obi_windows_getloadavg(double *loads, int count); /* -1: Windows does not say */

#define sysconf obi_windows_sysconf
#define getenv obi_windows_getenv
#define setenv obi_windows_setenv
#define unsetenv obi_windows_unsetenv
#define gethostname obi_windows_gethostname
#define getloadavg obi_windows_getloadavg

/* The processors that the process may use. */
typedef struct obi_windows_processors {
    uint64_t mask;
} cpu_set_t;
#define CPU_ZERO(set) ((set)->mask = 0)
#define CPU_COUNT(set) __builtin_popcountll((set)->mask)
int obi_windows_getaffinity(int process, size_t size, cpu_set_t *set);
#define sched_getaffinity obi_windows_getaffinity

/* Signals: those that Windows has not are never raised. */
#define SIGBUS 7
#define SIGTRAP 5
#define SIGSYS 31
#define SIGPIPE 13
#define SIGUSR1 10
#define SIG_SETMASK 2
#define SA_RESTART 0
typedef uint64_t obi_windows_signals;
#define sigset_t obi_windows_signals
struct obi_windows_sigaction {
    void (*sa_handler)(int number);
    sigset_t sa_mask;
    int sa_flags;
};
#define sigemptyset(set) ((void)(*(set) = 0))
#define sigfillset(set) ((void)(*(set) = ~(obi_windows_signals)0))
#define sigdelset(set, number) ((void)(*(set) &= ~((obi_windows_signals)1 << (number))))
#define sigaction obi_windows_sigaction
int obi_windows_sigaction(int number, const struct obi_windows_sigaction *action, struct obi_windows_sigaction *before);
/* Windows runs handlers on threads of its own. */
static inline int obi_windows_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    (void)how;
    (void)set;
    if (before) *before = 0;
    return 0;
}
#undef pthread_sigmask
#define pthread_sigmask obi_windows_sigmask

/* ---- text and numbers (system.c) ---------------------------------------------------------------------------------------------------- */

void *obi_windows_memmem(const void *text, size_t length, const void *part, size_t part_length);
char *obi_windows_strcasestr(const char *text, const char *part);
#define memmem obi_windows_memmem
#define strcasestr obi_windows_strcasestr

#define __printf__ __gnu_printf__ /* in attributes: formats are C's, not those of the older C library */
/* Those of the C library convert a double to a float in the branch not taken, which is a warning. */
#undef isfinite
#undef isinf
#undef isnan
#define isfinite(x) __builtin_isfinite(x)
#define isinf(x) __builtin_isinf(x)
#define isnan(x) __builtin_isnan(x)

#endif

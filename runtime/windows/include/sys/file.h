/* A lock that ends with its descriptor. */
#ifndef OBI_WINDOWS_FILE_H
#define OBI_WINDOWS_FILE_H

#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define LOCK_UN 8
int obi_windows_flock(int descriptor, int operation);
#define flock obi_windows_flock

#endif

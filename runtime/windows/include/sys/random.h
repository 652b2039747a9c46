/* Random bytes of the system. */
#ifndef OBI_WINDOWS_RANDOM_H
#define OBI_WINDOWS_RANDOM_H

ssize_t obi_windows_getrandom(void *data, size_t size, unsigned flags);
#define getrandom obi_windows_getrandom

#endif

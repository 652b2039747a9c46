/* Pages of files, for reading. */
#ifndef OBI_WINDOWS_MMAN_H
#define OBI_WINDOWS_MMAN_H

#define PROT_READ 1
#define MAP_PRIVATE 2
#define MAP_FAILED ((void *)-1)
#define MADV_DONTNEED 4

void *obi_windows_mmap(void *wanted, size_t size, int protection, int flags, int descriptor, off_t offset);
int obi_windows_munmap(void *data, size_t size);
int obi_windows_madvise(void *data, size_t size, int advice);
#define mmap obi_windows_mmap
#define munmap obi_windows_munmap
#define madvise obi_windows_madvise

#endif

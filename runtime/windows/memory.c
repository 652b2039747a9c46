/* Pages of files. */
#include <sys/mman.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

void *mmap(void *wanted, size_t size, int protection, int flags, int descriptor, off_t offset)
{
    (void)wanted;
    (void)flags;
    if (protection != PROT_READ || offset < 0) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    HANDLE mapping = CreateFileMappingW((HANDLE)_get_osfhandle(descriptor), NULL, PAGE_READONLY, 0, 0, NULL);
    void *data = NULL;
    if (mapping) data = MapViewOfFile(mapping, FILE_MAP_READ, (DWORD)((uint64_t)offset >> 32), (DWORD)(uint64_t)offset, size);
    if (!data) obi_windows_fail();
    if (mapping) CloseHandle(mapping); /* the view keeps it */
    return data ? data : MAP_FAILED;
}

int munmap(void *data, size_t size)
{
    (void)size;
    return UnmapViewOfFile(data) ? 0 : obi_windows_fail();
}

int madvise(void *data, size_t size, int advice)
{
    (void)advice; /* MADV_DONTNEED is the only one there is */
    VirtualUnlock(data, size); /* takes pages that are not locked out of the working set, and then calls it an error */
    return 0;
}

/* Files by name and by descriptor. */
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/file.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define PATH_UNITS 4096

int obi_windows_fail(void)
{
    switch (GetLastError()) {
    case ERROR_SUCCESS: break;
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
    case ERROR_BAD_NETPATH:
    case ERROR_INVALID_DRIVE: errno = ENOENT; break;
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS: errno = EEXIST; break;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:
    case ERROR_USER_MAPPED_FILE:
    case ERROR_LOCK_VIOLATION: errno = EACCES; break;
    case ERROR_DIRECTORY: errno = ENOTDIR; break;
    case ERROR_DIR_NOT_EMPTY: errno = ENOTEMPTY; break;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL: errno = ENOSPC; break;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_COMMITMENT_LIMIT:
    case ERROR_OUTOFMEMORY: errno = ENOMEM; break;
    case ERROR_FILENAME_EXCED_RANGE: errno = ENAMETOOLONG; break;
    case ERROR_NO_UNICODE_TRANSLATION: errno = EILSEQ; break;
    case ERROR_INSUFFICIENT_BUFFER: errno = ENAMETOOLONG; break;
    case ERROR_INVALID_HANDLE: errno = EBADF; break;
    case ERROR_TOO_MANY_OPEN_FILES: errno = EMFILE; break;
    default: errno = EIO;
    }
    return -1;
}

const wchar_t *obi_windows_path(const char *path)
{
    static _Thread_local wchar_t paths[2][PATH_UNITS];
    static _Thread_local unsigned next;
    wchar_t *wide = paths[next++ % 2];
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, PATH_UNITS) > 0) return wide;
    obi_windows_fail();
    return NULL;
}

/* FILE_SHARE_DELETE: a file may be renamed or removed while it is open, as elsewhere. */
static HANDLE open_handle(const char *path, DWORD rights, DWORD disposition)
{
    const wchar_t *wide = obi_windows_path(path);
    if (!wide) return INVALID_HANDLE_VALUE;
    HANDLE handle = CreateFileW(wide, rights, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, disposition,
                                FILE_FLAG_BACKUP_SEMANTICS, NULL); /* directories, too */
    if (handle == INVALID_HANDLE_VALUE) obi_windows_fail();
    return handle;
}

static int facts(HANDLE handle, struct obi_windows_stat *out)
{
    BY_HANDLE_FILE_INFORMATION info;
    memset(out, 0, sizeof *out);
    if (GetFileType(handle) != FILE_TYPE_DISK) {
        out->st_mode = _S_IFCHR;
        return 0;
    }
    if (!GetFileInformationByHandle(handle, &info)) return obi_windows_fail();
    out->st_dev = info.dwVolumeSerialNumber;
    out->st_ino = (uint64_t)info.nFileIndexHigh << 32 | info.nFileIndexLow;
    out->st_mode = info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? _S_IFDIR : _S_IFREG;
    out->st_size = (int64_t)((uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow);
    uint64_t ticks = (uint64_t)info.ftLastWriteTime.dwHighDateTime << 32 | info.ftLastWriteTime.dwLowDateTime; /* 100 ns since 1601 */
    out->st_mtime = (time_t)(ticks / 10000000) - 11644473600;
    return 0;
}

int obi_windows_stat(const char *path, struct obi_windows_stat *out)
{
    HANDLE handle = open_handle(path, FILE_READ_ATTRIBUTES, OPEN_EXISTING);
    if (handle == INVALID_HANDLE_VALUE) return -1;
    int status = facts(handle, out);
    CloseHandle(handle);
    return status;
}

int obi_windows_fstat(int descriptor, struct obi_windows_stat *out) { return facts((HANDLE)_get_osfhandle(descriptor), out); }

int obi_windows_open(const char *path, int flags, ...)
{
    int access_bits = flags & (O_RDONLY | O_WRONLY | O_RDWR);
    DWORD rights = access_bits == O_RDWR ? GENERIC_READ | GENERIC_WRITE : access_bits == O_WRONLY ? GENERIC_WRITE : GENERIC_READ;
    DWORD disposition = !(flags & O_CREAT) ? (flags & O_TRUNC ? TRUNCATE_EXISTING : OPEN_EXISTING)
                        : flags & O_EXCL   ? CREATE_NEW
                        : flags & O_TRUNC  ? CREATE_ALWAYS
                                           : OPEN_ALWAYS;
    HANDLE handle = open_handle(path, rights, disposition);
    if (handle == INVALID_HANDLE_VALUE) return -1;
    struct obi_windows_stat info;
    if ((flags & O_DIRECTORY) && facts(handle, &info) == 0 && !S_ISDIR(info.st_mode)) {
        CloseHandle(handle);
        errno = ENOTDIR;
        return -1;
    }
    int descriptor = _open_osfhandle((intptr_t)handle, (flags & (O_APPEND | _O_NOINHERIT)) | _O_BINARY | (access_bits == O_RDONLY ? _O_RDONLY : 0));
    if (descriptor < 0) CloseHandle(handle);
    return descriptor;
}

FILE *obi_windows_fopen(const char *path, const char *mode)
{
    int flags = mode[0] == 'r' ? 0 : mode[0] == 'w' ? O_CREAT | O_TRUNC : O_CREAT | O_APPEND;
    bool both = strchr(mode, '+') != NULL;
    flags |= both ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;
    int descriptor = obi_windows_open(path, flags | _O_NOINHERIT, 0644);
    if (descriptor < 0) return NULL;
    char plain[4] = { mode[0], 'b', both ? '+' : 0, 0 };
    FILE *file = _fdopen(descriptor, plain);
    if (!file) _close(descriptor);
    return file;
}

static unsigned part_of(size_t size) { return size > 1u << 30 ? 1u << 30 : (unsigned)size; }

ssize_t obi_windows_read(int descriptor, void *data, size_t size) { return _read(descriptor, data, part_of(size)); }

ssize_t obi_windows_write(int descriptor, const void *data, size_t size) { return _write(descriptor, data, part_of(size)); }

ssize_t obi_windows_pwrite(int descriptor, const void *data, size_t size, off_t offset)
{
    /* An offset given with the call moves the position of a handle that is not overlapped, so that is put back. */
    int64_t before = _lseeki64(descriptor, 0, SEEK_CUR);
    if (before < 0) return -1;
    OVERLAPPED at = { .Offset = (DWORD)(uint64_t)offset, .OffsetHigh = (DWORD)((uint64_t)offset >> 32) };
    DWORD count = 0;
    if (!WriteFile((HANDLE)_get_osfhandle(descriptor), data, part_of(size), &count, &at)) return obi_windows_fail();
    return _lseeki64(descriptor, before, SEEK_SET) < 0 ? -1 : (ssize_t)count;
}

int obi_windows_fsync(int descriptor)
{
    if (FlushFileBuffers((HANDLE)_get_osfhandle(descriptor))) return 0;
    struct obi_windows_stat info;
    if (obi_windows_fstat(descriptor, &info) == 0 && S_ISDIR(info.st_mode)) {
        errno = EINVAL; /* the entries of a directory cannot be synced by themselves */
        return -1;
    }
    return obi_windows_fail();
}

int obi_windows_access(const char *path, int mode)
{
    const wchar_t *wide = obi_windows_path(path);
    if (!wide) return -1;
    DWORD attributes = GetFileAttributesW(wide);
    if (attributes == INVALID_FILE_ATTRIBUTES) return obi_windows_fail();
    if ((mode & 2) && (attributes & FILE_ATTRIBUTE_READONLY)) {
        errno = EACCES;
        return -1;
    }
    return 0;
}

int obi_windows_rename(const char *from, const char *to)
{
    const wchar_t *wide_from = obi_windows_path(from), *wide_to = wide_from ? obi_windows_path(to) : NULL;
    if (!wide_to) return -1;
    return MoveFileExW(wide_from, wide_to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH) ? 0 : obi_windows_fail();
}

int obi_windows_renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    (void)from_directory;
    (void)to_directory;
    if (flags == 0) return obi_windows_rename(from, to);
    errno = EINVAL;
    return -1;
}

int obi_windows_unlink(const char *path)
{
    const wchar_t *wide = obi_windows_path(path);
    return !wide ? -1 : DeleteFileW(wide) ? 0 : obi_windows_fail();
}

int obi_windows_mkdir(const char *path, unsigned mode)
{
    (void)mode;
    const wchar_t *wide = obi_windows_path(path);
    if (!wide) return -1;
    if (CreateDirectoryW(wide, NULL)) return 0;
    DWORD reason = GetLastError(), attributes = GetFileAttributesW(wide); /* "C:" is refused with another reason */
    SetLastError(attributes != INVALID_FILE_ATTRIBUTES ? ERROR_ALREADY_EXISTS : reason);
    return obi_windows_fail();
}

int obi_windows_rmdir(const char *path)
{
    const wchar_t *wide = obi_windows_path(path);
    return !wide ? -1 : RemoveDirectoryW(wide) ? 0 : obi_windows_fail();
}

int obi_windows_symlink(const char *target, const char *path)
{
    (void)target;
    (void)path;
    errno = EPERM;
    return -1;
}

char *obi_windows_realpath(const char *path, char *none)
{
    (void)none;
    const wchar_t *wide = obi_windows_path(path);
    wchar_t full[PATH_UNITS];
    if (!wide || obi_windows_access(path, 0) != 0) return NULL;
    DWORD units = GetFullPathNameW(wide, PATH_UNITS, full, NULL);
    if (units == 0 || units >= PATH_UNITS) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    while (units > 1 && (full[units - 1] == L'\\' || full[units - 1] == L'/')) full[--units] = 0;
    for (DWORD i = 0; i < units; i++)
        if (full[i] == L'\\') full[i] = L'/';
    int room = WideCharToMultiByte(CP_UTF8, 0, full, -1, NULL, 0, NULL, NULL);
    char *out = room > 0 ? malloc((size_t)room) : NULL;
    if (out) WideCharToMultiByte(CP_UTF8, 0, full, -1, out, room, NULL, NULL);
    return out;
}

char *obi_windows_mkdtemp(char *pattern)
{
    size_t length = strlen(pattern);
    for (int attempt = 0; attempt < 100 && length >= 6; attempt++) {
        for (size_t i = length - 6; i < length; i++) {
            unsigned random = 0;
            rand_s(&random);
            pattern[i] = "abcdefghijklmnopqrstuvwxyz012345"[random % 32];
        }
        if (obi_windows_mkdir(pattern, 0700) == 0) return pattern;
        if (errno != EEXIST) return NULL;
    }
    return NULL;
}

int flock(int descriptor, int operation)
{
    OVERLAPPED at = { .OffsetHigh = 0x40000000 }; /* a byte where nobody writes: locks forbid reading here */
    HANDLE handle = (HANDLE)_get_osfhandle(descriptor);
    if (operation & LOCK_UN) return UnlockFileEx(handle, 0, 1, 0, &at) ? 0 : obi_windows_fail();
    DWORD flags = (operation & LOCK_EX ? LOCKFILE_EXCLUSIVE_LOCK : 0) | (operation & LOCK_NB ? LOCKFILE_FAIL_IMMEDIATELY : 0);
    if (LockFileEx(handle, flags, 0, 1, 0, &at)) return 0;
    obi_windows_fail();
    if (errno == EACCES || errno == EIO) errno = EWOULDBLOCK;
    return -1;
}

#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/half.h"

#define WRITE_BUFFER_BYTES (1u << 20)

/* ---- reading -------------------------------------------------------------------------------------- */

static const uint8_t nothing[1];

struct obi_mapping_users { atomic_uint count; };

obi_status obi_mapping_open(obi_mapping *mapping, const char *path)
{
    memset(mapping, 0, sizeof *mapping);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe that nobody writes would not open otherwise */
    if (descriptor < 0) return obi_fail(OBI_ERROR_DATA, "cannot open %s: %s", path, strerror(errno));
    obi_status status = OBI_OK;
    struct stat info;
    if (fstat(descriptor, &info) != 0) {
        status = obi_fail(OBI_ERROR_DATA, "cannot read %s: %s", path, strerror(errno));
        goto done;
    }
    if (!S_ISREG(info.st_mode)) {
        status = obi_fail(OBI_ERROR_DATA, "%s is %s, not a file", path, S_ISDIR(info.st_mode) ? "a directory" : "a device or a pipe");
        goto done;
    }
    if ((uint64_t)info.st_size > SIZE_MAX) {
        status = obi_fail(OBI_ERROR_DATA, "%s is larger than this machine can address", path);
        goto done;
    }
    mapping->path = obi_strdup(path);
    if (!mapping->path) {
        status = OBI_ERROR_MEMORY;
        goto done;
    }
    mapping->size = mapping->held = (uint64_t)info.st_size;
    mapping->data = nothing;
    if (mapping->size > 0) {
        void *data = mmap(NULL, (size_t)mapping->size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data == MAP_FAILED) {
            status = obi_fail(OBI_ERROR_DATA, "cannot map %s: %s", path, strerror(errno));
            obi_free(mapping->path);
            memset(mapping, 0, sizeof *mapping);
            goto done;
        }
        mapping->data = data;
        mapping->users = obi_calloc(1, sizeof *mapping->users);
        if (mapping->users) {
            atomic_init(&mapping->users->count, 1);
        } else {
            munmap(data, (size_t)mapping->size);
            obi_free(mapping->path);
            memset(mapping, 0, sizeof *mapping);
            status = OBI_ERROR_MEMORY;
        }
    }
done:
    close(descriptor);
    return status;
}

obi_status obi_mapping_from_memory(obi_mapping *mapping, const void *data, uint64_t size, const char *name)
{
    memset(mapping, 0, sizeof *mapping);
    mapping->path = obi_strdup(name);
    if (!mapping->path) return OBI_ERROR_MEMORY;
    mapping->data = data ? data : nothing;
    mapping->size = mapping->held = size;
    mapping->borrowed = true;
    return OBI_OK;
}

obi_status obi_mapping_from_source(obi_mapping *mapping, const obi_byte_source *source, const char *name)
{
    OBI_TRY(obi_mapping_from_memory(mapping, NULL, 0, name));
    mapping->source = *source;
    mapping->size = source->bytes;
    return OBI_OK;
}

obi_status obi_mapping_hold(obi_mapping *mapping, uint64_t count)
{
    if (count > mapping->size) count = mapping->size;
    if (count <= mapping->held) return OBI_OK;
    if (count > SIZE_MAX) return obi_fail(OBI_ERROR_MEMORY, "%s is larger than this machine can address", mapping->path);
    uint8_t *data = obi_realloc(mapping->held > 0 ? (void *)mapping->data : NULL, (size_t)count, 1);
    if (!data) return OBI_ERROR_MEMORY;
    uint64_t held = mapping->held;
    mapping->data = data;
    mapping->held = 1; /* it is ours to free, whatever happens */
    OBI_TRY(obi_mapping_read(mapping, held, data + held, count - held));
    mapping->held = count;
    return OBI_OK;
}

obi_status obi_mapping_read(const obi_mapping *mapping, uint64_t offset, void *to, uint64_t count)
{
    if (offset > mapping->size || count > mapping->size - offset) return obi_fail(OBI_ERROR_DATA, "%s ends too early", mapping->path);
    if (!mapping->source.read) {
        memcpy(to, mapping->data + offset, (size_t)count);
        return OBI_OK;
    }
    if (mapping->source.read(mapping->source.user, offset, to, (size_t)count)) return OBI_OK;
    return obi_fail(OBI_ERROR_RUNTIME, "%s: reading %llu bytes at %llu failed", mapping->path, (unsigned long long)count,
                    (unsigned long long)offset);
}

void obi_mapping_close(obi_mapping *mapping)
{
    if (mapping->users && atomic_fetch_sub(&mapping->users->count, 1) == 1) {
        munmap((void *)mapping->data, (size_t)mapping->size);
        obi_free(mapping->users);
    }
    if (mapping->source.read && mapping->held > 0) obi_free((void *)mapping->data);
    obi_free(mapping->path);
    memset(mapping, 0, sizeof *mapping);
}

bool obi_mapping_share(const obi_mapping *mapping, obi_mapping *out)
{
    memset(out, 0, sizeof *out);
    if (!mapping->users) return false;
    char *path = obi_strdup(mapping->path);
    if (!path) return false;
    *out = *mapping;
    out->path = path;
    atomic_fetch_add(&out->users->count, 1);
    return true;
}

void obi_mapping_release(const obi_mapping *mapping, uint64_t offset, uint64_t size)
{
    if (mapping->borrowed || offset >= mapping->size) return;
    if (size > mapping->size - offset) size = mapping->size - offset;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t begin = (offset + page - 1) / page * page, end = (offset + size) / page * page;
    if (begin < end) madvise((void *)(mapping->data + begin), (size_t)(end - begin), MADV_DONTNEED);
}

obi_reader obi_reader_over(const void *data, uint64_t size)
{
    obi_reader reader = { data, size, 0, false };
    return reader;
}

uint64_t obi_reader_left(const obi_reader *reader) { return reader->size - reader->position; }

const uint8_t *obi_read_bytes(obi_reader *reader, uint64_t count)
{
    if (reader->failed || count > obi_reader_left(reader)) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *bytes = reader->data + reader->position;
    reader->position += count;
    return bytes;
}

static uint64_t read_little_endian(obi_reader *reader, unsigned count)
{
    const uint8_t *bytes = obi_read_bytes(reader, count);
    uint64_t value = 0;
    for (unsigned i = 0; bytes && i < count; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint8_t obi_read_u8(obi_reader *reader) { return (uint8_t)read_little_endian(reader, 1); }
uint16_t obi_read_u16(obi_reader *reader) { return (uint16_t)read_little_endian(reader, 2); }
uint32_t obi_read_u32(obi_reader *reader) { return (uint32_t)read_little_endian(reader, 4); }
uint64_t obi_read_u64(obi_reader *reader) { return read_little_endian(reader, 8); }
float obi_read_f32(obi_reader *reader) { return obi_float_from_bits(obi_read_u32(reader)); }

double obi_read_f64(obi_reader *reader)
{
    uint64_t bits = obi_read_u64(reader);
    double value;
    memcpy(&value, &bits, 8);
    return value;
}

/* ---- writing -------------------------------------------------------------------------------------- */

static obi_status write_all(obi_writer *writer, const uint8_t *data, uint64_t size)
{
    while (size > 0) {
        size_t part = size > (1u << 30) ? (1u << 30) : (size_t)size;
        ssize_t count = write(writer->descriptor, data, part);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return obi_fail(OBI_ERROR_RUNTIME, "cannot write %s: %s", writer->path, strerror(errno));
        data += count;
        size -= (uint64_t)count;
    }
    return OBI_OK;
}

static obi_status flush(obi_writer *writer)
{
    size_t count = writer->buffered;
    writer->buffered = 0;
    return write_all(writer, writer->buffer, count);
}

static void writer_free(obi_writer *writer)
{
    if (writer->descriptor >= 0) close(writer->descriptor);
    obi_free(writer->path);
    obi_free(writer->temporary);
    obi_free(writer->buffer);
    memset(writer, 0, sizeof *writer);
    writer->descriptor = -1;
}

obi_status obi_writer_open(obi_writer *writer, const char *path)
{
    memset(writer, 0, sizeof *writer);
    writer->descriptor = -1;
    size_t room = strlen(path) + 48;
    writer->path = obi_strdup(path);
    writer->temporary = obi_calloc(room, 1);
    writer->buffer = obi_calloc(WRITE_BUFFER_BYTES, 1);
    if (!writer->path || !writer->temporary || !writer->buffer) {
        writer_free(writer);
        return OBI_ERROR_MEMORY;
    }
    /* Renaming over a directory or a device would fail, or worse, succeed: find out before hours of work. */
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        writer_free(writer);
        return obi_fail(OBI_ERROR_ARGUMENT, "cannot write %s: it exists and is not a file", path);
    }
    /* A name of its own for each writer of this process. What an earlier process of the same number left is removed, and
     * a link that somebody put there is not followed. */
    static atomic_uint serial;
    snprintf(writer->temporary, room, "%s.tmp-%ld-%u", path, (long)getpid(), atomic_fetch_add(&serial, 1));
    unlink(writer->temporary);
    writer->descriptor = open(writer->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (writer->descriptor < 0) {
        obi_status status = obi_fail(OBI_ERROR_RUNTIME, "cannot create %s: %s", writer->temporary, strerror(errno));
        writer_free(writer);
        return status;
    }
    return OBI_OK;
}

obi_status obi_write(obi_writer *writer, const void *data, uint64_t size)
{
    writer->written += size;
    if (size <= WRITE_BUFFER_BYTES - writer->buffered) {
        if (size > 0) memcpy(writer->buffer + writer->buffered, data, (size_t)size);
        writer->buffered += (size_t)size;
        return OBI_OK;
    }
    OBI_TRY(flush(writer));
    if (size >= WRITE_BUFFER_BYTES) return write_all(writer, data, size);
    memcpy(writer->buffer, data, (size_t)size);
    writer->buffered = (size_t)size;
    return OBI_OK;
}

obi_status obi_write_zeros(obi_writer *writer, uint64_t count)
{
    static const uint8_t zeros[4096];
    while (count > 0) {
        uint64_t part = count < sizeof zeros ? count : sizeof zeros;
        OBI_TRY(obi_write(writer, zeros, part));
        count -= part;
    }
    return OBI_OK;
}

obi_status obi_write_at(obi_writer *writer, uint64_t offset, const void *data, uint64_t size)
{
    OBI_TRY(flush(writer));
    const uint8_t *bytes = data;
    while (size > 0) {
        ssize_t count = pwrite(writer->descriptor, bytes, (size_t)size, (off_t)offset);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return obi_fail(OBI_ERROR_RUNTIME, "cannot write %s: %s", writer->path, strerror(errno));
        bytes += count;
        offset += (uint64_t)count;
        size -= (uint64_t)count;
    }
    return OBI_OK;
}

/* `directory` has room for the path: after the rename nothing may fail for want of memory. */
static obi_status sync_directory_of(const char *path, char *directory)
{
    strcpy(directory, path);
    char *slash = strrchr(directory, '/');
    if (slash == directory) slash[1] = 0;
    else if (slash) *slash = 0;
    obi_status status = OBI_OK;
    int descriptor = open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems cannot sync a directory (EINVAL); there is then nothing more to do. */
    if (descriptor < 0 || (fsync(descriptor) != 0 && errno != EINVAL))
        status = obi_fail(OBI_ERROR_RUNTIME, "cannot sync the directory of %s: %s", path, strerror(errno));
    if (descriptor >= 0) close(descriptor);
    return status;
}

obi_status obi_writer_commit(obi_writer *writer)
{
    obi_status status = flush(writer);
    if (status == OBI_OK && fsync(writer->descriptor) != 0)
        status = obi_fail(OBI_ERROR_RUNTIME, "cannot write %s: %s", writer->path, strerror(errno));
    int descriptor = writer->descriptor;
    writer->descriptor = -1;
    if (close(descriptor) != 0 && status == OBI_OK)
        status = obi_fail(OBI_ERROR_RUNTIME, "cannot write %s: %s", writer->path, strerror(errno));
    if (status == OBI_OK && rename(writer->temporary, writer->path) != 0)
        status = obi_fail(OBI_ERROR_RUNTIME, "cannot rename %s to %s: %s", writer->temporary, writer->path, strerror(errno));
    if (status != OBI_OK) unlink(writer->temporary);
    else status = sync_directory_of(writer->path, writer->temporary);
    writer_free(writer);
    return status;
}

void obi_writer_abandon(obi_writer *writer)
{
    if (writer->descriptor < 0) return;
    unlink(writer->temporary);
    writer_free(writer);
}

obi_status obi_make_directories(const char *path)
{
    char *copy = obi_strdup(path);
    if (!copy) return OBI_ERROR_MEMORY;
    obi_status status = OBI_OK;
    for (char *end = copy + 1;; end++) {
        if (*end != '/' && *end != 0) continue;
        char saved = *end;
        *end = 0;
        if (mkdir(copy, 0755) != 0 && errno != EEXIST) {
            status = obi_fail(OBI_ERROR_RUNTIME, "cannot create the directory %s: %s", copy, strerror(errno));
            break;
        }
        *end = saved;
        if (saved == 0) break;
    }
    obi_free(copy);
    return status;
}

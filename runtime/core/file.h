/* file: a file mapped for reading with a bounds-checked cursor, and a file written so that it is either
 * whole under its name or absent (temporary name, fsync, rename, fsync of the directory). */
#ifndef OBI_CORE_FILE_H
#define OBI_CORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* ---- reading -------------------------------------------------------------------------------------- */

/* Bytes that somebody else reads: `read` puts `count` of them from `offset` on at `to`, all or it returns false. */
typedef struct obi_byte_source {
    uint64_t bytes;
    bool (*read)(void *user, uint64_t offset, void *to, size_t count);
    void *user;
} obi_byte_source;

/* A whole file, read-only. Immutable once opened: any number of threads may read it. */
typedef struct obi_mapping {
    const uint8_t *data; /* size bytes; not NULL even when size is 0 */
    uint64_t size;
    char *path;          /* as given, for messages */
    bool borrowed;       /* true when made by obi_mapping_from_memory */
    obi_byte_source source;   /* `read` is NULL unless made by obi_mapping_from_source: then `data` are the first `held` bytes */
    uint64_t held;       /* bytes at `data` */
    struct obi_mapping_users *users; /* of a file's pages; NULL where there are none of our own */
} obi_mapping;

/* Maps `path`. OBI_ERROR_DATA when it does not exist, is a directory or cannot be read. Close with obi_mapping_close. */
obi_status obi_mapping_open(obi_mapping *mapping, const char *path);

/* Wraps bytes the caller keeps alive; `name` is used in messages only. */
obi_status obi_mapping_from_memory(obi_mapping *mapping, const void *data, uint64_t size, const char *name);

/* Bytes that come from a source, which is used until close. `data` is empty until obi_mapping_hold; one thread. */
obi_status obi_mapping_from_source(obi_mapping *mapping, const obi_byte_source *source, const char *name);
/* Makes the first `count` bytes of a source `data`, which may move; no fewer than before, and no more than there are. */
obi_status obi_mapping_hold(obi_mapping *mapping, uint64_t count);
/* Copies bytes of any mapping. OBI_ERROR_RUNTIME when the source fails, OBI_ERROR_DATA past the end. */
obi_status obi_mapping_read(const obi_mapping *mapping, uint64_t offset, void *to, uint64_t count);

void obi_mapping_close(obi_mapping *mapping); /* also fine on a zeroed struct */

/* Makes *out another holder of the same pages, to be closed by itself: they stay until the last is closed. False where there are no
 * pages of a file, or no memory for its path. */
bool obi_mapping_share(const obi_mapping *mapping, obi_mapping *out);

/* Tells the kernel that [offset, offset+size) is not needed again soon, so that streaming a large file keeps
 * little of it resident. A hint: errors are ignored, data stays readable. */
void obi_mapping_release(const obi_mapping *mapping, uint64_t offset, uint64_t size);

/* A position in some bytes. Each read checks what is left first, and on a short file sets `failed`, returns 0
 * and leaves the position alone; so a parser may read several fields and test `failed` once before it uses them. */
typedef struct obi_reader {
    const uint8_t *data;
    uint64_t size;
    uint64_t position;
    bool failed;
} obi_reader;

obi_reader obi_reader_over(const void *data, uint64_t size);
uint64_t obi_reader_left(const obi_reader *reader);
uint8_t obi_read_u8(obi_reader *reader);
uint16_t obi_read_u16(obi_reader *reader); /* little-endian, as are all below */
uint32_t obi_read_u32(obi_reader *reader);
uint64_t obi_read_u64(obi_reader *reader);
float obi_read_f32(obi_reader *reader);
double obi_read_f64(obi_reader *reader);
const uint8_t *obi_read_bytes(obi_reader *reader, uint64_t count); /* a pointer into the data, or NULL */

/* ---- writing -------------------------------------------------------------------------------------- */

/* A file being written under PATH.tmp-PID-SERIAL. Nothing appears under PATH before obi_writer_commit succeeds. One thread. */
typedef struct obi_writer {
    int descriptor; /* -1 when closed */
    char *path;
    char *temporary;
    uint8_t *buffer;
    size_t buffered;
    uint64_t written; /* bytes handed to obi_write so far */
} obi_writer;

obi_status obi_writer_open(obi_writer *writer, const char *path);
obi_status obi_write(obi_writer *writer, const void *data, uint64_t size);
obi_status obi_write_zeros(obi_writer *writer, uint64_t count);
/* Overwrites bytes that were written before. */
obi_status obi_write_at(obi_writer *writer, uint64_t offset, const void *data, uint64_t size);
/* Flushes, fsyncs, renames and fsyncs the directory. On failure the temporary file is removed. Closes either way. */
obi_status obi_writer_commit(obi_writer *writer);
/* Removes the temporary file and closes; does nothing after a commit or on a writer zeroed with descriptor -1. */
void obi_writer_abandon(obi_writer *writer);

/* Creates a directory and its parents (mode 0755); fine if it exists. */
obi_status obi_make_directories(const char *path);

#endif

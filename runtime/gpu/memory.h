/* memory: device memory in arenas of 256 MiB, and the buffers that lie in them. */
#ifndef OBI_GPU_MEMORY_H
#define OBI_GPU_MEMORY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <volk.h>

#include "core/file.h"
#include "core/status.h"

typedef enum obi_memory_kind {
    OBI_MEMORY_DEVICE = 0,  /* device-local; `mapped` may be NULL */
    OBI_MEMORY_UPLOAD = 1,  /* host-visible, written by the host */
    OBI_MEMORY_READBACK = 2, /* host-visible, cached where possible, read by the host */
    OBI_MEMORY_KIND_COUNT = 3
} obi_memory_kind;

typedef struct obi_arena obi_arena;
struct obi_device;

typedef struct obi_memory {
    pthread_mutex_t lock;
    obi_arena *arenas;
    uint64_t used_bytes;      /* in live buffers */
    uint64_t reserved_bytes;  /* in arenas */
    uint64_t peak_bytes;      /* the most that reserved_bytes has been since the last obi_memory_expect */
    uint64_t expected_bytes;  /* what reserved_bytes less transfer_bytes is expected to grow to; 0: nobody knows */
    uint64_t transfer_bytes;  /* in arenas of their own for transfers; only while the need is known */
    uint32_t allocations;     /* live vkAllocateMemory */
    uint64_t imported_bytes;  /* in live buffers that are pages of files (obi_buffer_import); in no other count */
    atomic_bool import_failed; /* obi_buffer_import found out that the driver does not */
} obi_memory;

/* One VkBuffer. Usage: storage, transfer source and destination. */
typedef struct obi_buffer {
    VkBuffer handle;
    uint64_t size;            /* bytes as asked for */
    uint64_t address;         /* in shaders; 0 where the device's `addresses` is false */
    void *mapped;             /* host pointer for UPLOAD and READBACK, persistently mapped; NULL for DEVICE */
    obi_memory_kind kind;
    uint64_t offset;          /* in its arena */
    uint64_t reserved;        /* bytes it occupies there */
    uint64_t first;           /* where in the VkBuffer it begins: 0 but of imported memory */
    obi_arena *arena;
    uint32_t id;              /* unique in the process; barrier tracking uses it */
} obi_buffer;

/* OBI_ERROR_MEMORY names the size and what the device has left. size > 0. The contents are undefined. */
obi_status obi_buffer_create(struct obi_device *device, uint64_t size, obi_memory_kind kind, obi_buffer **out);
void obi_buffer_destroy(struct obi_device *device, obi_buffer *buffer); /* the device must be done with it; NULL is allowed */

/* Whether obi_buffer_import may do it here, as far as is known. */
bool obi_memory_imports(const struct obi_device *device);

/* Makes a buffer of `size` bytes of a mapped file from `offset` on, without a copy, for reading only; the mapping must stay until it
 * is destroyed. Only where device and host share memory, the driver imports such memory, and the place suits the device: else, and
 * whatever goes wrong, false, and the caller copies. Not counted as memory of the device. */
bool obi_buffer_import(struct obi_device *device, const obi_mapping *mapping, uint64_t offset, uint64_t size, obi_buffer **out);

/* Where the host sees a buffer of any kind, mapped for good; NULL where it does not. */
void *obi_buffer_host(const obi_buffer *buffer);

/* Makes host writes visible to the device, or device writes to the host, for memory that is not coherent.
 * Nothing to do (and nothing done) for coherent memory. */
obi_status obi_buffer_flush(struct obi_device *device, const obi_buffer *buffer, uint64_t offset, uint64_t size);
obi_status obi_buffer_invalidate(struct obi_device *device, const obi_buffer *buffer, uint64_t offset, uint64_t size);

/* What obi_memory_fits compares with; UINT64_MAX where nobody knows. */
uint64_t obi_memory_left(struct obi_device *device);

/* OBI_ERROR_MEMORY with the numbers when `bytes` more cannot fit: into the device's heap, or, where device and host share
 * memory, into what the machine has left. Drivers that share it promise more than there is, and the system then ends the
 * program without a word. `what` is "the weights", ... */
obi_status obi_memory_fits(struct obi_device *device, uint64_t bytes, const char *what);

/* Tells that about `bytes` more will be asked for, all in all and without large buffers of transfers, so that arenas are made to
 * that measure: without it the last arena of many may be nearly empty, and a buffer of 130 MiB leaves half of one unused. 0 takes
 * it back. Starts peak_bytes anew. */
void obi_memory_expect(struct obi_device *device, uint64_t bytes);

/* Used by obi_device_open and _close. */
obi_status obi_memory_init(obi_memory *memory);
void obi_memory_finish(struct obi_device *device);

#endif

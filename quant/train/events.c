#include "quant/train/events.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"

#define EVENT_BYTES_MAX 4096
#define RECORD_EXTRA 16 /* length (8), its checksum (4), the data's checksum (4) */
#define NAME_PREFIX "events.out.tfevents."

struct obi_events {
    int descriptor;
    char path[2304];
};

uint32_t obi_crc32c(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0); /* the polynomial, lowest power first */
    }
    return ~crc;
}

/* ---- messages: field number and wire type, then the value ---------------------------------------------------------- */

typedef struct message {
    uint8_t bytes[EVENT_BYTES_MAX];
    size_t size;
    bool full; /* something had no room */
} message;

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* Fields of Event, Summary.Value and SessionLog. */
enum { EVENT_WALL_TIME = 1, EVENT_STEP = 2, EVENT_FILE_VERSION = 3, EVENT_SUMMARY = 5, EVENT_SESSION_LOG = 7 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2, SESSION_STATUS = 1, SESSION_START = 1 };

static void put_bytes(message *to, const void *bytes, size_t size)
{
    if (size > sizeof to->bytes - to->size) {
        to->full = true;
        return;
    }
    memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
}

static void put_little(message *to, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) put_bytes(to, &(uint8_t){ (uint8_t)(value >> 8 * i) }, 1);
}

static void put_varint(message *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) put_bytes(to, &(uint8_t){ (uint8_t)(value | 0x80) }, 1);
    put_bytes(to, &(uint8_t){ (uint8_t)value }, 1);
}

static void put_key(message *to, unsigned field, unsigned wire) { put_varint(to, field << 3 | wire); }

static void put_field(message *to, unsigned field, const void *bytes, size_t size)
{
    put_key(to, field, WIRE_BYTES);
    put_varint(to, size);
    put_bytes(to, bytes, size);
}

static void put_scalar(message *summary, const obi_scalar *scalar)
{
    message value = { .size = 0 };
    float narrow = (float)scalar->value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    put_field(&value, VALUE_TAG, scalar->tag, strlen(scalar->tag));
    put_key(&value, VALUE_SIMPLE, WIRE_32);
    put_little(&value, bits, 4);
    put_field(summary, SUMMARY_VALUE, value.bytes, value.size);
}

static void begin_event(message *event)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    uint64_t bits;
    memcpy(&bits, &seconds, sizeof bits);
    event->size = 0;
    event->full = false;
    put_key(event, EVENT_WALL_TIME, WIRE_64);
    put_little(event, bits, 8);
}

static void put_step(message *event, uint64_t step)
{
    put_key(event, EVENT_STEP, WIRE_VARINT);
    put_varint(event, step);
}

/* ---- records --------------------------------------------------------------------------------------------------- */

/* Checksums of data that contain checksums are poor ones, so the format turns and moves them. */
static uint32_t masked(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8u; }

/* In one write, so that a killed run leaves at most one torn record, at the end. */
static obi_status write_event(obi_events *events, const message *event)
{
    message record = { .size = 0 };
    if (event->full || event->size > sizeof record.bytes - RECORD_EXTRA)
        return obi_fail(OBI_ERROR_ARGUMENT, "an event has too many scalars for one record of %s", events->path);
    put_little(&record, event->size, 8);
    put_little(&record, masked(obi_crc32c(record.bytes, 8)), 4);
    put_bytes(&record, event->bytes, event->size);
    put_little(&record, masked(obi_crc32c(event->bytes, event->size)), 4);
    const uint8_t *at = record.bytes;
    for (size_t left = record.size; left > 0;) {
        ssize_t written = write(events->descriptor, at, left);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return obi_fail(OBI_ERROR_RUNTIME, "cannot write %s: %s", events->path, strerror(errno));
        at += written;
        left -= (size_t)written;
    }
    return OBI_OK;
}

static obi_status write_opening(obi_events *events, uint64_t step)
{
    static const char version[] = "brain.Event:2";
    static const uint8_t started[] = { SESSION_STATUS << 3 | WIRE_VARINT, SESSION_START };
    message event;
    begin_event(&event);
    put_field(&event, EVENT_FILE_VERSION, version, sizeof version - 1);
    OBI_TRY(write_event(events, &event));
    if (step == 0) return OBI_OK;
    begin_event(&event);
    put_step(&event, step + 1);
    put_field(&event, EVENT_SESSION_LOG, started, sizeof started);
    return write_event(events, &event);
}

obi_status obi_events_open(const char *directory, uint64_t step, obi_events **out)
{
    char host[128] = "host";
    *out = NULL;
    obi_events *events = obi_calloc(1, sizeof *events);
    if (!events) return OBI_ERROR_MEMORY;
    gethostname(host, sizeof host - 1);
    for (char *at = host; *at; at++)
        if (*at == '/' || *at == '.') *at = '-';
    events->descriptor = -1;
    for (unsigned serial = 0; events->descriptor < 0; serial++) {
        int length = snprintf(events->path, sizeof events->path, "%s/" NAME_PREFIX "%010lld.%s.%ld.%u", directory, (long long)time(NULL),
                              host, (long)getpid(), serial);
        bool fits = length > 0 && (size_t)length < sizeof events->path;
        if (fits) events->descriptor = open(events->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
        if (!fits || (events->descriptor < 0 && errno != EEXIST)) {
            obi_status status =
                obi_fail(OBI_ERROR_RUNTIME, "cannot create %s: %s", events->path, fits ? strerror(errno) : "too long a path");
            obi_events_close(events);
            return status;
        }
    }
    obi_status status = write_opening(events, step);
    if (status != OBI_OK) obi_events_close(events);
    else *out = events;
    return status;
}

obi_status obi_events_write(obi_events *events, uint64_t step, const obi_scalar *scalars, size_t count)
{
    message event, summary = { .size = 0 };
    for (size_t i = 0; i < count; i++)
        if (isfinite(scalars[i].value)) put_scalar(&summary, &scalars[i]);
    begin_event(&event);
    put_step(&event, step);
    put_field(&event, EVENT_SUMMARY, summary.bytes, summary.size);
    event.full = event.full || summary.full;
    return write_event(events, &event);
}

void obi_events_close(obi_events *events)
{
    if (!events) return;
    if (events->descriptor >= 0) close(events->descriptor);
    obi_free(events);
}

obi_status obi_events_remove_all(const char *directory)
{
    DIR *entries = opendir(directory);
    if (!entries) return obi_fail(OBI_ERROR_RUNTIME, "cannot list %s: %s", directory, strerror(errno));
    for (struct dirent *entry; (entry = readdir(entries));)
        if (strncmp(entry->d_name, NAME_PREFIX, sizeof NAME_PREFIX - 1) == 0) unlinkat(dirfd(entries), entry->d_name, 0);
    closedir(entries);
    return OBI_OK;
}

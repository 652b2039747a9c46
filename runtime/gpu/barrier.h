/* barrier: what has been accessed since the last barrier of a command buffer. A barrier here covers all of memory, so
 * after one the list starts anew; it stays a handful of ranges long. */
#ifndef OBI_GPU_BARRIER_H
#define OBI_GPU_BARRIER_H

#include "gpu/cmd.h"

#define OBI_TRACKED_MAX 128

typedef struct obi_tracker {
    struct { uint32_t id; obi_access access; uint64_t begin, end; } range[OBI_TRACKED_MAX];
    uint32_t count;
} obi_tracker;

static inline void obi_tracker_reset(obi_tracker *tracker) { tracker->count = 0; }

/* True when `access` must wait for something earlier: it touches what was written, or writes what was read. */
bool obi_tracker_conflicts(const obi_tracker *tracker, obi_view view, obi_access access);

/* Remembers the access. False when the list is full: record a barrier, reset, and note again. */
bool obi_tracker_note(obi_tracker *tracker, obi_view view, obi_access access);

#endif

#include "gpu/barrier.h"

bool obi_tracker_conflicts(const obi_tracker *tracker, obi_view view, obi_access access)
{
    for (uint32_t i = 0; i < tracker->count; i++) {
        if (tracker->range[i].id != view.buffer->id) continue;
        if (view.offset >= tracker->range[i].end || view.offset + view.size <= tracker->range[i].begin) continue;
        if ((access & OBI_WRITE) || (tracker->range[i].access & OBI_WRITE)) return true;
    }
    return false;
}

bool obi_tracker_note(obi_tracker *tracker, obi_view view, obi_access access)
{
    uint64_t end = view.offset + view.size;
    for (uint32_t i = 0; i < tracker->count; i++)
        if (tracker->range[i].id == view.buffer->id && tracker->range[i].begin == view.offset && tracker->range[i].end == end) {
            tracker->range[i].access |= access;
            return true;
        }
    if (tracker->count == OBI_TRACKED_MAX) return false;
    tracker->range[tracker->count].id = view.buffer->id;
    tracker->range[tracker->count].access = access;
    tracker->range[tracker->count].begin = view.offset;
    tracker->range[tracker->count].end = end;
    tracker->count++;
    return true;
}

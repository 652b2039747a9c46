/* slice: a list of commands that takes longer than a frame may, recorded a piece at a time. The list is gone through from its beginning
 * for every piece (obi_cmd_begin_slice); what ran in earlier pieces is left out, and so is what does not fit any more. How long a command
 * takes is known from time stamps around the last ones of the same kernel that moved about as many bytes: layers repeat. A piece has at
 * most one large command of which nothing is known yet.
 *
 * A slice belongs to the thread of its cmd. */
#ifndef OBI_GPU_SLICE_H
#define OBI_GPU_SLICE_H

#include "gpu/device.h"

typedef struct obi_slice obi_slice;

obi_status obi_slice_create(obi_device *device, obi_slice **out);
void obi_slice_destroy(obi_device *device, obi_slice *slice); /* NULL is allowed */

/* The next piece: commands from number `first` on which take `seconds` together, one at the least. */
void obi_slice_set(obi_slice *slice, uint32_t first, double seconds);
/* What comes next does `factor` times as much with about as many bytes: all that is known takes so many times as long. */
void obi_slice_scale(obi_slice *slice, double factor);
uint32_t obi_slice_end(const obi_slice *slice);   /* the first command that was not recorded any more */
bool obi_slice_at_end(const obi_slice *slice);    /* there is none */
double obi_slice_seconds(const obi_slice *slice); /* that the last piece took on the device; 0 where it has no time stamps */
double obi_slice_longest(const obi_slice *slice); /* command of the last piece, likewise */

/* For cmd: */
void obi_slice_begin(obi_device *device, obi_slice *slice, VkCommandBuffer buffer);
/* Whether the next command, which is a dispatch of `kernel` (OBI_SLICE_TRANSFER: a copy or fill) and moves `bytes`, belongs to it. */
#define OBI_SLICE_TRANSFER (-1)
bool obi_slice_takes(obi_slice *slice, int kernel, uint64_t bytes);
void obi_slice_taken(obi_device *device, obi_slice *slice, VkCommandBuffer buffer); /* it was recorded */
void obi_slice_collect(obi_device *device, obi_slice *slice);                     /* it was waited for */

#endif

/* slice: a list of commands that takes longer than a frame may, recorded a piece at a time. The list is gone through from its beginning
 * for every piece (obi_cmd_begin_slice); what ran in earlier pieces is left out, and so is what does not fit any more. How long each
 * command takes is known from the time stamps of earlier runs of the same list; before the first, it is guessed from the bytes it moves.
 *
 * A slice belongs to the thread of its cmd. */
#ifndef OBI_GPU_SLICE_H
#define OBI_GPU_SLICE_H

#include "gpu/device.h"

/* What the commands of one list take, by their place in it. */
typedef struct obi_costs {
    float *seconds;
    uint8_t *measured;
    uint32_t room;
    double bytes_per_second; /* of what was measured; 0: nothing was */
} obi_costs;

void obi_costs_free(obi_costs *costs); /* also fine on a zeroed struct */
/* What is known is for another size of the same list: everything takes `factor` times as long. */
void obi_costs_scale(obi_costs *costs, double factor);
/* The longest command that was measured; 0: none was. */
double obi_costs_longest(const obi_costs *costs);
/* The sum of the first `count`, those not measured left out. */
double obi_costs_sum(const obi_costs *costs, uint32_t count);

typedef struct obi_slice obi_slice;

obi_status obi_slice_create(obi_device *device, obi_slice **out);
void obi_slice_destroy(obi_device *device, obi_slice *slice); /* NULL is allowed */

/* The next piece: commands from number `first` on which take `seconds` together, one at the least. `costs` must live until the piece was
 * waited for. */
void obi_slice_set(obi_slice *slice, obi_costs *costs, uint32_t first, double seconds);
uint32_t obi_slice_end(const obi_slice *slice);   /* the first command that was not recorded any more */
bool obi_slice_at_end(const obi_slice *slice);    /* there is none */
double obi_slice_seconds(const obi_slice *slice); /* that the last piece took on the device; 0 where it has no time stamps */

/* For cmd: */
void obi_slice_begin(obi_device *device, obi_slice *slice, VkCommandBuffer buffer);
/* Whether the next command, which moves `bytes`, belongs to the piece. */
bool obi_slice_takes(obi_slice *slice, uint64_t bytes);
void obi_slice_taken(obi_device *device, obi_slice *slice, VkCommandBuffer buffer); /* it was recorded */
void obi_slice_collect(obi_device *device, obi_slice *slice);                     /* it was waited for */

#endif

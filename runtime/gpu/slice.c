#include "gpu/slice.h"

#include <string.h>

#include "core/alloc.h"

#define COMMANDS_MAX 1023u /* in one piece: so many time stamps fit, and the one in front */

/* Before anything was measured: what the slowest device that we know of moves, and what a command costs that moves nothing. */
#define BYTES_PER_SECOND_FIRST 5e8
#define SECONDS_LEAST 5e-6
/* A device where one measurement says less than this is not believed: time stamps may be coarse. */
#define SURPRISE 4.0

struct obi_slice {
    VkQueryPool pool; /* VK_NULL_HANDLE where the queue has no time stamps */
    obi_costs *costs;
    uint32_t first, end, index; /* index: of the next command of the list */
    double left;                /* seconds that are not taken yet */
    bool closed;                /* a command was left out behind the piece */
    double seconds;
    uint64_t bytes[COMMANDS_MAX];
    uint64_t ticks[COMMANDS_MAX + 1];
};

void obi_costs_free(obi_costs *costs)
{
    obi_free(costs->seconds);
    obi_free(costs->measured);
    *costs = (obi_costs){ .seconds = NULL };
}

void obi_costs_scale(obi_costs *costs, double factor)
{
    for (uint32_t i = 0; i < costs->room; i++) costs->seconds[i] *= (float)factor;
}

double obi_costs_longest(const obi_costs *costs)
{
    float longest = 0;
    for (uint32_t i = 0; i < costs->room; i++)
        if (costs->measured[i] && costs->seconds[i] > longest) longest = costs->seconds[i];
    return (double)longest;
}

double obi_costs_sum(const obi_costs *costs, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count && i < costs->room; i++)
        if (costs->measured[i]) sum += (double)costs->seconds[i];
    return sum;
}

/* Room for command i. Without memory for it nothing is remembered, and everything stays a guess. */
static bool make_room(obi_costs *costs, uint32_t i)
{
    if (i < costs->room) return true;
    uint32_t room = i + 256;
    float *seconds = obi_realloc(costs->seconds, room, sizeof *seconds);
    if (!seconds) return false;
    costs->seconds = seconds;
    uint8_t *measured = obi_realloc(costs->measured, room, sizeof *measured);
    if (!measured) return false;
    costs->measured = measured;
    memset(seconds + costs->room, 0, (room - costs->room) * sizeof *seconds);
    memset(measured + costs->room, 0, room - costs->room);
    costs->room = room;
    return true;
}

static double estimate(const obi_costs *costs, uint32_t i, uint64_t bytes)
{
    if (i < costs->room && costs->measured[i]) return (double)costs->seconds[i];
    return SECONDS_LEAST + (double)bytes / (costs->bytes_per_second > 0 ? costs->bytes_per_second : BYTES_PER_SECOND_FIRST);
}

obi_status obi_slice_create(obi_device *device, obi_slice **out)
{
    *out = NULL;
    obi_slice *slice = obi_calloc(1, sizeof *slice);
    if (!slice) return OBI_ERROR_MEMORY;
    if (device->caps.timestamp_bits > 0) {
        VkQueryPoolCreateInfo info = { .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO, .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                       .queryCount = COMMANDS_MAX + 1 };
        VkResult result = device->vk.vkCreateQueryPool(device->handle, &info, NULL, &slice->pool);
        if (result != VK_SUCCESS) {
            obi_free(slice);
            return obi_vk_fail(result, "vkCreateQueryPool");
        }
    }
    *out = slice;
    return OBI_OK;
}

void obi_slice_destroy(obi_device *device, obi_slice *slice)
{
    if (!slice) return;
    if (slice->pool) device->vk.vkDestroyQueryPool(device->handle, slice->pool, NULL);
    obi_free(slice);
}

void obi_slice_set(obi_slice *slice, obi_costs *costs, uint32_t first, double seconds)
{
    slice->costs = costs;
    slice->first = slice->end = first;
    slice->index = 0;
    slice->left = seconds;
    slice->closed = false;
    slice->seconds = 0;
}

uint32_t obi_slice_end(const obi_slice *slice) { return slice->end; }
bool obi_slice_at_end(const obi_slice *slice) { return !slice->closed; }
double obi_slice_seconds(const obi_slice *slice) { return slice->seconds; }

static void stamp(obi_device *device, obi_slice *slice, VkCommandBuffer buffer, VkPipelineStageFlagBits stage)
{
    if (slice->pool) device->vk.vkCmdWriteTimestamp(buffer, stage, slice->pool, slice->end - slice->first);
}

void obi_slice_begin(obi_device *device, obi_slice *slice, VkCommandBuffer buffer)
{
    if (slice->pool) device->vk.vkCmdResetQueryPool(buffer, slice->pool, 0, COMMANDS_MAX + 1);
    stamp(device, slice, buffer, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT);
}

bool obi_slice_takes(obi_slice *slice, uint64_t bytes)
{
    uint32_t i = slice->index++;
    if (i < slice->first) return false;
    if (!slice->closed) {
        uint32_t taken = i - slice->first;
        double seconds = estimate(slice->costs, i, bytes);
        slice->closed = taken == COMMANDS_MAX || (taken > 0 && seconds > slice->left);
        if (!slice->closed) {
            slice->left -= seconds;
            slice->bytes[taken] = bytes;
        }
    }
    return !slice->closed;
}

void obi_slice_taken(obi_device *device, obi_slice *slice, VkCommandBuffer buffer)
{
    slice->end++;
    stamp(device, slice, buffer, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT);
}

/* The larger of what was measured now and a little less than before, so that one quick run does not make the next piece too long. */
static void note(obi_costs *costs, uint32_t i, double seconds)
{
    if (!make_room(costs, i)) return;
    double before = (double)costs->seconds[i] * 0.9;
    if (!costs->measured[i] || seconds > before) before = costs->measured[i] && seconds > before * SURPRISE ? before * SURPRISE : seconds;
    costs->seconds[i] = (float)before;
    costs->measured[i] = 1;
}

void obi_slice_collect(obi_device *device, obi_slice *slice)
{
    uint32_t count = slice->end - slice->first;
    if (!slice->pool || count == 0) return;
    VkResult result = device->vk.vkGetQueryPoolResults(device->handle, slice->pool, 0, count + 1, (count + 1) * sizeof *slice->ticks,
                                                       slice->ticks, sizeof *slice->ticks, VK_QUERY_RESULT_64_BIT);
    if (result != VK_SUCCESS) return;
    uint64_t mask = device->caps.timestamp_bits >= 64 ? UINT64_MAX : (1ull << device->caps.timestamp_bits) - 1, bytes = 0;
    double period = (double)device->caps.timestamp_period * 1e-9;
    for (uint32_t k = 0; k < count; k++) {
        double seconds = (double)((slice->ticks[k + 1] - slice->ticks[k]) & mask) * period;
        note(slice->costs, slice->first + k, seconds);
        slice->seconds += seconds;
        bytes += slice->bytes[k];
    }
    if (slice->seconds > 0 && bytes > 0) { /* careful with what is not known yet: half as fast */
        double rate = 0.5 * (double)bytes / slice->seconds;
        if (slice->costs->bytes_per_second == 0 || rate < slice->costs->bytes_per_second) slice->costs->bytes_per_second = rate;
    }
}

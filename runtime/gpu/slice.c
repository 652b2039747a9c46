#include "gpu/slice.h"

#include <string.h>

#include "core/alloc.h"

#define COMMANDS_MAX 1023u /* in one piece: so many time stamps fit, and the one in front */
#define COSTS_MAX 256u     /* more kinds of commands are not told apart: the oldest is forgotten */

/* Before anything was measured: what the slowest device that we know of moves, and what a command costs that moves nothing. */
#define BYTES_PER_SECOND_FIRST 5e8
#define SECONDS_LEAST 5e-6
#define LARGE_BYTES (64ull << 10) /* of what is below, and has never run, several may be in a piece */
/* What is believed goes up quickly and down slowly, so that it lies above the middle of what is measured. One measurement that stands
 * out, as a thread of a software driver may sleep, counts as SURPRISE times as much at the most. */
#define UP 0.5
#define DOWN 0.25
#define SURPRISE 3.0

/* A command's kernel, and the bytes that it moves to three binary digits. */
typedef struct kind { int kernel; uint32_t bytes; } kind;

struct obi_slice {
    VkQueryPool pool; /* VK_NULL_HANDLE where the queue has no time stamps */
    uint32_t first, end, index; /* index: of the next command of the list */
    double left;                /* seconds that are not taken yet */
    bool closed;                /* a command was left out behind the piece */
    bool guessed;               /* it has a large one that was never measured */
    double seconds, longest;
    kind taken[COMMANDS_MAX];
    uint64_t ticks[COMMANDS_MAX + 1];
    struct { kind kind; double seconds; bool twice; } costs[COSTS_MAX]; /* twice: measured more than once */
    uint32_t cost_count, cost_next;
};

static kind kind_of(int kernel, uint64_t bytes)
{
    uint32_t shift = 0;
    for (; bytes >= 8; bytes >>= 1) shift++;
    return (kind){ kernel, shift << 3 | (uint32_t)bytes };
}

/* Where the kind's cost is; cost_count when it is not known. */
static uint32_t find(const obi_slice *slice, kind wanted)
{
    uint32_t i = 0;
    while (i < slice->cost_count && (slice->costs[i].kind.kernel != wanted.kernel || slice->costs[i].kind.bytes != wanted.bytes)) i++;
    return i;
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

void obi_slice_set(obi_slice *slice, uint32_t first, double seconds)
{
    slice->first = slice->end = first;
    slice->index = 0;
    slice->left = seconds;
    slice->closed = slice->guessed = false;
    slice->seconds = slice->longest = 0;
}

void obi_slice_scale(obi_slice *slice, double factor)
{
    for (uint32_t i = 0; i < slice->cost_count; i++) slice->costs[i].seconds *= factor;
}

uint32_t obi_slice_end(const obi_slice *slice) { return slice->end; }
bool obi_slice_at_end(const obi_slice *slice) { return !slice->closed; }
double obi_slice_seconds(const obi_slice *slice) { return slice->seconds; }
double obi_slice_longest(const obi_slice *slice) { return slice->longest; }

static void stamp(obi_device *device, obi_slice *slice, VkCommandBuffer buffer, VkPipelineStageFlagBits stage)
{
    if (slice->pool) device->vk.vkCmdWriteTimestamp(buffer, stage, slice->pool, slice->end - slice->first);
}

void obi_slice_begin(obi_device *device, obi_slice *slice, VkCommandBuffer buffer)
{
    if (slice->pool) device->vk.vkCmdResetQueryPool(buffer, slice->pool, 0, COMMANDS_MAX + 1);
    stamp(device, slice, buffer, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT); /* behind what the queue had before, which is not ours */
}

bool obi_slice_takes(obi_slice *slice, int kernel, uint64_t bytes)
{
    uint32_t i = slice->index++;
    if (i < slice->first || slice->closed) return false;
    uint32_t taken = i - slice->first, known;
    kind own = kind_of(kernel, bytes);
    known = find(slice, own);
    bool guess = known == slice->cost_count;
    double seconds = guess ? SECONDS_LEAST + (double)bytes / BYTES_PER_SECOND_FIRST : slice->costs[known].seconds;
    guess = guess && slice->pool && bytes >= LARGE_BYTES;
    slice->closed = taken == COMMANDS_MAX || (taken > 0 && (seconds > slice->left || (guess && slice->guessed)));
    if (slice->closed) return false;
    slice->guessed |= guess;
    slice->left -= seconds;
    slice->taken[taken] = own;
    return true;
}

void obi_slice_taken(obi_device *device, obi_slice *slice, VkCommandBuffer buffer)
{
    slice->end++;
    stamp(device, slice, buffer, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT);
}

static void note(obi_slice *slice, kind own, double seconds)
{
    uint32_t i = find(slice, own);
    if (seconds < SECONDS_LEAST) seconds = SECONDS_LEAST; /* stamps are coarse, and dispatches that overlap end together: none is free */
    if (i == slice->cost_count) {
        if (slice->cost_count < COSTS_MAX) slice->cost_count++;
        else i = slice->cost_next++ % COSTS_MAX;
        slice->costs[i].kind = own;
        slice->costs[i].seconds = seconds;
        slice->costs[i].twice = false;
        return;
    }
    double before = slice->costs[i].seconds;
    if (!slice->costs[i].twice && seconds < before) before = seconds; /* the first time is not like the others */
    slice->costs[i].twice = true;
    if (seconds > before * SURPRISE) seconds = before * SURPRISE;
    slice->costs[i].seconds = before + (seconds > before ? UP : DOWN) * (seconds - before);
}

void obi_slice_collect(obi_device *device, obi_slice *slice)
{
    uint32_t count = slice->end - slice->first;
    if (!slice->pool || count == 0) return;
    VkResult result = device->vk.vkGetQueryPoolResults(device->handle, slice->pool, 0, count + 1, (count + 1) * sizeof *slice->ticks,
                                                       slice->ticks, sizeof *slice->ticks, VK_QUERY_RESULT_64_BIT);
    if (result != VK_SUCCESS) return;
    uint64_t mask = device->caps.timestamp_bits >= 64 ? UINT64_MAX : (1ull << device->caps.timestamp_bits) - 1;
    for (uint32_t k = 0; k < count; k++) {
        double seconds = (double)((slice->ticks[k + 1] - slice->ticks[k]) & mask) * (double)device->caps.timestamp_period * 1e-9;
        note(slice, slice->taken[k], seconds);
        slice->seconds += seconds;
        if (seconds > slice->longest) slice->longest = seconds;
    }
}

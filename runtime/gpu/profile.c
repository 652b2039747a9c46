#include "gpu/profile.h"

#include "core/alloc.h"

#define TIMED_MAX 8192u /* dispatches in one command buffer */

struct obi_profile {
    VkQueryPool pool;
    uint32_t count;
    struct {
        int kernel;
        uint64_t bytes;
    } timed[TIMED_MAX];
    uint64_t ticks[2 * TIMED_MAX];
    obi_profile_row sums[OBI_KERNEL_COUNT];
};

obi_profile *obi_profile_create(obi_device *device)
{
    if (device->caps.timestamp_bits == 0) return NULL;
    obi_profile *profile = obi_calloc(1, sizeof *profile);
    if (!profile) return NULL;
    VkQueryPoolCreateInfo info = { .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                   .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                   .queryCount = 2 * TIMED_MAX };
    if (device->vk.vkCreateQueryPool(device->handle, &info, NULL, &profile->pool) != VK_SUCCESS) {
        obi_free(profile);
        return NULL;
    }
    return profile;
}

void obi_profile_destroy(obi_device *device, obi_profile *profile)
{
    if (!profile) return;
    device->vk.vkDestroyQueryPool(device->handle, profile->pool, NULL);
    obi_free(profile);
}

void obi_profile_begin(obi_device *device, obi_profile *profile, VkCommandBuffer buffer)
{
    profile->count = 0;
    device->vk.vkCmdResetQueryPool(buffer, profile->pool, 0, 2 * TIMED_MAX);
}

bool obi_profile_start(obi_device *device, obi_profile *profile, VkCommandBuffer buffer, int kernel, uint64_t bytes)
{
    if (profile->count == TIMED_MAX) return false;
    profile->timed[profile->count].kernel = kernel;
    profile->timed[profile->count].bytes = bytes;
    device->vk.vkCmdWriteTimestamp(buffer, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, profile->pool, 2 * profile->count);
    return true;
}

void obi_profile_stop(obi_device *device, obi_profile *profile, VkCommandBuffer buffer)
{
    device->vk.vkCmdWriteTimestamp(buffer, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, profile->pool, 2 * profile->count + 1);
    profile->count++;
}

void obi_profile_collect(obi_device *device, obi_profile *profile)
{
    if (profile->count == 0) return;
    VkResult result = device->vk.vkGetQueryPoolResults(device->handle, profile->pool, 0, 2 * profile->count, sizeof profile->ticks,
                                                       profile->ticks, 8, VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT);
    if (result != VK_SUCCESS) return;
    uint64_t mask = device->caps.timestamp_bits >= 64 ? UINT64_MAX : (1ull << device->caps.timestamp_bits) - 1;
    for (uint32_t i = 0; i < profile->count; i++) {
        obi_profile_row *sum = &profile->sums[profile->timed[i].kernel];
        sum->kernel = profile->timed[i].kernel;
        sum->calls++;
        sum->bytes += profile->timed[i].bytes;
        sum->seconds += (double)((profile->ticks[2 * i + 1] - profile->ticks[2 * i]) & mask) * (double)device->caps.timestamp_period * 1e-9;
    }
    profile->count = 0;
}

uint32_t obi_profile_rows(const obi_profile *profile, obi_profile_row *rows)
{
    uint32_t count = 0;
    for (int i = 0; i < OBI_KERNEL_COUNT; i++)
        if (profile->sums[i].calls > 0) rows[count++] = profile->sums[i];
    return count;
}

#include "memory.h"

#include <stdlib.h>

#include "common/term.h"

static VkDeviceMemory allocate(gpu *device, VkMemoryRequirements needs, VkMemoryPropertyFlags wish, VkMemoryPropertyFlags must)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < device->memory.memoryTypeCount; i++) {
        VkMemoryPropertyFlags has = device->memory.memoryTypes[i].propertyFlags;
        if (!(needs.memoryTypeBits & (1u << i)) || (has & must) != must) continue;
        if (best == UINT32_MAX || ((has & wish) == wish && (device->memory.memoryTypes[best].propertyFlags & wish) != wish)) best = i;
    }
    if (best == UINT32_MAX) exit(app_refuse(4, "no memory of the device fits"));
    VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = needs.size, .memoryTypeIndex = best };
    VkDeviceMemory memory;
    VK(vkAllocateMemory(device->device, &info, NULL, &memory));
    return memory;
}

void image_create(gpu *device, image *own, VkExtent2D size, VkFormat format, VkSampleCountFlagBits samples, VkImageUsageFlags usage,
                  VkImageAspectFlags aspect)
{
    VkImageCreateInfo info = { .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO, .imageType = VK_IMAGE_TYPE_2D, .format = format,
                               .extent = { size.width, size.height, 1 }, .mipLevels = 1, .arrayLayers = 1, .samples = samples,
                               .tiling = VK_IMAGE_TILING_OPTIMAL, .usage = usage };
    VK(vkCreateImage(device->device, &info, NULL, &own->handle));
    VkMemoryRequirements needs;
    vkGetImageMemoryRequirements(device->device, own->handle, &needs);
    own->memory = allocate(device, needs, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0);
    VK(vkBindImageMemory(device->device, own->handle, own->memory, 0));
    VkImageViewCreateInfo view = { .sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO, .image = own->handle,
                                   .viewType = VK_IMAGE_VIEW_TYPE_2D, .format = format, .subresourceRange = { aspect, 0, 1, 0, 1 } };
    VK(vkCreateImageView(device->device, &view, NULL, &own->view));
}

void image_destroy(gpu *device, image *own)
{
    vkDestroyImageView(device->device, own->view, NULL);
    vkDestroyImage(device->device, own->handle, NULL);
    vkFreeMemory(device->device, own->memory, NULL);
    *own = (image){ 0 };
}

void buffer_create(gpu *device, buffer *own, VkDeviceSize bytes, VkBufferUsageFlags usage)
{
    VkBufferCreateInfo info = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = bytes, .usage = usage };
    VK(vkCreateBuffer(device->device, &info, NULL, &own->handle));
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(device->device, own->handle, &needs);
    VkMemoryPropertyFlags must = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    bool read = (usage & VK_BUFFER_USAGE_TRANSFER_DST_BIT) != 0; /* by the host */
    own->memory = allocate(device, needs, must | (read ? VK_MEMORY_PROPERTY_HOST_CACHED_BIT : VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT), must);
    VK(vkBindBufferMemory(device->device, own->handle, own->memory, 0));
    VK(vkMapMemory(device->device, own->memory, 0, VK_WHOLE_SIZE, 0, &own->bytes));
}

void buffer_destroy(gpu *device, buffer *own)
{
    vkDestroyBuffer(device->device, own->handle, NULL);
    vkFreeMemory(device->device, own->memory, NULL);
    *own = (buffer){ 0 };
}

errand errand_begin(gpu *device)
{
    errand own;
    VkCommandPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, .flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
                                     .queueFamilyIndex = device->graphics_family };
    VK(vkCreateCommandPool(device->device, &pool, NULL, &own.pool));
    VkCommandBufferAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = own.pool,
                                         .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY, .commandBufferCount = 1 };
    VK(vkAllocateCommandBuffers(device->device, &info, &own.commands));
    VkCommandBufferBeginInfo begin = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                       .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT };
    VK(vkBeginCommandBuffer(own.commands, &begin));
    return own;
}

void errand_finish(gpu *device, errand *own)
{
    VkFenceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    VkFence done;
    VK(vkCreateFence(device->device, &info, NULL, &done));
    VK(vkEndCommandBuffer(own->commands));
    VkSubmitInfo submit = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &own->commands };
    gpu_submit(device, &submit, done);
    VK(vkWaitForFences(device->device, 1, &done, VK_TRUE, UINT64_MAX));
    vkDestroyFence(device->device, done, NULL);
    vkDestroyCommandPool(device->device, own->pool, NULL);
}

#include "swapchain.h"

#include <stdlib.h>

#include "common/term.h"

void swapchain_open(gpu *device, swapchain *own, VkSurfaceKHR surface)
{
    VkSurfaceFormatKHR formats[64];
    uint32_t count = 64;
    VkResult result = vkGetPhysicalDeviceSurfaceFormatsKHR(device->physical, surface, &count, formats);
    if (result != VK_INCOMPLETE) gpu_must(result, "vkGetPhysicalDeviceSurfaceFormatsKHR");
    if (count == 0) exit(app_refuse(3, "the window has no format to draw in"));
    *own = (swapchain){ .surface = surface, .format = formats[0] };
    for (uint32_t i = 0; i < count; i++)
        if (formats[i].format == VK_FORMAT_B8G8R8A8_SRGB || formats[i].format == VK_FORMAT_R8G8B8A8_SRGB) {
            own->format = formats[i];
            break;
        }
}

static void drop(gpu *device, swapchain *own, canvas *target)
{
    canvas_drop(device, target);
    for (uint32_t i = 0; i < own->count; i++) {
        vkDestroyImageView(device->device, own->views[i], NULL);
        vkDestroySemaphore(device->device, own->drawn[i], NULL);
    }
    own->count = 0;
}

/* What was presented may still wait for its semaphore, and only the queue can tell when that is over. A resize is the one place where the
 * sample waits for more than its own fences; the device as a whole goes on. */
static void wait_for_presents(gpu *device)
{
    gpu_lock(device);
    VkResult result = vkQueueWaitIdle(device->graphics);
    gpu_unlock(device);
    gpu_must(result, "vkQueueWaitIdle");
}

static uint32_t between(uint32_t value, uint32_t low, uint32_t high) { return value < low ? low : value > high ? high : value; }

void swapchain_renew(gpu *device, swapchain *own, canvas *target, VkExtent2D size)
{
    VkSurfaceCapabilitiesKHR can;
    VK(vkGetPhysicalDeviceSurfaceCapabilitiesKHR(device->physical, own->surface, &can));
    if (can.currentExtent.width != UINT32_MAX) size = can.currentExtent;
    size.width = between(size.width, can.minImageExtent.width, can.maxImageExtent.width);
    size.height = between(size.height, can.minImageExtent.height, can.maxImageExtent.height);

    VkSwapchainKHR old = own->handle;
    if (old) wait_for_presents(device);
    drop(device, own, target);
    own->handle = VK_NULL_HANDLE;
    if (size.width > 0 && size.height > 0) {
        uint32_t images = can.minImageCount + 1;
        if (can.maxImageCount > 0 && images > can.maxImageCount) images = can.maxImageCount;
        VkCompositeAlphaFlagBitsKHR alpha = can.supportedCompositeAlpha & VK_COMPOSITE_ALPHA_OPAQUE_BIT_KHR
                                                ? VK_COMPOSITE_ALPHA_OPAQUE_BIT_KHR : VK_COMPOSITE_ALPHA_INHERIT_BIT_KHR;
        VkSwapchainCreateInfoKHR info = {
            .sType = VK_STRUCTURE_TYPE_SWAPCHAIN_CREATE_INFO_KHR, .surface = own->surface, .minImageCount = images,
            .imageFormat = own->format.format, .imageColorSpace = own->format.colorSpace, .imageExtent = size, .imageArrayLayers = 1,
            .imageUsage = VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT, .preTransform = can.currentTransform, .compositeAlpha = alpha,
            .presentMode = VK_PRESENT_MODE_FIFO_KHR, .clipped = VK_TRUE, .oldSwapchain = old };
        VK(vkCreateSwapchainKHR(device->device, &info, NULL, &own->handle));
        VkImage handles[CANVAS_IMAGES_MAX];
        uint32_t count = CANVAS_IMAGES_MAX;
        VK(vkGetSwapchainImagesKHR(device->device, own->handle, &count, handles));
        for (uint32_t i = 0; i < count; i++) {
            VkImageViewCreateInfo view = { .sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO, .image = handles[i],
                                           .viewType = VK_IMAGE_VIEW_TYPE_2D, .format = own->format.format,
                                           .subresourceRange = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1 } };
            VK(vkCreateImageView(device->device, &view, NULL, &own->views[i]));
            VkSemaphoreCreateInfo semaphore = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO };
            VK(vkCreateSemaphore(device->device, &semaphore, NULL, &own->drawn[i]));
        }
        own->count = count;
        canvas_attach(device, target, size, count, own->views);
    }
    if (old) vkDestroySwapchainKHR(device->device, old, NULL);
}

void swapchain_close(gpu *device, swapchain *own, canvas *target)
{
    wait_for_presents(device);
    drop(device, own, target);
    if (own->handle) vkDestroySwapchainKHR(device->device, own->handle, NULL);
    own->handle = VK_NULL_HANDLE;
}

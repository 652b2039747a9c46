/* swapchain: the window's images, made anew when its size changes. */
#ifndef SCENE_SWAPCHAIN_H
#define SCENE_SWAPCHAIN_H

#include "canvas.h"

typedef struct swapchain {
    VkSurfaceKHR surface;
    VkSurfaceFormatKHR format;
    VkSwapchainKHR handle; /* VK_NULL_HANDLE: the window has no size now */
    uint32_t count;
    VkImageView views[CANVAS_IMAGES_MAX];
    VkSemaphore drawn[CANVAS_IMAGES_MAX]; /* one for each image: presenting it waits for that */
} swapchain;

/* Chooses the format; the images come with swapchain_renew. */
void swapchain_open(gpu *device, swapchain *own, VkSurfaceKHR surface);
/* Images of the window's size, attached to the canvas. No frame of ours uses the old ones. `size`: of the window, where the surface
 * leaves that to us. */
void swapchain_renew(gpu *device, swapchain *own, canvas *target, VkExtent2D size);
void swapchain_close(gpu *device, swapchain *own, canvas *target);

#endif

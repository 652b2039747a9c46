/* memory: images and mapped buffers with an allocation each, which is enough for so few of them. */
#ifndef SCENE_MEMORY_H
#define SCENE_MEMORY_H

#include "gpu.h"

typedef struct image {
    VkImage handle;
    VkDeviceMemory memory;
    VkImageView view;
} image;

void image_create(gpu *device, image *own, VkExtent2D size, VkFormat format, VkSampleCountFlagBits samples, VkImageUsageFlags usage,
                  VkImageAspectFlags aspect);
void image_destroy(gpu *device, image *own);

typedef struct buffer {
    VkBuffer handle;
    VkDeviceMemory memory;
    void *bytes; /* mapped, coherent */
} buffer;

void buffer_create(gpu *device, buffer *own, VkDeviceSize bytes, VkBufferUsageFlags usage);
void buffer_destroy(gpu *device, buffer *own);

/* Work that is recorded once and waited for: uploads while loading, reading back a picture at the end. */
typedef struct errand {
    VkCommandPool pool;
    VkCommandBuffer commands;
} errand;
errand errand_begin(gpu *device);
void errand_finish(gpu *device, errand *own);

#endif

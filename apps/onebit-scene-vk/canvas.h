/* canvas: what is drawn on: the render pass, and for a size the attachments and a framebuffer for each image that the picture ends in,
 * be it of a swapchain or of our own. */
#ifndef SCENE_CANVAS_H
#define SCENE_CANVAS_H

#include "memory.h"

#define CANVAS_IMAGES_MAX 16

typedef struct canvas {
    VkFormat format;
    VkSampleCountFlagBits samples;
    VkRenderPass pass;
    VkExtent2D size;
    image smooth, depth; /* with several samples for each pixel; `smooth` ends in the image */
    uint32_t count;
    VkFramebuffer framebuffers[CANVAS_IMAGES_MAX];
} canvas;

/* `after`: the layout that the image shall have behind the pass. `smooth`: with 4 samples for each pixel, where the device can. */
void canvas_create(gpu *device, canvas *own, VkFormat format, VkImageLayout after, bool smooth);
void canvas_destroy(gpu *device, canvas *own);
/* Once at the start, and after canvas_drop for another size. */
void canvas_attach(gpu *device, canvas *own, VkExtent2D size, uint32_t count, const VkImageView *views);
/* No frame uses it any more. */
void canvas_drop(gpu *device, canvas *own);

void canvas_begin(const canvas *own, VkCommandBuffer commands, uint32_t which);
VkPipelineMultisampleStateCreateInfo canvas_multisample(const canvas *own);

#endif

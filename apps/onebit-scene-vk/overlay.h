/* overlay: rectangles and letters over the picture, in pixels from its upper left corner. They are listed anew in every frame. */
#ifndef SCENE_OVERLAY_H
#define SCENE_OVERLAY_H

#include "canvas.h"

#define OVERLAY_QUADS 4096

typedef struct overlay_corner {
    float x, y, u, v;
    uint8_t color[4];
} overlay_corner;

typedef struct overlay {
    image letters;
    VkSampler sampler;
    VkDescriptorSetLayout set_layout;
    VkDescriptorPool pool;
    VkDescriptorSet set;
    VkPipelineLayout layout;
    VkPipeline pipeline;
    overlay_corner *corners; /* of the frame that is being made */
    uint32_t quads;
} overlay;

void overlay_create(gpu *device, overlay *own, const canvas *target);
void overlay_destroy(gpu *device, overlay *own);

/* A buffer of OVERLAY_QUADS * 6 corners, which no frame in flight reads. */
void overlay_begin(overlay *own, void *corners);
/* Colours are 0xRRGGBBAA. What does not fit any more is left out. */
void overlay_box(overlay *own, float x, float y, float width, float height, uint32_t color);
/* Each pixel of a letter becomes `scale` times as wide and high. Returns where the next letter would stand. */
float overlay_text(overlay *own, float x, float y, int scale, uint32_t color, const char *text, int count);
void overlay_draw(const overlay *own, VkCommandBuffer commands, VkExtent2D size, VkBuffer corners);

#endif

/* landscape: the animated scene: an evening sky, and a field of pillars with waves in it. */
#ifndef SCENE_LANDSCAPE_H
#define SCENE_LANDSCAPE_H

#include "canvas.h"

typedef struct landscape {
    VkPipelineLayout layout;
    VkPipeline sky, pillars;
    double drops[4]; /* when the last words fell into the field */
    unsigned dropped;
} landscape;

void landscape_create(gpu *device, landscape *own, const canvas *target);
void landscape_destroy(gpu *device, landscape *own);

/* A word was made at `time`: a ring runs through the field, if the last one began a while ago. */
void landscape_drop(landscape *own, double time);
/* Inside of the canvas' render pass. `time` in seconds. */
void landscape_draw(const landscape *own, VkCommandBuffer commands, VkExtent2D size, double time);

#endif

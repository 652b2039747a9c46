/* pipeline: a graphics pipeline from two shaders and the few things in which those of the sample differ. */
#ifndef SCENE_PIPELINE_H
#define SCENE_PIPELINE_H

#include "canvas.h"

typedef struct pipeline_desc {
    const uint32_t *vertex, *fragment; /* SPIR-V */
    size_t vertex_bytes, fragment_bytes;
    const VkPipelineVertexInputStateCreateInfo *input; /* NULL: the vertex shader needs none */
    VkPipelineLayout layout;
    bool depth; /* tested and written */
    bool blend; /* over what is there, by alpha */
} pipeline_desc;

VkPipeline pipeline_create(gpu *device, const canvas *target, const pipeline_desc *desc);

#endif

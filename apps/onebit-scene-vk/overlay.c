#include "overlay.h"

#include <stddef.h>
#include <string.h>

#include "font.h"
#include "overlay_frag.h"
#include "overlay_vert.h"
#include "pipeline.h"

/* ---- the letters ------------------------------------------------------------------------------------------------------- */

static void barrier(VkCommandBuffer commands, VkImage handle, VkImageLayout from, VkImageLayout to, VkAccessFlags before,
                    VkAccessFlags after, VkPipelineStageFlags stage_before, VkPipelineStageFlags stage_after)
{
    VkImageMemoryBarrier change = { .sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER, .srcAccessMask = before, .dstAccessMask = after,
                                    .oldLayout = from, .newLayout = to, .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                    .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED, .image = handle,
                                    .subresourceRange = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1 } };
    vkCmdPipelineBarrier(commands, stage_before, stage_after, 0, 0, NULL, 0, NULL, 1, &change);
}

static void upload_letters(gpu *device, overlay *own)
{
    buffer pixels;
    buffer_create(device, &pixels, FONT_WIDTH * FONT_HEIGHT, VK_BUFFER_USAGE_TRANSFER_SRC_BIT);
    font_draw(pixels.bytes);
    VkExtent2D size = { FONT_WIDTH, FONT_HEIGHT };
    image_create(device, &own->letters, size, VK_FORMAT_R8_UNORM, VK_SAMPLE_COUNT_1_BIT,
                 VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT, VK_IMAGE_ASPECT_COLOR_BIT);
    errand upload = errand_begin(device);
    barrier(upload.commands, own->letters.handle, VK_IMAGE_LAYOUT_UNDEFINED, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, 0,
            VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT);
    VkBufferImageCopy copy = { .imageSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 }, .imageExtent = { FONT_WIDTH, FONT_HEIGHT, 1 } };
    vkCmdCopyBufferToImage(upload.commands, pixels.handle, own->letters.handle, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, 1, &copy);
    barrier(upload.commands, own->letters.handle, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL,
            VK_ACCESS_TRANSFER_WRITE_BIT, VK_ACCESS_SHADER_READ_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_FRAGMENT_SHADER_BIT);
    errand_finish(device, &upload);
    buffer_destroy(device, &pixels);
}

static void make_set(gpu *device, overlay *own)
{
    VkSamplerCreateInfo sampler = { .sType = VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO, .magFilter = VK_FILTER_NEAREST,
                                    .minFilter = VK_FILTER_NEAREST, .addressModeU = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
                                    .addressModeV = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE };
    VK(vkCreateSampler(device->device, &sampler, NULL, &own->sampler));
    VkDescriptorSetLayoutBinding binding = { 0, VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, 1, VK_SHADER_STAGE_FRAGMENT_BIT, NULL };
    VkDescriptorSetLayoutCreateInfo layout = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = 1,
                                               .pBindings = &binding };
    VK(vkCreateDescriptorSetLayout(device->device, &layout, NULL, &own->set_layout));
    VkDescriptorPoolSize room = { VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, 1 };
    VkDescriptorPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = 1, .poolSizeCount = 1,
                                        .pPoolSizes = &room };
    VK(vkCreateDescriptorPool(device->device, &pool, NULL, &own->pool));
    VkDescriptorSetAllocateInfo set = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO, .descriptorPool = own->pool,
                                        .descriptorSetCount = 1, .pSetLayouts = &own->set_layout };
    VK(vkAllocateDescriptorSets(device->device, &set, &own->set));
    VkDescriptorImageInfo letters = { own->sampler, own->letters.view, VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL };
    VkWriteDescriptorSet write = { .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, .dstSet = own->set, .descriptorCount = 1,
                                   .descriptorType = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, .pImageInfo = &letters };
    vkUpdateDescriptorSets(device->device, 1, &write, 0, NULL);
}

void overlay_create(gpu *device, overlay *own, const canvas *target)
{
    *own = (overlay){ 0 };
    upload_letters(device, own);
    make_set(device, own);
    VkPushConstantRange range = { VK_SHADER_STAGE_VERTEX_BIT, 0, 2 * sizeof(float) };
    VkPipelineLayoutCreateInfo layout = { .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1,
                                          .pSetLayouts = &own->set_layout, .pushConstantRangeCount = 1, .pPushConstantRanges = &range };
    VK(vkCreatePipelineLayout(device->device, &layout, NULL, &own->layout));
    VkVertexInputBindingDescription binding = { 0, sizeof(overlay_corner), VK_VERTEX_INPUT_RATE_VERTEX };
    VkVertexInputAttributeDescription attributes[] = { { 0, 0, VK_FORMAT_R32G32_SFLOAT, offsetof(overlay_corner, x) },
                                                       { 1, 0, VK_FORMAT_R32G32_SFLOAT, offsetof(overlay_corner, u) },
                                                       { 2, 0, VK_FORMAT_R8G8B8A8_UNORM, offsetof(overlay_corner, color) } };
    VkPipelineVertexInputStateCreateInfo input = { .sType = VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO,
                                                   .vertexBindingDescriptionCount = 1, .pVertexBindingDescriptions = &binding,
                                                   .vertexAttributeDescriptionCount = 3, .pVertexAttributeDescriptions = attributes };
    own->pipeline = pipeline_create(device, target, &(pipeline_desc){
        .vertex = spirv_overlay_vert, .vertex_bytes = sizeof spirv_overlay_vert, .fragment = spirv_overlay_frag,
        .fragment_bytes = sizeof spirv_overlay_frag, .input = &input, .layout = own->layout, .blend = true });
}

void overlay_destroy(gpu *device, overlay *own)
{
    vkDestroyPipeline(device->device, own->pipeline, NULL);
    vkDestroyPipelineLayout(device->device, own->layout, NULL);
    vkDestroyDescriptorPool(device->device, own->pool, NULL);
    vkDestroyDescriptorSetLayout(device->device, own->set_layout, NULL);
    vkDestroySampler(device->device, own->sampler, NULL);
    image_destroy(device, &own->letters);
}

/* ---- a frame's list ------------------------------------------------------------------------------------------------------ */

void overlay_begin(overlay *own, void *corners)
{
    own->corners = corners;
    own->quads = 0;
}

static void quad(overlay *own, float x, float y, float width, float height, const float texels[4], uint32_t color)
{
    if (own->quads == OVERLAY_QUADS) return;
    static const uint8_t order[6] = { 0, 1, 3, 0, 3, 2 }; /* bit 0: right, bit 1: below */
    overlay_corner *to = own->corners + 6 * own->quads++;
    for (int i = 0; i < 6; i++) {
        int right = order[i] & 1, below = order[i] >> 1;
        to[i] = (overlay_corner){ .x = right ? x + width : x, .y = below ? y + height : y, .u = texels[right ? 2 : 0],
                                  .v = texels[below ? 3 : 1],
                                  .color = { (uint8_t)(color >> 24), (uint8_t)(color >> 16), (uint8_t)(color >> 8), (uint8_t)color } };
    }
}

static void cell(char letter, float texels[4])
{
    int code = (unsigned char)letter, index = (code >= FONT_FIRST && code <= FONT_SOLID ? code : '?') - FONT_FIRST;
    float left = (float)(index % FONT_ACROSS * FONT_CELL_WIDTH), top = (float)(index / FONT_ACROSS * FONT_CELL_HEIGHT);
    texels[0] = left / FONT_WIDTH;
    texels[1] = top / FONT_HEIGHT;
    texels[2] = (left + FONT_CELL_WIDTH) / FONT_WIDTH;
    texels[3] = (top + FONT_CELL_HEIGHT) / FONT_HEIGHT;
}

void overlay_box(overlay *own, float x, float y, float width, float height, uint32_t color)
{
    float texels[4];
    cell(FONT_SOLID, texels);
    texels[0] = texels[2] = 0.5f * (texels[0] + texels[2]);
    texels[1] = texels[3] = 0.5f * (texels[1] + texels[3]);
    quad(own, x, y, width, height, texels, color);
}

float overlay_text(overlay *own, float x, float y, int scale, uint32_t color, const char *text, int count)
{
    float texels[4], size = (float)scale;
    for (int i = 0; i < count; i++) {
        if (text[i] != ' ') {
            cell(text[i], texels);
            quad(own, x, y, FONT_CELL_WIDTH * size, FONT_CELL_HEIGHT * size, texels, color);
        }
        x += (float)font_advance(text[i]) * size;
    }
    return x;
}

void overlay_draw(const overlay *own, VkCommandBuffer commands, VkExtent2D size, VkBuffer corners)
{
    float pixel[2] = { 2.0f / (float)size.width, 2.0f / (float)size.height };
    VkDeviceSize offset = 0;
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, own->pipeline);
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, own->layout, 0, 1, &own->set, 0, NULL);
    vkCmdPushConstants(commands, own->layout, VK_SHADER_STAGE_VERTEX_BIT, 0, sizeof pixel, pixel);
    vkCmdBindVertexBuffers(commands, 0, 1, &corners, &offset);
    vkCmdDraw(commands, 6 * own->quads, 1, 0, 0);
}

#include "canvas.h"

#define DEPTH_FORMAT VK_FORMAT_D16_UNORM /* every device can draw with it */

void canvas_create(gpu *device, canvas *own, VkFormat format, VkImageLayout after, bool smooth)
{
    const VkPhysicalDeviceLimits *limits = &device->properties.limits;
    VkSampleCountFlags counts = limits->framebufferColorSampleCounts & limits->framebufferDepthSampleCounts;
    smooth = smooth && (counts & VK_SAMPLE_COUNT_4_BIT);
    *own = (canvas){ .format = format, .samples = smooth ? VK_SAMPLE_COUNT_4_BIT : VK_SAMPLE_COUNT_1_BIT };
    VkAttachmentDescription attachments[] = {
        { .format = format, .samples = own->samples, .loadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE, /* everything is covered */
          .storeOp = smooth ? VK_ATTACHMENT_STORE_OP_DONT_CARE : VK_ATTACHMENT_STORE_OP_STORE,
          .stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE, .stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE,
          .finalLayout = smooth ? VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL : after },
        { .format = DEPTH_FORMAT, .samples = own->samples, .loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
          .storeOp = VK_ATTACHMENT_STORE_OP_DONT_CARE, .stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE,
          .stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE, .finalLayout = VK_IMAGE_LAYOUT_DEPTH_STENCIL_ATTACHMENT_OPTIMAL },
        { .format = format, .samples = VK_SAMPLE_COUNT_1_BIT, .loadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE,
          .storeOp = VK_ATTACHMENT_STORE_OP_STORE, .stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE,
          .stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE, .finalLayout = after } };
    VkAttachmentReference color = { 0, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL },
                          depth = { 1, VK_IMAGE_LAYOUT_DEPTH_STENCIL_ATTACHMENT_OPTIMAL },
                          resolved = { 2, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL };
    VkSubpassDescription subpass = { .pipelineBindPoint = VK_PIPELINE_BIND_POINT_GRAPHICS, .colorAttachmentCount = 1,
                                     .pColorAttachments = &color, .pResolveAttachments = smooth ? &resolved : NULL,
                                     .pDepthStencilAttachment = &depth };
    /* The attachments are used again by the next frame, and its image was waited for at the stage of colour output. */
    VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT | VK_PIPELINE_STAGE_EARLY_FRAGMENT_TESTS_BIT |
                                  VK_PIPELINE_STAGE_LATE_FRAGMENT_TESTS_BIT;
    VkAccessFlags writes = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT | VK_ACCESS_DEPTH_STENCIL_ATTACHMENT_WRITE_BIT;
    VkSubpassDependency dependencies[] = {
        { .srcSubpass = VK_SUBPASS_EXTERNAL, .dstSubpass = 0, .srcStageMask = stages, .srcAccessMask = writes, .dstStageMask = stages,
          .dstAccessMask = writes | VK_ACCESS_DEPTH_STENCIL_ATTACHMENT_READ_BIT },
        { .srcSubpass = 0, .dstSubpass = VK_SUBPASS_EXTERNAL, .srcStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT,
          .srcAccessMask = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT, .dstStageMask = VK_PIPELINE_STAGE_TRANSFER_BIT,
          .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT } }; /* reading back a picture */
    VkRenderPassCreateInfo info = { .sType = VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO, .attachmentCount = smooth ? 3 : 2,
                                    .pAttachments = attachments, .subpassCount = 1, .pSubpasses = &subpass,
                                    .dependencyCount = after == VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL ? 2 : 1,
                                    .pDependencies = dependencies };
    VK(vkCreateRenderPass(device->device, &info, NULL, &own->pass));
}

void canvas_attach(gpu *device, canvas *own, VkExtent2D size, uint32_t count, const VkImageView *views)
{
    bool smooth = own->samples != VK_SAMPLE_COUNT_1_BIT;
    own->size = size;
    own->count = count;
    image_create(device, &own->depth, size, DEPTH_FORMAT, own->samples,
                 VK_IMAGE_USAGE_DEPTH_STENCIL_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSIENT_ATTACHMENT_BIT, VK_IMAGE_ASPECT_DEPTH_BIT);
    if (smooth)
        image_create(device, &own->smooth, size, own->format, own->samples,
                     VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSIENT_ATTACHMENT_BIT, VK_IMAGE_ASPECT_COLOR_BIT);
    for (uint32_t i = 0; i < count; i++) {
        VkImageView attachments[] = { smooth ? own->smooth.view : views[i], own->depth.view, views[i] };
        VkFramebufferCreateInfo info = { .sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO, .renderPass = own->pass,
                                         .attachmentCount = smooth ? 3 : 2, .pAttachments = attachments, .width = size.width,
                                         .height = size.height, .layers = 1 };
        VK(vkCreateFramebuffer(device->device, &info, NULL, &own->framebuffers[i]));
    }
}

void canvas_drop(gpu *device, canvas *own)
{
    for (uint32_t i = 0; i < own->count; i++) vkDestroyFramebuffer(device->device, own->framebuffers[i], NULL);
    own->count = 0;
    image_destroy(device, &own->smooth);
    image_destroy(device, &own->depth);
}

void canvas_destroy(gpu *device, canvas *own)
{
    canvas_drop(device, own);
    vkDestroyRenderPass(device->device, own->pass, NULL);
}

void canvas_begin(const canvas *own, VkCommandBuffer commands, uint32_t which)
{
    VkClearValue clear[] = { { .color = { { 0 } } }, { .depthStencil = { 1.0f, 0 } } };
    VkRenderPassBeginInfo info = { .sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO, .renderPass = own->pass,
                                   .framebuffer = own->framebuffers[which], .renderArea = { { 0, 0 }, own->size }, .clearValueCount = 2,
                                   .pClearValues = clear };
    vkCmdBeginRenderPass(commands, &info, VK_SUBPASS_CONTENTS_INLINE);
    VkViewport viewport = { 0, 0, (float)own->size.width, (float)own->size.height, 0, 1 };
    vkCmdSetViewport(commands, 0, 1, &viewport);
    vkCmdSetScissor(commands, 0, 1, &(VkRect2D){ { 0, 0 }, own->size });
}

VkPipelineMultisampleStateCreateInfo canvas_multisample(const canvas *own)
{
    return (VkPipelineMultisampleStateCreateInfo){ .sType = VK_STRUCTURE_TYPE_PIPELINE_MULTISAMPLE_STATE_CREATE_INFO,
                                                   .rasterizationSamples = own->samples };
}

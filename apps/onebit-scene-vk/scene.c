#include "scene.h"

#include "common/term.h"
#include "panel.h"

bool scene_smooth(const scene *own, int choice)
{
    return choice == 2 || (choice == 0 && own->device.properties.deviceType != VK_PHYSICAL_DEVICE_TYPE_CPU);
}

void scene_open(scene *own)
{
    gpu *device = &own->device;
    landscape_create(device, &own->field, &own->target);
    overlay_create(device, &own->over, &own->target);
    for (int i = 0; i < FRAMES_IN_FLIGHT; i++) {
        frame *made = &own->frames[i];
        VkCommandPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                         .flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT, .queueFamilyIndex = device->graphics_family };
        VK(vkCreateCommandPool(device->device, &pool, NULL, &made->pool));
        VkCommandBufferAllocateInfo commands = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = made->pool,
                                                 .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY, .commandBufferCount = 1 };
        VK(vkAllocateCommandBuffers(device->device, &commands, &made->commands));
        VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO, .flags = VK_FENCE_CREATE_SIGNALED_BIT };
        VK(vkCreateFence(device->device, &fence, NULL, &made->done));
        buffer_create(device, &made->corners, OVERLAY_QUADS * 6 * sizeof(overlay_corner), VK_BUFFER_USAGE_VERTEX_BUFFER_BIT);
    }
}

void scene_close(scene *own)
{
    gpu *device = &own->device;
    for (int i = 0; i < FRAMES_IN_FLIGHT; i++) {
        vkDestroyFence(device->device, own->frames[i].done, NULL);
        vkDestroyCommandPool(device->device, own->frames[i].pool, NULL);
        buffer_destroy(device, &own->frames[i].corners);
    }
    overlay_destroy(device, &own->over);
    landscape_destroy(device, &own->field);
    canvas_destroy(device, &own->target);
}

frame *scene_next(scene *own)
{
    frame *now = &own->frames[own->made++ % FRAMES_IN_FLIGHT];
    VK(vkWaitForFences(own->device.device, 1, &now->done, VK_TRUE, UINT64_MAX));
    return now;
}

void scene_record(scene *own, frame *now, uint32_t which, double time)
{
    overlay_begin(&own->over, now->corners.bytes);
    panel_draw(own);
    VK(vkResetCommandPool(own->device.device, now->pool, 0));
    VkCommandBufferBeginInfo begin = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                       .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT };
    VK(vkBeginCommandBuffer(now->commands, &begin));
    canvas_begin(&own->target, now->commands, which);
    landscape_draw(&own->field, now->commands, own->target.size, time);
    overlay_draw(&own->over, now->commands, own->target.size, now->corners.handle);
    vkCmdEndRenderPass(now->commands);
    VK(vkEndCommandBuffer(now->commands));
    VK(vkResetFences(own->device.device, 1, &now->done)); /* only now: what is not submitted must not be waited for */
}

bool scene_step_model(scene *own, double time)
{
    if (!own->model_on || !atomic_load(&own->tale.loaded) || own->tale.status != OB_OK) return true;
    story_news news;
    ob_status status = story_step(&own->tale, own->budget, time, &news);
    if (status != OB_OK) {
        app_fail(status);
        own->tale.status = status;
        return false;
    }
    history_note_piece(&own->times, news.submitted, news.device_seconds);
    if (news.word) landscape_drop(&own->field, time);
    return true;
}

void scene_wait(scene *own)
{
    for (int i = 0; i < FRAMES_IN_FLIGHT; i++) VK(vkWaitForFences(own->device.device, 1, &own->frames[i].done, VK_TRUE, UINT64_MAX));
}

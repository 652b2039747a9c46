#include "window.h"

#include <stdlib.h>
#include <string.h>

#include <SDL.h>
#include <SDL_vulkan.h>

#include "common/stop.h"
#include "common/term.h"
#include "scene.h"
#include "swapchain.h"

typedef struct window {
    SDL_Window *handle;
    scene all;
    swapchain chain;
    VkSemaphore acquired[FRAMES_IN_FLIGHT];
    bool resized, closed;
    double last; /* when the last frame began */
} window;

static VkExtent2D size_of(const window *own)
{
    int width, height;
    SDL_Vulkan_GetDrawableSize(own->handle, &width, &height);
    return (VkExtent2D){ (uint32_t)width, (uint32_t)height };
}

static void open_window(window *own, const options *o)
{
    if (SDL_Init(SDL_INIT_VIDEO) != 0) exit(app_refuse(3, "SDL cannot open a display: %s; --headless N needs none", SDL_GetError()));
    own->handle = SDL_CreateWindow("OneBit for Vulkan", SDL_WINDOWPOS_CENTERED, SDL_WINDOWPOS_CENTERED, (int)o->width, (int)o->height,
                                   SDL_WINDOW_VULKAN | SDL_WINDOW_RESIZABLE | SDL_WINDOW_ALLOW_HIGHDPI);
    if (!own->handle) exit(app_refuse(3, "SDL cannot open a window: %s", SDL_GetError()));
    const char *extensions[8];
    unsigned count = 8;
    if (!SDL_Vulkan_GetInstanceExtensions(own->handle, &count, extensions)) exit(app_refuse(3, "SDL and Vulkan: %s", SDL_GetError()));
    /* The void pointer of SDL is this function. */
    PFN_vkGetInstanceProcAddr get;
    void *address = SDL_Vulkan_GetVkGetInstanceProcAddr();
    memcpy(&get, &address, sizeof get);
    gpu_make_instance(&own->all.device, get, count, extensions, o->validation);
    VkSurfaceKHR surface;
    if (!SDL_Vulkan_CreateSurface(own->handle, own->all.device.instance, &surface)) exit(app_refuse(3, "SDL: %s", SDL_GetError()));
    gpu_make_device(&own->all.device, surface, o->device);
    swapchain_open(&own->all.device, &own->chain, surface);
    canvas_create(&own->all.device, &own->all.target, own->chain.format.format, VK_IMAGE_LAYOUT_PRESENT_SRC_KHR,
                  scene_smooth(&own->all, o->smooth));
    swapchain_renew(&own->all.device, &own->chain, &own->all.target, size_of(own));
    for (int i = 0; i < FRAMES_IN_FLIGHT; i++) {
        VkSemaphoreCreateInfo semaphore = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO };
        VK(vkCreateSemaphore(own->all.device.device, &semaphore, NULL, &own->acquired[i]));
    }
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------ */

static bool press(window *own, SDL_Keycode key)
{
    scene *all = &own->all;
    if (key == SDLK_ESCAPE) own->closed = true;
    if (key == SDLK_m) all->model_on = !all->model_on;
    if (key == SDLK_UP && all->budget < 100000) all->budget += all->budget < 1000 ? 100 : 500;
    if (key == SDLK_DOWN && all->budget > 200) all->budget -= all->budget <= 1000 ? 100 : 500;
    if (key == SDLK_SPACE && atomic_load(&all->tale.loaded) && all->tale.status == OB_OK) {
        ob_status status = story_begin(&all->tale);
        if (status != OB_OK) return app_fail(status), false;
    }
    return true;
}

static bool take_events(window *own)
{
    SDL_Event event;
    while (SDL_PollEvent(&event)) {
        if (event.type == SDL_QUIT) own->closed = true;
        if (event.type == SDL_WINDOWEVENT && event.window.event == SDL_WINDOWEVENT_SIZE_CHANGED) own->resized = true;
        if (event.type == SDL_KEYDOWN && !press(own, event.key.keysym.sym)) return false;
    }
    return true;
}

/* ---- frames ---------------------------------------------------------------------------------------------------------------- */

/* A frame's time is here the one from the beginning of the last frame to the beginning of this one: what a frame counter shows. */
static void note_time(window *own)
{
    double now = app_seconds();
    if (own->last > 0)
        history_add(&own->all.times, (record){ .seconds = now - own->last, .tokens = own->all.tale.tokens,
                                               .model = own->all.model_on && atomic_load(&own->all.tale.loaded) });
    own->last = now;
}

/* False when there is nothing to draw on at the moment. */
static bool renew(window *own)
{
    scene_wait(&own->all);
    swapchain_renew(&own->all.device, &own->chain, &own->all.target, size_of(own));
    own->resized = false;
    own->last = 0; /* that took its time, and was no frame */
    return own->chain.handle != VK_NULL_HANDLE;
}

static void draw_frame(window *own)
{
    scene *all = &own->all;
    gpu *device = &all->device;
    if ((own->resized || !own->chain.handle) && !renew(own)) {
        SDL_Delay(20);
        return;
    }
    note_time(own);
    VkSemaphore acquired = own->acquired[all->made % FRAMES_IN_FLIGHT];
    frame *now = scene_next(all);
    uint32_t index;
    VkResult result = vkAcquireNextImageKHR(device->device, own->chain.handle, UINT64_MAX, acquired, VK_NULL_HANDLE, &index);
    if (result == VK_ERROR_OUT_OF_DATE_KHR) {
        all->made--; /* this frame is not made after all */
        own->resized = true;
        return;
    }
    gpu_must(result, "vkAcquireNextImageKHR");
    scene_record(all, now, index, app_seconds());
    VkPipelineStageFlags stage = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT;
    gpu_submit(device, &(VkSubmitInfo){ .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .waitSemaphoreCount = 1, .pWaitSemaphores = &acquired,
                                        .pWaitDstStageMask = &stage, .commandBufferCount = 1, .pCommandBuffers = &now->commands,
                                        .signalSemaphoreCount = 1, .pSignalSemaphores = &own->chain.drawn[index] }, now->done);
    VkPresentInfoKHR present = { .sType = VK_STRUCTURE_TYPE_PRESENT_INFO_KHR, .waitSemaphoreCount = 1,
                                 .pWaitSemaphores = &own->chain.drawn[index], .swapchainCount = 1, .pSwapchains = &own->chain.handle,
                                 .pImageIndices = &index };
    gpu_lock(device);
    VkResult presented = vkQueuePresentKHR(device->graphics, &present);
    gpu_unlock(device);
    if (presented == VK_ERROR_OUT_OF_DATE_KHR || presented == VK_SUBOPTIMAL_KHR) own->resized = true;
    else gpu_must(presented, "vkQueuePresentKHR");
}

int window_run(const options *o)
{
    static window own;
    scene *all = &own.all;
    open_window(&own, o);
    scene_open(all);
    all->budget = (uint32_t)o->budget;
    all->model_on = true;
    story_desc desc = { .path = o->model, .prompt = o->prompt, .seed = (uint64_t)o->seed, .skip_selftest = o->skip_selftest };
    story_open(&all->tale, &all->device, &desc);

    int code = history_open(&all->times, HISTORY_SHOWN) ? 0 : app_refuse(4, "there is not enough memory for the times");
    bool said = false;
    while (code == 0 && !own.closed && !app_stop_signal()) {
        if (!take_events(&own)) code = ob_exit_code(all->tale.status);
        draw_frame(&own);
        /* The frame went to the device and to the screen; now a piece of the model follows it. */
        if (!scene_step_model(all, app_seconds())) code = ob_exit_code(all->tale.status);
        if (!said && story_status(&all->tale) != OB_OK) {
            app_refuse(ob_exit_code(all->tale.status), "%s", all->tale.error); /* drawing goes on without it */
            said = true;
        }
    }

    /* Frames first, then the library, then what is ours: nothing goes while the device works with it. */
    scene_wait(all);
    story_close(&all->tale);
    gpu *device = &all->device;
    swapchain_close(device, &own.chain, &all->target);
    for (int i = 0; i < FRAMES_IN_FLIGHT; i++) vkDestroySemaphore(device->device, own.acquired[i], NULL);
    scene_close(all);
    history_close(&all->times);
    vkDestroySurfaceKHR(device->instance, own.chain.surface, NULL);
    unsigned messages = gpu_destroy(device);
    SDL_DestroyWindow(own.handle);
    SDL_Quit();
    return code == 0 && messages > 0 ? app_refuse(1, "the validation layer had %u messages", messages) : code;
}

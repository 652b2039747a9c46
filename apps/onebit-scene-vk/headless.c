#include "headless.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/stop.h"
#include "common/term.h"
#include "picture.h"
#include "report.h"
#include "scene.h"

#define FORMAT VK_FORMAT_R8G8B8A8_SRGB

typedef struct offscreen {
    image images[FRAMES_IN_FLIGHT];
    buffer pixels; /* of the frame that becomes a picture */
} offscreen;

static void offscreen_open(scene *all, offscreen *own, const options *o)
{
    VkExtent2D size = { (uint32_t)o->width, (uint32_t)o->height };
    uint32_t largest = all->device.properties.limits.maxFramebufferWidth, highest = all->device.properties.limits.maxFramebufferHeight;
    if (size.width > largest || size.height > highest)
        exit(app_refuse(2, "this device draws at most %u x %u pixels", (unsigned)largest, (unsigned)highest));
    VkImageView views[FRAMES_IN_FLIGHT];
    for (int i = 0; i < FRAMES_IN_FLIGHT; i++) {
        image_create(&all->device, &own->images[i], size, FORMAT, VK_SAMPLE_COUNT_1_BIT,
                     VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT, VK_IMAGE_ASPECT_COLOR_BIT);
        views[i] = own->images[i].view;
    }
    canvas_create(&all->device, &all->target, FORMAT, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, scene_smooth(all, o->smooth));
    canvas_attach(&all->device, &all->target, size, FRAMES_IN_FLIGHT, views);
    if (o->png)
        buffer_create(&all->device, &own->pixels, (VkDeviceSize)size.width * size.height * 4, VK_BUFFER_USAGE_TRANSFER_DST_BIT);
}

static void offscreen_close(scene *all, offscreen *own)
{
    for (int i = 0; i < FRAMES_IN_FLIGHT; i++) image_destroy(&all->device, &own->images[i]);
    buffer_destroy(&all->device, &own->pixels);
}

static void read_back(scene *all, offscreen *own, uint32_t index)
{
    VkExtent2D size = all->target.size;
    errand copy = errand_begin(&all->device);
    VkBufferImageCopy region = { .imageSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 },
                                 .imageExtent = { size.width, size.height, 1 } };
    vkCmdCopyImageToBuffer(copy.commands, own->images[index].handle, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, own->pixels.handle, 1, &region);
    VkBufferMemoryBarrier to_host = { .sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_BARRIER, .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                      .dstAccessMask = VK_ACCESS_HOST_READ_BIT, .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                      .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED, .buffer = own->pixels.handle, .size = VK_WHOLE_SIZE };
    vkCmdPipelineBarrier(copy.commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 0, NULL, 1, &to_host, 0, NULL);
    errand_finish(&all->device, &copy);
}

static void sleep_until(double seconds)
{
    struct timespec at = { .tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR && app_stop_signal() == 0) { }
}

/* A frame's time: from the beginning of its recording until the device has drawn it; the model's step is recorded and submitted in
 * between. At --fps 0 the next frame begins at once, and then its time has also what is left of the piece before it. */
static int draw_frames(scene *all, offscreen *own, const options *o, double interval)
{
    int64_t picture = o->png_frame < 0 ? o->headless - 1 : o->png_frame;
    double tick = app_seconds(), scene_interval = interval > 0 ? interval : 1.0 / 60;
    for (int64_t i = 0; i < o->headless; i++) {
        if (app_stop_signal()) return 128 + app_stop_signal();
        double now = app_seconds();
        if (interval > 0 && tick > now) sleep_until(tick);
        else tick = now; /* late: the frames that were missed are not made up for */
        all->model_on = i / o->block % 2 == 1;
        double begin = app_seconds(), scene_time = (double)i * scene_interval; /* the same pictures on every machine */
        uint32_t index = (uint32_t)(i % FRAMES_IN_FLIGHT);
        frame *drawn = scene_next(all);
        scene_record(all, drawn, index, scene_time);
        gpu_submit(&all->device, &(VkSubmitInfo){ .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1,
                                                  .pCommandBuffers = &drawn->commands }, drawn->done);
        if (!scene_step_model(all, scene_time)) return ob_exit_code(all->tale.status);
        VK(vkWaitForFences(all->device.device, 1, &drawn->done, VK_TRUE, UINT64_MAX));
        history_add(&all->times, (record){ .seconds = app_seconds() - begin, .tokens = all->tale.tokens, .model = all->model_on });
        if (o->png && i == picture) read_back(all, own, index);
        tick += interval;
    }
    return 0;
}

static int report(const scene *all, const offscreen *own, const options *o)
{
    history_summary sum;
    double budget = 1e-6 * (double)o->budget;
    if (!history_sum_up(&all->times, budget, &sum)) return app_refuse(4, "there is not enough memory for the times");
    printf("%s, %u x %u, %s\n", all->device.properties.deviceName, (unsigned)o->width, (unsigned)o->height,
           all->device.shared ? "one queue for frames and model" : "a queue of its own for the model");
    printf("frames %zu: median %.3f ms without the model, %.3f ms with it; 99 of 100 within %.3f and %.3f ms; longest %.3f and %.3f ms\n",
           sum.frames, 1e3 * sum.median[0], 1e3 * sum.median[1], 1e3 * sum.p99[0], 1e3 * sum.p99[1], 1e3 * sum.longest[0],
           1e3 * sum.longest[1]);
    printf("budget %.3f ms: above the median without the model + 1.2 budgets were %zu frames without the model and %zu with it\n",
           1e3 * budget, sum.above[0], sum.above[1]);
    printf("pieces %zu: median %.3f ms, 99 of 100 within %.3f ms, longest %.3f ms; %zu above 1.2 budgets\n", sum.pieces,
           1e3 * sum.piece_median, 1e3 * sum.piece_p99, 1e3 * sum.piece_longest, sum.pieces_above);
    printf("tokens %zu\n%s\n", sum.tokens, all->tale.text);
    if (o->png && !picture_write(o->png, (uint32_t)o->width, (uint32_t)o->height, own->pixels.bytes)) return 1;
    if (o->csv && !report_write_csv(o->csv, &all->times)) return 1;
    if (o->plot && !report_write_svg(o->plot, &all->times, budget, all->device.properties.deviceName)) return 1;
    return 0;
}

int headless_run(const options *o)
{
    static scene all;
    offscreen own = { 0 };
    gpu_make_instance(&all.device, NULL, 0, NULL, o->validation);
    gpu_make_device(&all.device, VK_NULL_HANDLE, o->device);
    offscreen_open(&all, &own, o);
    scene_open(&all);
    all.budget = (uint32_t)o->budget;
    story_desc desc = { .path = o->model, .prompt = o->prompt, .seed = (uint64_t)o->seed, .skip_selftest = o->skip_selftest };
    story_open(&all.tale, &all.device, &desc);
    story_wait(&all.tale); /* frames are to be alike, so the run begins when everything is there */

    int code = 0;
    if (!history_open(&all.times, (size_t)(o->headless > HISTORY_SHOWN ? o->headless : HISTORY_SHOWN)))
        code = app_refuse(4, "there is not enough memory for the times");
    if (code == 0 && all.tale.status != OB_OK) code = app_refuse(ob_exit_code(all.tale.status), "%s", all.tale.error);
    double fps = o->fps >= 0 ? (double)o->fps : all.device.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU ? 30 : 60;
    if (code == 0) code = draw_frames(&all, &own, o, fps > 0 ? 1 / fps : 0);
    if (code == 0) code = report(&all, &own, o);

    /* Frames first, then the library, then what is ours: nothing goes while the device works with it. */
    scene_wait(&all);
    story_close(&all.tale);
    scene_close(&all);
    offscreen_close(&all, &own);
    history_close(&all.times);
    unsigned messages = gpu_destroy(&all.device);
    return code == 0 && messages > 0 ? app_refuse(1, "the validation layer had %u messages", messages) : code;
}

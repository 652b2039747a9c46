/* scene: everything that is drawn, and the frames in flight; the window and the headless run both live on it. */
#ifndef SCENE_SCENE_H
#define SCENE_SCENE_H

#include "history.h"
#include "landscape.h"
#include "overlay.h"
#include "story.h"

#define FRAMES_IN_FLIGHT 2

typedef struct frame {
    VkCommandPool pool;
    VkCommandBuffer commands;
    VkFence done;
    buffer corners;
} frame;

typedef struct scene {
    gpu device;
    canvas target;
    landscape field;
    overlay over;
    frame frames[FRAMES_IN_FLIGHT];
    uint64_t made; /* frames */
    story tale;
    history times;
    uint32_t budget; /* microseconds */
    bool model_on;
} scene;

/* Whether to draw with several samples for each pixel: `choice` 1 no, 2 yes, 0 unless the device is a CPU. */
bool scene_smooth(const scene *own, int choice);
/* The device is there, and target was created. */
void scene_open(scene *own);
/* The frames are done. The story was closed. */
void scene_close(scene *own);

/* The next frame to make: waits until the device is done with it, so for the frame before the last at the most. */
frame *scene_next(scene *own);
/* Records it into image number `which` of the target. `time` in seconds. */
void scene_record(scene *own, frame *now, uint32_t which, double time);
/* Behind the frame's submit: the model's piece, when it is on and loaded. False when the library failed, which was said. */
bool scene_step_model(scene *own, double time);
/* Until the device is done with all frames. */
void scene_wait(scene *own);

#endif

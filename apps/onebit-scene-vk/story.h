/* story: the model's side of the sample: a 1-bit model on the renderer's own VkDevice, whose text grows a piece in each frame. This and
 * gpu_make_device are all that a renderer needs of OneBit. */
#ifndef SCENE_STORY_H
#define SCENE_STORY_H

#include "gpu.h"

#define STORY_BYTES 8192

typedef struct story_desc { /* must live as long as the story */
    const char *path;   /* of the model */
    const char *prompt; /* NULL: one of our own for each story */
    uint64_t seed;
    bool skip_selftest;
} story_desc;

typedef struct story {
    gpu *device;
    const story_desc *desc;
    pthread_t loader;
    atomic_bool loaded; /* what follows may be looked at */
    ob_status status;
    char error[256];
    ob_context *context;
    ob_model *model;
    ob_session *session;
    ob_model_info info;

    char text[STORY_BYTES]; /* printable ASCII and newlines, NUL at the end */
    size_t length;
    int64_t previous;       /* token; -1: none */
    bool fresh, ended;
    double ended_at;
    uint64_t tokens;        /* of all stories */
    unsigned stories;
} story;

/* Loads in a thread of its own, while frames are drawn already. */
void story_open(story *own, gpu *device, const story_desc *desc);
/* OB_OK also while it still loads; ob_last_error() has the reason otherwise. */
ob_status story_status(const story *own);
void story_wait(story *own); /* until it is loaded */
/* Destroys what was made, in the library's order. The device must still be there. */
void story_close(story *own);

/* A new story instead of the one that is being told. Waits for a piece at work, so for the budget at most. */
ob_status story_begin(story *own);

typedef struct story_news {
    bool submitted;        /* a piece went to the device */
    bool word;             /* the text grew */
    double device_seconds; /* of a piece that was found done, the one submitted before; 0: none was */
} story_news;
/* Once a frame, behind the frame's own submit. `now` in seconds. */
ob_status story_step(story *own, uint32_t microseconds, double now, story_news *news);

#endif

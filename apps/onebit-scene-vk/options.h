/* options: the command line. */
#ifndef SCENE_OPTIONS_H
#define SCENE_OPTIONS_H

#include "common/args.h"

typedef struct options {
    app_common common;
    const char *model, *prompt, *device;
    const char *png, *csv, *plot;
    int smooth;        /* 0: by the kind of device, 1: off, 2: on */
    int64_t headless;  /* frames; 0: a window */
    int64_t width, height;
    int64_t budget;    /* microseconds */
    int64_t fps;       /* without a window; -1: by the kind of device, 0: as fast as it goes */
    int64_t block;     /* frames */
    int64_t png_frame; /* -1: the last */
    int64_t seed;
    bool validation, skip_selftest;
} options;

/* Returns APP_GO_ON or the code to exit with. */
int options_parse(options *o, int argc, char **argv);

#endif

/* headless: frames without a window, at an even pace, in turns without the model and with it. */
#ifndef SCENE_HEADLESS_H
#define SCENE_HEADLESS_H

#include "options.h"

/* Returns the exit code. */
int headless_run(const options *o);

#endif

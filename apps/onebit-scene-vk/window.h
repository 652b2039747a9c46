/* window: the scene in a window. */
#ifndef SCENE_WINDOW_H
#define SCENE_WINDOW_H

#include "options.h"

/* Returns the exit code. */
int window_run(const options *o);

#endif

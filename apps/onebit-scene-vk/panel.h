/* panel: what stands over the scene: the story, and the times of the last frames. */
#ifndef SCENE_PANEL_H
#define SCENE_PANEL_H

#include "scene.h"

void panel_draw(scene *own);

#endif

/* picture: a PNG file. */
#ifndef SCENE_PICTURE_H
#define SCENE_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

/* rgba[height][width][4], sRGB; what is transparent is written as opaque. False when it cannot be written, which was said. */
bool picture_write(const char *path, uint32_t width, uint32_t height, const uint8_t *rgba);

#endif

#include "picture.h"

#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/term.h"

bool picture_write(const char *path, uint32_t width, uint32_t height, const uint8_t *rgba)
{
    size_t pixels = (size_t)width * height;
    uint8_t *rgb = calloc(pixels, 3);
    if (!rgb) return app_refuse(4, "there is not enough memory for the picture"), false;
    for (size_t i = 0; i < pixels; i++) memcpy(rgb + 3 * i, rgba + 4 * i, 3);
    png_image image = { .version = PNG_IMAGE_VERSION, .width = width, .height = height, .format = PNG_FORMAT_RGB };
    FILE *file = fopen(path, "wb");
    if (!file) app_refuse(1, "cannot write %s: %s", path, strerror(errno));
    bool written = file && png_image_write_to_stdio(&image, file, 0, rgb, 0, NULL);
    if (file && fclose(file) != 0) written = false;
    if (file && !written) app_refuse(1, "cannot write %s: %s", path, image.message[0] ? image.message : strerror(errno));
    free(rgb);
    return written;
}

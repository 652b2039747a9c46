/* svg: a picture being drawn into an SVG file, and axes that place values on it. The file appears whole, or not at all. */
#ifndef OBI_CORE_SVG_H
#define OBI_CORE_SVG_H

#include <stdbool.h>

#include "core/file.h"

typedef struct obi_svg {
    obi_writer writer;
    obi_status status; /* the first failure is kept, and what is put after it is dropped */
} obi_svg;

/* A white picture of width x height pixels with a title (UTF-8) that begins at pixel `left`. One thread. */
obi_status obi_svg_open(obi_svg *svg, const char *path, int width, int height, int left, const char *title);
void obi_svg_put(obi_svg *svg, const char *format, ...) __attribute__((format(__printf__, 2, 3))); /* at most 511 bytes a call */
void obi_svg_put_escaped(obi_svg *svg, const char *text); /* text between tags */
obi_status obi_svg_close(obi_svg *svg); /* commits, or after a failure abandons the file and returns it */

typedef struct obi_svg_axis {
    double low, high; /* of the values; of their decimal logarithms when `logarithmic` */
    bool logarithmic;
    double from, to;  /* pixels of low and high */
} obi_svg_axis;

double obi_svg_place(const obi_svg_axis *along, double value); /* pixels */
bool obi_svg_shown(const obi_svg_axis *along, double value);   /* finite, and positive where the axis needs that */

#endif

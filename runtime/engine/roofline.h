/* roofline: measured operations under the roofs of their device, as an SVG picture. */
#ifndef OBI_ENGINE_ROOFLINE_H
#define OBI_ENGINE_ROOFLINE_H

#include <stddef.h>

#include "core/status.h"

typedef struct obi_roofline_point {
    const char *label; /* UTF-8 */
    double intensity;  /* floating-point operations a byte */
    double rate;       /* operations a second */
} obi_roofline_point;

/* Rate over intensity, both logarithmic: the slope that `bytes_per_second` allows, the ceiling `operations_per_second`, and a dot
 * for each point with its number, which the list beside the plot explains. Points that are not positive and finite are left out.
 * Both roofs must be positive and finite. `path` appears whole. */
obi_status obi_roofline_write(const char *path, const char *title, double bytes_per_second, double operations_per_second,
                              const obi_roofline_point *points, size_t count);

#endif

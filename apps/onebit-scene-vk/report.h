/* report: the times of a run as a table and as a plot. */
#ifndef SCENE_REPORT_H
#define SCENE_REPORT_H

#include <stdbool.h>

#include "history.h"

/* Both return false when the file cannot be written, which was said. `budget` in seconds. */
bool report_write_csv(const char *path, const history *times);
bool report_write_svg(const char *path, const history *times, double budget, const char *device);

#endif

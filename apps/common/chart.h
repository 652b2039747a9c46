/* chart: a plot of some series as SVG, with axes, units and a list of names to its right. Colours that stand out on white and on black;
 * text and lines follow the reader's light or dark mode. */
#ifndef ONEBIT_APPS_CHART_H
#define ONEBIT_APPS_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define APP_CHART_COLOURS 10 /* before they begin again */
#define APP_CHART_GREY (-1)  /* the colour of what is only for orientation */

typedef struct app_chart_axis {
    const char *title; /* with the unit; UTF-8 */
    bool logarithmic;
    double low, high; /* at least this much is shown, where low < high; else what the points need */
} app_chart_axis;

typedef struct app_chart_point {
    double x, y;
    double error;      /* of y, to both sides; 0: none is drawn */
    const char *label; /* beside it, or NULL */
} app_chart_point;

typedef struct app_chart_series {
    const char *name; /* in the list; NULL: it is not listed */
    const app_chart_point *points;
    size_t count;
    int colour; /* from 0 on, or APP_CHART_GREY */
    bool line, dots;
    bool dashed;
    bool bars; /* a bar from the bottom to each point instead, side by side with those of other series with bars */
} app_chart_series;

typedef struct app_chart {
    const char *title; /* UTF-8 */
    const char *note;  /* a line below the title, or NULL */
    app_chart_axis x, y;
    const app_chart_series *series;
    size_t series_count;
    const char *const *categories; /* names of x = 0, 1, 2, ... in place of numbers, or NULL */
    size_t category_count;
    int width, height; /* pixels of the whole; 0: 860 and 460 */
} app_chart;

/* Writes <svg> ... </svg>, fit for a file of its own and for the middle of an HTML page. Points that are not finite, or not positive on
 * a logarithmic axis, are left out. Failures show at the file (ferror). */
void app_chart_write(FILE *file, const app_chart *chart);

/* Text between tags. */
void app_put_escaped(FILE *file, const char *text);

#endif

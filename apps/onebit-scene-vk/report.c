#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/term.h"

static FILE *open_file(const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file) app_refuse(1, "cannot write %s: %s", path, strerror(errno));
    return file;
}

static bool close_file(FILE *file, const char *path)
{
    bool failed = ferror(file) != 0;
    failed |= fclose(file) != 0;
    if (failed) app_refuse(1, "cannot write %s: %s", path, strerror(errno));
    return !failed;
}

bool report_write_csv(const char *path, const history *times)
{
    FILE *file = open_file(path);
    if (!file) return false;
    fprintf(file, "frame,seconds,model_device_seconds,tokens,model\n");
    for (size_t i = 0; i < times->count; i++) {
        const record *frame = &times->records[i];
        fprintf(file, "%zu,%.6f,%.6f,%llu,%d\n", i, frame->seconds, frame->piece, (unsigned long long)frame->tokens, frame->model);
    }
    return close_file(file, path);
}

/* ---- plot ---------------------------------------------------------------------------------------------------------------- */

#define WIDTH 960
#define HEIGHT 330
#define LEFT 52
#define RIGHT 14
#define TOP 54
#define BOTTOM 34

typedef struct axes {
    FILE *file;
    double frames, top; /* seconds */
} axes;

static double x_of(const axes *own, double frame) { return LEFT + frame / own->frames * (WIDTH - LEFT - RIGHT); }
static double y_of(const axes *own, double seconds)
{
    return HEIGHT - BOTTOM - (seconds < own->top ? seconds / own->top : 1) * (HEIGHT - TOP - BOTTOM);
}

static void level(const axes *own, double seconds, const char *color, const char *dash)
{
    fprintf(own->file, "<path d='M%d %.1fH%d' stroke='%s' stroke-dasharray='%s'/>\n", LEFT, y_of(own, seconds), WIDTH - RIGHT, color, dash);
}

static void dots(const axes *own, const history *times, bool model, bool piece, const char *color)
{
    fprintf(own->file, "<path stroke='%s' stroke-width='2.6' stroke-linecap='round' d='", color);
    for (size_t i = 0; i < times->count; i++) {
        const record *frame = &times->records[i];
        double seconds = piece ? frame->piece : frame->seconds;
        if (frame->model == model && seconds > 0) fprintf(own->file, "M%.1f %.1fh0", x_of(own, (double)i + 0.5), y_of(own, seconds));
    }
    fprintf(own->file, "'/>\n");
}

static void legend(const axes *own, int x, const char *color, const char *text)
{
    fprintf(own->file, "<circle cx='%d' cy='39' r='3.5' fill='%s'/><text x='%d' y='43'>%s</text>\n", x, color, x + 8, text);
}

bool report_write_svg(const char *path, const history *times, double budget, const char *device)
{
    history_summary sum;
    if (!history_sum_up(times, budget, &sum)) return app_refuse(4, "there is not enough memory for the plot"), false;
    axes own = { .file = open_file(path), .frames = (double)times->count };
    if (!own.file) return false;
    double step = 0.001, most = sum.longest[0] > sum.longest[1] ? sum.longest[0] : sum.longest[1];
    own.top = 1.15 * (sum.median[0] + 1.2 * budget);
    if (most > own.top) own.top = most < 2 * own.top ? 1.03 * most : 2 * own.top; /* what lies above is drawn at the edge */
    while (own.top / step > 8) step *= own.top / step > 20 ? 5 : 2;
    fprintf(own.file, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' font-family='sans-serif' font-size='12' fill='none'>\n"
                      "<rect width='%d' height='%d' fill='#fff'/>\n", WIDTH, HEIGHT, WIDTH, HEIGHT);
    for (size_t i = 0; i < times->count;) { /* stretches with the model */
        size_t end = i;
        while (end < times->count && times->records[end].model == times->records[i].model) end++;
        if (times->records[i].model)
            fprintf(own.file, "<rect x='%.1f' y='%d' width='%.1f' height='%d' fill='#fdf1e2'/>\n", x_of(&own, (double)i), TOP,
                    x_of(&own, (double)end) - x_of(&own, (double)i), HEIGHT - TOP - BOTTOM);
        i = end;
    }
    for (double at = 0; at <= own.top; at += step)
        fprintf(own.file, "<path d='M%d %.1fH%d' stroke='#ddd'/><text x='%d' y='%.1f' fill='#444' text-anchor='end'>%.0f ms</text>\n", LEFT,
                y_of(&own, at), WIDTH - RIGHT, LEFT - 6, y_of(&own, at) + 4, 1e3 * at);
    dots(&own, times, true, true, "#d08a1e");
    dots(&own, times, false, false, "#5a6cc0");
    dots(&own, times, true, false, "#c8354f");
    level(&own, sum.median[0], "#5a6cc0", "none");
    level(&own, sum.median[1], "#c8354f", "none");
    level(&own, sum.median[0] + budget, "#2c8a50", "7 4");
    level(&own, sum.median[0] + 1.2 * budget, "#2c8a50", "2 4");
    fprintf(own.file, "<g fill='#222'>\n<text x='%d' y='20'>%s, %zu frames in turns without and with the model (shaded): median %.2f and "
                      "%.2f ms; longest %.2f and %.2f ms; budget %.1f ms</text>\n", LEFT, device, times->count, 1e3 * sum.median[0],
            1e3 * sum.median[1], 1e3 * sum.longest[0], 1e3 * sum.longest[1], 1e3 * budget);
    legend(&own, LEFT + 4, "#5a6cc0", "frame without the model");
    legend(&own, LEFT + 180, "#c8354f", "frame with it");
    legend(&own, LEFT + 290, "#d08a1e", "the model's piece, on the device");
    legend(&own, LEFT + 500, "#2c8a50", "median without + budget (dashed), + 1.2 budgets (dotted)");
    fprintf(own.file, "<text x='%d' y='%d' text-anchor='end'>frame %zu</text></g>\n</svg>\n", WIDTH - RIGHT, HEIGHT - 12, times->count);
    return close_file(own.file, path);
}

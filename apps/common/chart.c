#include "chart.h"

#include <math.h>
#include <string.h>

/* Pixels. A character is about as wide as this; the font is the reader's. */
#define CHARACTER 6.6
#define SMALL_CHARACTER 6.3
#define LEFT 72.0
#define BELOW 58.0
#define LIST_STEP 20.0
#define PLACED_MAX 512

static const char *const colours[APP_CHART_COLOURS] = { "#2f7fd1", "#e07b22", "#2ea043", "#c4418b", "#8a63d2",
                                                        "#c9a227", "#1f9e9e", "#d6453d", "#7f8c3a", "#9a6b4f" };

static const char style[] =
    "<style>.ob-ground{fill:#fff}.ob-ink{fill:#24292f}.ob-dim{fill:#5f6b76}.ob-grid{stroke:#e4e7ea}.ob-frame{stroke:#8b949e}"
    ".ob-grey{stroke:#8b949e}.ob-halo{stroke:#fff;stroke-width:3px;paint-order:stroke;stroke-linejoin:round}"
    "@media(prefers-color-scheme:dark){.ob-ground{fill:#15181c}.ob-ink{fill:#e2e6ea}.ob-dim{fill:#9aa4ae}.ob-grid{stroke:#2b3138}"
    ".ob-halo{stroke:#15181c}}</style>\n";

typedef struct box {
    double left, top, right, bottom;
} box;

typedef struct scale {
    double low, high; /* logarithms on a logarithmic axis */
    double from, to;  /* pixels */
    bool logarithmic;
} scale;

typedef struct picture {
    FILE *file;
    const app_chart *chart;
    double width, height, right, top, bottom; /* of the whole; of the frame */
    scale x, y;
    box placed[PLACED_MAX];
    size_t placed_count;
} picture;

void app_put_escaped(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (*text == '&') fputs("&amp;", file);
        else if (*text == '<') fputs("&lt;", file);
        else if (*text == '>') fputs("&gt;", file);
        else if (*text == '"') fputs("&quot;", file);
        else if ((unsigned char)*text >= ' ') fputc(*text, file);
    }
}

static bool is_shown(const scale *along, double value) { return isfinite(value) && (!along->logarithmic || value > 0); }
static double place(const scale *along, double value)
{
    double at = along->logarithmic ? log10(value) : value;
    return along->from + (at - along->low) / (along->high - along->low) * (along->to - along->from);
}

/* Characters of UTF-8. */
static size_t characters(const char *text)
{
    size_t count = 0;
    for (; *text; text++) count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* ---- axes -------------------------------------------------------------------------------------------------------- */

static void reach(scale *along, double value)
{
    if (!is_shown(along, value)) return;
    double at = along->logarithmic ? log10(value) : value;
    along->low = fmin(along->low, at);
    along->high = fmax(along->high, at);
}

static double nice_step(double range)
{
    double power = pow(10, floor(log10(range / 5))), part = range / 5 / power;
    return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}

static void set_scale(scale *along, const app_chart_axis *axis, bool bars)
{
    if (axis->low < axis->high) {
        reach(along, axis->low);
        reach(along, axis->high);
    }
    if (!(along->low <= along->high)) along->low = 0, along->high = 1;
    double room = (along->high - along->low) * 0.06;
    if (room <= 0) room = along->logarithmic ? 0.3 : fmax(fabs(along->high) * 0.1, 0.5);
    bool from_zero = !along->logarithmic && (bars || (along->low >= 0 && along->low < 0.3 * along->high));
    along->low = from_zero ? 0 : along->low - room;
    along->high += room;
}

static void set_scales(picture *to)
{
    const app_chart *chart = to->chart;
    bool bars = false;
    for (size_t s = 0; s < chart->series_count; s++)
        for (size_t i = 0; i < chart->series[s].count; i++) {
            const app_chart_point *point = &chart->series[s].points[i];
            bars = bars || chart->series[s].bars;
            if (!is_shown(&to->x, point->x) || !is_shown(&to->y, point->y)) continue;
            reach(&to->x, point->x);
            reach(&to->y, point->y + point->error);
            reach(&to->y, point->y - point->error);
        }
    if (chart->categories) to->x.low = -0.5, to->x.high = (double)chart->category_count - 0.5;
    else set_scale(&to->x, &chart->x, false);
    set_scale(&to->y, &chart->y, bars);
}

static void put_tick(picture *to, const scale *along, bool across, double value, bool named)
{
    double at = place(along, value);
    if (across) fprintf(to->file, "<path class=\"ob-grid\" d=\"M%.1f %.1fH%.1f\"/>\n", LEFT, at, to->right);
    else fprintf(to->file, "<path class=\"ob-grid\" d=\"M%.1f %.1fV%.1f\"/>\n", at, to->bottom, to->top);
    if (!named) return;
    if (across)
        fprintf(to->file, "<text class=\"ob-dim\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n", LEFT - 8, at + 4, value);
    else fprintf(to->file, "<text class=\"ob-dim\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.6g</text>\n", at, to->bottom + 19, value);
}

/* Evenly spaced ones; also of a logarithmic axis too short for powers of ten. */
static void put_even_ticks(picture *to, const scale *along, bool across, double low, double high)
{
    double step = nice_step(high - low);
    for (double i = ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++)
        put_tick(to, along, across, i * step + 0.0, true); /* no -0 */
}

static void put_ticks(picture *to, const scale *along, bool across)
{
    double decades = along->high - along->low;
    if (!along->logarithmic || decades < 0.6) {
        double low = along->logarithmic ? pow(10, along->low) : along->low, high = along->logarithmic ? pow(10, along->high) : along->high;
        put_even_ticks(to, along, across, low, high);
        return;
    }
    for (double power = floor(along->low); power <= along->high; power++)
        for (int digit = 1; digit < 10; digit++) {
            double at = power + log10(digit);
            if (at < along->low || at > along->high) continue;
            bool named = digit == 1 || (decades < 1 && digit != 9 && digit != 7) || (decades < 2.5 && (digit == 2 || digit == 5));
            if (named || decades < 5) put_tick(to, along, across, digit * pow(10, power), named);
        }
}

/* Names that do not fit beside each other stand slanted. */
static bool is_slanted(const picture *to)
{
    const app_chart *chart = to->chart;
    double room = (to->right - LEFT) / (double)(chart->category_count ? chart->category_count : 1);
    for (size_t i = 0; i < chart->category_count; i++)
        if ((double)characters(chart->categories[i]) * SMALL_CHARACTER > room - 6) return true;
    return false;
}

static void put_categories(picture *to)
{
    const app_chart *chart = to->chart;
    bool slanted = is_slanted(to);
    for (size_t i = 0; i < chart->category_count; i++) {
        double at = place(&to->x, (double)i);
        if (slanted)
            fprintf(to->file, "<text class=\"ob-dim\" font-size=\"11\" text-anchor=\"end\" transform=\"translate(%.1f %.1f) rotate(-35)\">",
                    at + 4, to->bottom + 16);
        else
            fprintf(to->file, "<text class=\"ob-dim\" font-size=\"11\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">", at, to->bottom + 18);
        app_put_escaped(to->file, chart->categories[i]);
        fputs("</text>\n", to->file);
    }
}

static void put_axes(picture *to)
{
    if (to->chart->categories) put_categories(to);
    else put_ticks(to, &to->x, false);
    put_ticks(to, &to->y, true);
    fprintf(to->file, "<path class=\"ob-frame\" fill=\"none\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", LEFT, to->top, to->bottom, to->right);
    fprintf(to->file, "<text class=\"ob-ink\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", (LEFT + to->right) / 2, to->height - 14);
    app_put_escaped(to->file, to->chart->x.title ? to->chart->x.title : "");
    fprintf(to->file, "</text>\n<text class=\"ob-ink\" transform=\"translate(20 %.1f) rotate(-90)\" text-anchor=\"middle\">",
            (to->top + to->bottom) / 2);
    app_put_escaped(to->file, to->chart->y.title ? to->chart->y.title : "");
    fputs("</text>\n", to->file);
}

/* ---- series -------------------------------------------------------------------------------------------------------- */

static const char *colour_of(const app_chart_series *series)
{
    return series->colour < 0 ? "#8b949e" : colours[series->colour % APP_CHART_COLOURS];
}

static bool is_drawn(const picture *to, const app_chart_point *point) { return is_shown(&to->x, point->x) && is_shown(&to->y, point->y); }

static void put_line(picture *to, const app_chart_series *series)
{
    fprintf(to->file, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" stroke-linejoin=\"round\"%s points=\"", colour_of(series),
            series->colour < 0 ? "1.4" : "2", series->dashed ? " stroke-dasharray=\"6 4\"" : "");
    for (size_t i = 0; i < series->count; i++)
        if (is_drawn(to, &series->points[i]))
            fprintf(to->file, "%.1f,%.1f ", place(&to->x, series->points[i].x), place(&to->y, series->points[i].y));
    fputs("\"/>\n", to->file);
}

static void remember(picture *to, box taken)
{
    if (to->placed_count < PLACED_MAX) to->placed[to->placed_count++] = taken;
}

static void put_dots(picture *to, const app_chart_series *series)
{
    for (size_t i = 0; i < series->count; i++) {
        const app_chart_point *point = &series->points[i];
        if (!is_drawn(to, point)) continue;
        double x = place(&to->x, point->x), y = place(&to->y, point->y);
        if (point->error > 0) {
            double low = is_shown(&to->y, point->y - point->error) ? place(&to->y, point->y - point->error) : to->bottom;
            double high = place(&to->y, point->y + point->error);
            fprintf(to->file, "<path stroke=\"%s\" stroke-width=\"1.4\" d=\"M%.1f %.1fV%.1fM%.1f %.1fh8M%.1f %.1fh8\"/>\n",
                    colour_of(series), x, low, high, x - 4, low, x - 4, high);
        }
        fprintf(to->file, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" fill=\"%s\"/>\n", x, y, colour_of(series));
        remember(to, (box){ x - 6, y - 6, x + 6, y + 6 });
    }
}

/* The `number`-th of `all` series with bars. */
static void put_bars(picture *to, const app_chart_series *series, size_t number, size_t all)
{
    double room = (place(&to->x, 1) - place(&to->x, 0)) * 0.72, wide = room / (double)all;
    for (size_t i = 0; i < series->count; i++) {
        const app_chart_point *point = &series->points[i];
        if (!is_drawn(to, point)) continue;
        double x = place(&to->x, point->x) - room / 2 + wide * (double)number, y = place(&to->y, point->y);
        fprintf(to->file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\" rx=\"1.5\"/>\n", x + 1, y, wide - 2,
                fmax(to->bottom - y, 0.5), colour_of(series));
        if (!point->label) continue;
        fprintf(to->file, "<text class=\"ob-ink\" font-size=\"10.5\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">", x + wide / 2, y - 5);
        app_put_escaped(to->file, point->label);
        fputs("</text>\n", to->file);
    }
}

/* How much of `here` is taken already, or lies outside the frame. */
static double overlap(const picture *to, box here)
{
    double sum = 0;
    for (size_t i = 0; i < to->placed_count; i++) {
        const box *other = &to->placed[i];
        double across = fmin(here.right, other->right) - fmax(here.left, other->left);
        double down = fmin(here.bottom, other->bottom) - fmax(here.top, other->top);
        if (across > 0 && down > 0) sum += across * down;
    }
    double outside =
        fmax(0, LEFT - here.left) + fmax(0, here.right - to->right) + fmax(0, to->top - here.top) + fmax(0, here.bottom - to->bottom);
    return sum + 1000 * outside;
}

/* Where it hides nothing, else least. */
static void put_label(picture *to, const app_chart_point *point, const char *colour)
{
    double x = place(&to->x, point->x), y = place(&to->y, point->y), wide = (double)characters(point->label) * SMALL_CHARACTER,
           least = INFINITY;
    box best = { 0 };
    bool before = false; /* it ends at the point: text is as wide as the reader's font makes it */
    static const double turns[][2] = { { 1, 0 }, { -1, 0 }, { 0, -1 }, { 0, 1 }, { 1, -1 }, { 1, 1 }, { -1, -1 }, { -1, 1 } };
    for (double far = 9; far <= 60 && least > 0; far += 9)
        for (size_t k = 0; k < sizeof turns / sizeof *turns && least > 0; k++) {
            double left = turns[k][0] > 0 ? x + 9 : turns[k][0] < 0 ? x - 9 - wide : x - wide / 2;
            double middle = y + turns[k][1] * (far + 3);
            box here = { left, middle - 7, left + wide, middle + 7 };
            double taken = overlap(to, here);
            if (taken >= least) continue;
            least = taken;
            best = here;
            before = turns[k][0] < 0;
        }
    remember(to, best);
    fprintf(to->file, "<text class=\"ob-halo\" font-size=\"11\" fill=\"%s\" x=\"%.1f\" y=\"%.1f\"%s>", colour,
            before ? best.right : best.left, best.bottom - 3, before ? " text-anchor=\"end\"" : "");
    app_put_escaped(to->file, point->label);
    fputs("</text>\n", to->file);
}

static void put_series(picture *to)
{
    const app_chart *chart = to->chart;
    size_t bars = 0, number = 0;
    for (size_t s = 0; s < chart->series_count; s++) bars += chart->series[s].bars;
    for (size_t s = 0; s < chart->series_count; s++) {
        if (chart->series[s].bars) put_bars(to, &chart->series[s], number++, bars);
        else if (chart->series[s].line) put_line(to, &chart->series[s]);
    }
    for (size_t s = 0; s < chart->series_count; s++)
        if (chart->series[s].dots) put_dots(to, &chart->series[s]);
    for (size_t s = 0; s < chart->series_count; s++)
        for (size_t i = 0; i < chart->series[s].count && !chart->series[s].bars; i++)
            if (chart->series[s].points[i].label && is_drawn(to, &chart->series[s].points[i]))
                put_label(to, &chart->series[s].points[i], colour_of(&chart->series[s]));
}

/* ---- the list ------------------------------------------------------------------------------------------------------- */

static double list_width(const app_chart *chart)
{
    size_t longest = 0;
    for (size_t s = 0; s < chart->series_count; s++) {
        size_t length = chart->series[s].name ? characters(chart->series[s].name) : 0;
        if (length > longest) longest = length;
    }
    return longest ? 58 + (double)longest * CHARACTER * 1.06 : 20;
}

static void put_list(picture *to)
{
    double y = to->top + 10;
    for (size_t s = 0; s < to->chart->series_count; s++) {
        const app_chart_series *series = &to->chart->series[s];
        if (!series->name) continue;
        double x = to->right + 16;
        if (series->bars)
            fprintf(to->file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"11\" rx=\"2\" fill=\"%s\"/>\n", x + 4, y - 5.5,
                    colour_of(series));
        if (series->line)
            fprintf(to->file, "<path stroke=\"%s\" stroke-width=\"2\"%s d=\"M%.1f %.1fh22\"/>\n", colour_of(series),
                    series->dashed ? " stroke-dasharray=\"6 4\"" : "", x, y);
        if (series->dots) fprintf(to->file, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" fill=\"%s\"/>\n", x + 11, y, colour_of(series));
        fprintf(to->file, "<text class=\"ob-ink\" x=\"%.1f\" y=\"%.1f\">", x + 30, y + 4.5);
        app_put_escaped(to->file, series->name);
        fputs("</text>\n", to->file);
        y += LIST_STEP;
    }
}

void app_chart_write(FILE *file, const app_chart *chart)
{
    picture to = {
        .file = file, .chart = chart, .width = chart->width ? chart->width : 860, .height = chart->height ? chart->height : 460
    };
    double names = 0;
    to.right = to.width - list_width(chart);
    for (size_t i = 0; i < chart->category_count && is_slanted(&to); i++)
        names = fmax(names, (double)characters(chart->categories[i]) * SMALL_CHARACTER * 0.58);
    to.top = chart->note ? 66 : 50;
    to.bottom = to.height - fmax(BELOW, names + 42);
    to.x = (scale){ .low = INFINITY, .high = -INFINITY, .from = LEFT, .to = to.right, .logarithmic = chart->x.logarithmic };
    to.y = (scale){ .low = INFINITY, .high = -INFINITY, .from = to.bottom, .to = to.top, .logarithmic = chart->y.logarithmic };
    set_scales(&to);
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" font-family=\"sans-serif\" "
            "font-size=\"12.5\" role=\"img\">\n",
            to.width, to.height, to.width, to.height);
    fprintf(file,
            "%s<rect class=\"ob-ground\" width=\"100%%\" height=\"100%%\" rx=\"6\"/>\n<text class=\"ob-ink\" x=\"%.0f\" y=\"28\" "
            "font-size=\"16\">",
            style, LEFT);
    app_put_escaped(file, chart->title ? chart->title : "");
    fputs("</text>\n", file);
    if (chart->note) {
        fprintf(file, "<text class=\"ob-dim\" x=\"%.0f\" y=\"47\" font-size=\"11.5\">", LEFT);
        app_put_escaped(file, chart->note);
        fputs("</text>\n", file);
    }
    put_axes(&to);
    put_series(&to);
    put_list(&to);
    fputs("</svg>\n", file);
}

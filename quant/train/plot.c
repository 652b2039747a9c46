#include "quant/train/plot.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/svg.h"

/* The picture, in pixels: the frame of the plot inside it. */
#define WIDTH 900
#define HEIGHT 520
#define LEFT 70
#define RIGHT 880
#define TOP 80
#define BOTTOM 462

#define LOG_FACTOR 6   /* values spanning more go on a logarithmic scale */
#define POINTS_MAX 800 /* of a line */
#define COLOUR_LOSS "#1f6fb4"
#define COLOUR_KL "#d95f0e"
#define COLOUR_HELD_OUT "#2a9d3a"
#define COLOUR_HELD_OUT_KL "#8a2b7a"

typedef struct picture {
    obi_svg svg;
    obi_svg_axis x, y;
    int legend; /* pixels of the legend that are taken */
} picture;

typedef double (*value_of)(const obi_history_point *point);

static double loss_of(const obi_history_point *point) { return point->loss; }
static double kl_of(const obi_history_point *point) { return point->kl; }

/* ---- axes ------------------------------------------------------------------------------------------------------ */

static void widen(double *low, double *high, double value, bool positive)
{
    if (!isfinite(value) || (positive && value <= 0)) return;
    if (value < *low) *low = value;
    if (value > *high) *high = value;
}

static void value_range(const obi_history *history, bool positive, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t i = 0; i < history->step_count; i++) {
        widen(low, high, history->steps[i].loss, positive);
        widen(low, high, history->steps[i].kl, positive);
    }
    for (size_t i = 0; i < history->evaluation_count; i++) {
        widen(low, high, history->evaluations[i].loss, positive);
        widen(low, high, history->evaluations[i].kl, positive);
    }
}

/* 1, 2 or 5 times a power of ten: the smallest that makes at most `most` steps of the range. */
static double tick_step(double range, int most)
{
    static const double factors[] = { 1, 2, 5, 10 };
    double power = pow(10, floor(log10(range / most)));
    for (size_t i = 0; i < 4; i++)
        if (range / (factors[i] * power) <= most) return factors[i] * power;
    return 10 * power;
}

static void set_axes(picture *to, const obi_history *history)
{
    double low, high, last = 1;
    if (history->step_count > 0) last = (double)history->steps[history->step_count - 1].step;
    if (history->evaluation_count > 0) last = fmax(last, (double)history->evaluations[history->evaluation_count - 1].step);
    to->x = (obi_svg_axis){ .low = 0, .high = fmax(last, 1), .from = LEFT, .to = RIGHT };
    value_range(history, false, &low, &high);
    if (!(low <= high)) low = 0, high = 1;
    bool logarithmic = low > 0 && high > LOG_FACTOR * low;
    if (logarithmic) low = log10(low), high = log10(high);
    double margin = high > low ? 0.05 * (high - low) : 0.5;
    to->y = (obi_svg_axis){ .low = low - margin, .high = high + margin, .logarithmic = logarithmic, .from = BOTTOM, .to = TOP };
    if (!logarithmic && low >= 0 && to->y.low < 0) to->y.low = 0;
}

static void put_y_tick(picture *to, double value)
{
    double y = obi_svg_place(&to->y, value);
    if (y > BOTTOM + 0.5 || y < TOP - 0.5) return;
    obi_svg_put(&to->svg, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#e2e2e2\"/>\n", LEFT, y, RIGHT, y);
    obi_svg_put(&to->svg, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n", LEFT - 8, y + 4.5,
                fabs(value) < 1e-12 ? 0 : value);
}

static void put_axes(picture *to)
{
    static const double dense[] = { 1, 1.5, 2, 3, 4, 5, 7, 10 }, plain[] = { 1, 2, 5, 10 }, sparse[] = { 1, 10 };
    if (to->y.logarithmic) {
        double decades = to->y.high - to->y.low;
        const double *factors = decades < 1.3 ? dense : decades < 4 ? plain : sparse;
        size_t count = decades < 1.3 ? 7 : decades < 4 ? 3 : 1;
        for (double power = floor(to->y.low); power <= to->y.high; power++)
            for (size_t i = 0; i < count; i++) put_y_tick(to, factors[i] * pow(10, power));
    } else {
        double step = tick_step(to->y.high - to->y.low, 8);
        for (double i = ceil(to->y.low / step); i * step <= to->y.high; i++) put_y_tick(to, i * step);
    }
    double step = fmax(tick_step(to->x.high, 9), 1);
    for (double i = 0; i * step <= to->x.high; i++) {
        double x = obi_svg_place(&to->x, i * step);
        obi_svg_put(&to->svg, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#888\"/>\n", x, BOTTOM, x, BOTTOM + 5);
        obi_svg_put(&to->svg, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>\n", x, BOTTOM + 20, i * step);
    }
    obi_svg_put(&to->svg, "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#888\"/>\n", LEFT, TOP, BOTTOM, RIGHT);
    obi_svg_put(&to->svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">step</text>\n", (LEFT + RIGHT) / 2, BOTTOM + 42);
    obi_svg_put(&to->svg, "<text transform=\"translate(18 %d) rotate(-90)\" text-anchor=\"middle\">nats per token%s</text>\n",
                (TOP + BOTTOM) / 2, to->y.logarithmic ? " (logarithmic)" : "");
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

/* A line through the values. More than fit: the smallest and the largest of each stretch, so that outliers stay to be seen. */
static void put_line(picture *to, const obi_history_point *points, size_t count, value_of value, const char *style)
{
    size_t stretch = count / POINTS_MAX + 1;
    double least = INFINITY, most = -INFINITY;
    obi_svg_put(&to->svg, "<polyline fill=\"none\" %s points=\"", style);
    for (size_t i = 0; i < count; i++) {
        double now = value(&points[i]), x = obi_svg_place(&to->x, (double)points[i].step);
        if (obi_svg_shown(&to->y, now)) widen(&least, &most, now, false);
        if ((i + 1) % stretch && i + 1 < count) continue;
        if (isfinite(least)) obi_svg_put(&to->svg, " %.1f,%.1f", x, obi_svg_place(&to->y, least));
        if (isfinite(most) && most > least) obi_svg_put(&to->svg, " %.1f,%.1f", x, obi_svg_place(&to->y, most));
        least = INFINITY;
        most = -INFINITY;
    }
    obi_svg_put(&to->svg, "\"/>\n");
}

/* The same of the mean over a window around each point, 4 % of all and at least 5, which is narrower at the beginning, so that
 * a steep one is not dragged along, and reaches back only at the end. Returns the last mean. */
static double put_smoothed(picture *to, const obi_history_point *points, size_t count, value_of value, const char *style)
{
    size_t stretch = count / POINTS_MAX + 1, half = count / 50 < 2 ? 2 : count / 50, first = 0, behind = 0, inside = 0;
    double sum = 0, mean = NAN;
    obi_svg_put(&to->svg, "<polyline fill=\"none\" %s stroke-linejoin=\"round\" points=\"", style);
    for (size_t i = 0; i < count; i++) {
        size_t reach = i < half ? i : half;
        for (; behind <= i + reach && behind < count; behind++)
            if (obi_svg_shown(&to->y, value(&points[behind]))) sum += value(&points[behind]), inside++;
        for (; first < i - reach; first++)
            if (obi_svg_shown(&to->y, value(&points[first]))) sum -= value(&points[first]), inside--;
        if (inside == 0 || ((i + 1) % stretch && i + 1 < count)) continue;
        mean = sum / (double)inside;
        if (obi_svg_shown(&to->y, mean))
            obi_svg_put(&to->svg, " %.1f,%.1f", obi_svg_place(&to->x, (double)points[i].step), obi_svg_place(&to->y, mean));
    }
    obi_svg_put(&to->svg, "\"/>\n");
    return mean;
}

static void put_dots(picture *to, const obi_history_point *points, size_t count, value_of value, const char *colour)
{
    size_t stretch = count / POINTS_MAX + 1;
    obi_svg_put(&to->svg, "<g fill=\"%s\" stroke=\"#fff\" stroke-width=\"0.8\">\n", colour);
    for (size_t i = stretch - 1; i < count; i += stretch)
        if (obi_svg_shown(&to->y, value(&points[i])))
            obi_svg_put(&to->svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n", obi_svg_place(&to->x, (double)points[i].step),
                        obi_svg_place(&to->y, value(&points[i])));
    obi_svg_put(&to->svg, "</g>\n");
}

static double last_of(const obi_history_point *points, size_t count, value_of value)
{
    double mean = NAN;
    for (size_t i = 0; i < count; i++)
        if (isfinite(value(&points[i]))) mean = value(&points[i]);
    return mean;
}

/* A dot or a piece of line, its name, and the newest value. */
static void put_legend(picture *to, const char *colour, bool dot, const char *name, double value)
{
    int x = LEFT + to->legend;
    char text[96];
    int length = snprintf(text, sizeof text, isfinite(value) ? "%s %.3f" : "%s", name, value);
    if (dot) obi_svg_put(&to->svg, "<circle cx=\"%d\" cy=\"55\" r=\"4\" fill=\"%s\"/>\n", x + 9, colour);
    else obi_svg_put(&to->svg, "<line x1=\"%d\" y1=\"55\" x2=\"%d\" y2=\"55\" stroke=\"%s\" stroke-width=\"2.5\"/>\n", x, x + 18, colour);
    obi_svg_put(&to->svg, "<text x=\"%d\" y=\"59.5\">%s</text>\n", x + 24, text);
    to->legend += 24 + 8 * length + 12;
}

/* The KL is a line of its own unless it is the loss itself. */
static bool has_other_kl(const obi_history *history)
{
    for (size_t i = 0; i < history->step_count; i++) {
        const obi_history_point *point = &history->steps[i];
        if (isfinite(point->kl) && fabs(point->kl - point->loss) > 1e-6 * fabs(point->loss)) return true;
    }
    return false;
}

static void put_curves(picture *to, const obi_history *history)
{
    const obi_history_point *steps = history->steps, *evaluations = history->evaluations;
    size_t count = history->step_count, evaluated = history->evaluation_count;
    if (count > 0) {
        put_line(to, steps, count, loss_of, "stroke=\"" COLOUR_LOSS "\" stroke-opacity=\"0.4\" stroke-width=\"1\"");
        double mean = put_smoothed(to, steps, count, loss_of, "stroke=\"" COLOUR_LOSS "\" stroke-width=\"2.2\"");
        put_legend(to, COLOUR_LOSS, false, "training loss", mean);
    }
    if (has_other_kl(history)) {
        double mean = put_smoothed(to, steps, count, kl_of, "stroke=\"" COLOUR_KL "\" stroke-width=\"1.8\"");
        put_legend(to, COLOUR_KL, false, "KL to the teacher", mean);
    }
    if (evaluated == 0) return;
    put_line(to, evaluations, evaluated, loss_of, "stroke=\"" COLOUR_HELD_OUT "\" stroke-width=\"1\" stroke-dasharray=\"4 3\"");
    put_dots(to, evaluations, evaluated, loss_of, COLOUR_HELD_OUT);
    put_legend(to, COLOUR_HELD_OUT, true, "held-out loss", last_of(evaluations, evaluated, loss_of));
    if (!isfinite(last_of(evaluations, evaluated, kl_of))) return;
    put_line(to, evaluations, evaluated, kl_of, "stroke=\"" COLOUR_HELD_OUT_KL "\" stroke-width=\"1\" stroke-dasharray=\"4 3\"");
    put_dots(to, evaluations, evaluated, kl_of, COLOUR_HELD_OUT_KL);
    put_legend(to, COLOUR_HELD_OUT_KL, true, "held-out KL", last_of(evaluations, evaluated, kl_of));
}

obi_status obi_plot_write(const obi_history *history, const char *title, const char *path)
{
    picture to = { .legend = 0 };
    OBI_TRY(obi_svg_open(&to.svg, path, WIDTH, HEIGHT, LEFT, title));
    set_axes(&to, history);
    put_axes(&to);
    put_curves(&to, history);
    return obi_svg_close(&to.svg);
}

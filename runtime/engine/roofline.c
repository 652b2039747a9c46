#include "engine/roofline.h"

#include <math.h>
#include <stdio.h>

#include "core/svg.h"

/* The picture, in pixels: the frame of the plot inside it, and the list to the right. */
#define WIDTH 1020
#define LEFT 78
#define RIGHT 640
#define TOP 60
#define BOTTOM 500
#define HEIGHT 560
#define LIST_LEFT 668
#define LIST_STEP 19
#define PLACED_MAX 256 /* numbers whose places are kept, so that none is written over another */
#define COLOUR_ROOF "#444"
#define HALO "stroke=\"#fff\" stroke-width=\"3\" paint-order=\"stroke\""

static const char *const colours[] = { "#1f6fb4", "#d95f0e", "#2a9d3a", "#8a2b7a", "#b8860b", "#c0392b", "#16858b", "#6a5acd" };
#define COLOURS (sizeof colours / sizeof *colours)

typedef struct plot {
    obi_svg svg;
    obi_svg_axis x, y;
    double bytes, operations; /* the roofs, a second */
    struct {
        double x, y;
    } placed[PLACED_MAX];
    size_t placed_count;
} plot;

static bool is_drawn(const obi_roofline_point *point)
{
    return isfinite(point->intensity) && isfinite(point->rate) && point->intensity > 0 && point->rate > 0;
}

/* What can be had at this intensity. */
static double roof_at(const plot *to, double intensity) { return fmin(intensity * to->bytes, to->operations); }

/* ---- axes: from a power of ten to a power of ten -------------------------------------------------------------------- */

static void set_axes(plot *to, const obi_roofline_point *points, size_t count)
{
    double ridge = to->operations / to->bytes;
    double left = ridge / 8, right = ridge * 8, low = to->operations / 8;
    for (size_t i = 0; i < count; i++) {
        if (!is_drawn(&points[i])) continue;
        left = fmin(left, points[i].intensity);
        right = fmax(right, points[i].intensity);
        low = fmin(low, points[i].rate);
    }
    double high = to->operations;
    for (size_t i = 0; i < count; i++)
        if (is_drawn(&points[i])) high = fmax(high, points[i].rate); /* one bit of weight a lookup goes through the ceiling */
    to->x = (obi_svg_axis){ .low = floor(log10(left)), .high = ceil(log10(right) + 0.01), .logarithmic = true, .from = LEFT, .to = RIGHT };
    to->y = (obi_svg_axis){ .low = floor(log10(low)), .high = ceil(log10(high) + 0.15), .logarithmic = true, .from = BOTTOM, .to = TOP };
}

static void put_ticks(plot *to, const obi_svg_axis *along, bool across)
{
    for (double power = along->low; power <= along->high + 0.5; power++)
        for (int factor = 1; factor < 10; factor++) {
            double value = factor * pow(10, power), at = obi_svg_place(along, value);
            if (power + log10(factor) > along->high + 1e-9) break;
            const char *stroke = factor == 1 ? "#d0d0d0" : "#f0f0f0";
            if (across) obi_svg_put(&to->svg, "<path d=\"M%d %.1fH%d\" stroke=\"%s\"/>\n", LEFT, at, RIGHT, stroke);
            else obi_svg_put(&to->svg, "<path d=\"M%.1f %dV%d\" stroke=\"%s\"/>\n", at, BOTTOM, TOP, stroke);
            if (factor != 1) continue;
            if (across)
                obi_svg_put(&to->svg, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", LEFT - 8, at + 4.5, value * 1e-9);
            else obi_svg_put(&to->svg, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", at, BOTTOM + 20, value);
        }
}

static void put_axes(plot *to)
{
    put_ticks(to, &to->x, false);
    put_ticks(to, &to->y, true);
    obi_svg_put(&to->svg, "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#888\"/>\n", LEFT, TOP, BOTTOM, RIGHT);
    obi_svg_put(&to->svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">operations per byte</text>\n", (LEFT + RIGHT) / 2, BOTTOM + 44);
    obi_svg_put(&to->svg, "<text transform=\"translate(20 %d) rotate(-90)\" text-anchor=\"middle\">GFLOP/s</text>\n", (TOP + BOTTOM) / 2);
}

/* ---- roofs and points ---------------------------------------------------------------------------------------------- */

static void put_roofs(plot *to)
{
    double ridge = to->operations / to->bytes, least = pow(10, to->x.low), bottom = pow(10, to->y.low) / to->bytes;
    double from = fmax(least, bottom), y = obi_svg_place(&to->y, to->operations); /* the slope begins at the frame */
    double x0 = obi_svg_place(&to->x, from), y0 = obi_svg_place(&to->y, roof_at(to, from)), x1 = obi_svg_place(&to->x, ridge);
    obi_svg_put(&to->svg, "<path d=\"M%.1f %.1fL%.1f %.1fH%d\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", x0, y0, x1, y, RIGHT,
                COLOUR_ROOF);
    double angle = atan2(y - y0, x1 - x0) * 180 / 3.141592653589793;
    obi_svg_put(&to->svg,
                "<text transform=\"translate(%.1f %.1f) rotate(%.1f)\" text-anchor=\"middle\" dy=\"-7\" " HALO ">%.4g GB/s</text>\n",
                (x0 + x1) / 2, (y0 + y) / 2, angle, 1e-9 * to->bytes);
    obi_svg_put(&to->svg, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" " HALO ">%.4g GFLOP/s, f32 multiply-adds</text>\n", RIGHT - 6,
                y - 8, 1e-9 * to->operations);
}

/* A number beside its dot; where one stands already, above that. */
static void put_number(plot *to, double x, double y, size_t number, const char *colour)
{
    double at = y + 4.5;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < to->placed_count; i++)
            if (fabs(to->placed[i].x - x) < 20 && fabs(to->placed[i].y - at) < 12.5) {
                at = to->placed[i].y - 13;
                moved = true;
            }
    }
    if (to->placed_count < PLACED_MAX) {
        to->placed[to->placed_count].x = x;
        to->placed[to->placed_count++].y = at;
    }
    obi_svg_put(&to->svg, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"12\" font-weight=\"bold\" fill=\"%s\" " HALO ">%zu</text>\n", x + 8, at,
                colour, number);
}

static void put_points(plot *to, const obi_roofline_point *points, size_t count)
{
    size_t number = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_drawn(&points[i])) continue;
        const char *colour = colours[number++ % COLOURS];
        double x = obi_svg_place(&to->x, points[i].intensity), y = obi_svg_place(&to->y, points[i].rate);
        obi_svg_put(&to->svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\" stroke=\"#fff\"/>\n", x, y, colour);
        put_number(to, x, y, number, colour);
        int line = TOP + 12 + LIST_STEP * 2 * (int)(number - 1);
        obi_svg_put(&to->svg, "<text x=\"%d\" y=\"%d\" font-size=\"12\" font-weight=\"bold\" fill=\"%s\">%zu</text>\n", LIST_LEFT, line,
                    colour, number);
        obi_svg_put(&to->svg, "<text x=\"%d\" y=\"%d\" font-size=\"12\">", LIST_LEFT + 22, line);
        obi_svg_put_escaped(&to->svg, points[i].label);
        obi_svg_put(&to->svg, "</text>\n<text x=\"%d\" y=\"%d\" font-size=\"12\" fill=\"#777\">%.4g GFLOP/s, %.3g %% of the roof</text>\n",
                    LIST_LEFT + 22, line + 15, 1e-9 * points[i].rate, 100 * points[i].rate / roof_at(to, points[i].intensity));
    }
}

obi_status obi_roofline_write(const char *path, const char *title, double bytes_per_second, double operations_per_second,
                              const obi_roofline_point *points, size_t count)
{
    if (!isfinite(bytes_per_second) || !isfinite(operations_per_second) || bytes_per_second <= 0 || operations_per_second <= 0)
        return obi_fail(OBI_ERROR_ARGUMENT, "a roofline needs two rates above 0");
    size_t drawn = 0;
    for (size_t i = 0; i < count; i++) drawn += is_drawn(&points[i]);
    if (drawn > 10000) return obi_fail(OBI_ERROR_ARGUMENT, "%zu points are too many for a picture", drawn);
    int list = TOP + 12 + LIST_STEP * 2 * (int)drawn;
    plot to = { .bytes = bytes_per_second, .operations = operations_per_second };
    OBI_TRY(obi_svg_open(&to.svg, path, WIDTH, list > HEIGHT ? list : HEIGHT, LEFT, title));
    set_axes(&to, points, count);
    put_axes(&to);
    put_roofs(&to);
    put_points(&to, points, count);
    return obi_svg_close(&to.svg);
}

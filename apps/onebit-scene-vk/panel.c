#include "panel.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "font.h"

#define LINES 6
#define PAPER 0x0a0818b4u
#define INK 0xf6ecdcffu
#define FAINT 0xb8aec0ffu
#define QUIET 0x7a86c8ffu
#define BUSY 0xff7a8affu
#define PIECE 0xffc050ffu
#define LIMIT 0x80ffb0ffu

__attribute__((format(printf, 5, 6))) static void print(overlay *over, float x, float y, uint32_t color, const char *format, ...)
{
    char text[256];
    va_list values;
    va_start(values, format);
    int count = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    overlay_text(over, x, y, 1, color, text, count < (int)sizeof text ? count : (int)sizeof text - 1);
}

/* ---- the story ------------------------------------------------------------------------------------------------------------- */

typedef struct line {
    int start, count;
} line;

/* The end of the line that begins at `start`: before the word that does not fit, or behind a newline. */
static line next_line(const char *text, int start, int room)
{
    int width = 0, i = start, word = -1;
    for (; text[i] && text[i] != '\n'; i++) {
        if (text[i] == ' ') word = i;
        width += font_advance(text[i]);
        if (width > room && i > start) return (line){ start, (word > start ? word : i) - start };
    }
    return (line){ start, i - start };
}

static void draw_text(overlay *over, const char *text, float x, float y, int room, int scale)
{
    line lines[LINES];
    int count = 0, at = 0;
    while (text[at]) { /* only the last lines are shown */
        line found = next_line(text, at, room / scale);
        lines[count++ % LINES] = found;
        at = found.start + found.count;
        if (text[at] == ' ' || text[at] == '\n') at++;
    }
    int first = count > LINES ? count - LINES : 0;
    for (int i = first; i < count; i++) {
        overlay_text(over, x, y, scale, INK, text + lines[i % LINES].start, lines[i % LINES].count);
        y += (float)(FONT_LINE * scale);
    }
}

static void draw_story(scene *own, float x, float y, float width, float height, int scale)
{
    const story *tale = &own->tale;
    overlay_box(&own->over, x, y, width, height, PAPER);
    x += 12;
    y += 9;
    if (!atomic_load(&tale->loaded)) {
        print(&own->over, x, y, FAINT, "The model is being loaded ...");
        return;
    }
    if (tale->status != OB_OK) {
        print(&own->over, x, y, BUSY, "%s", tale->error[0] ? tale->error : ob_last_error());
        return;
    }
    print(&own->over, x, y, own->model_on ? PIECE : FAINT, "%s   1-bit, %.0f kB of weights   %llu tokens%s",
          tale->info.name[0] ? tale->info.name : tale->info.architecture, 1e-3 * (double)tale->info.device_bytes,
          (unsigned long long)tale->tokens, own->model_on ? "" : "   (rests)");
    draw_text(&own->over, tale->text, x, y + 18, (int)width - 24, scale);
}

/* ---- the times ------------------------------------------------------------------------------------------------------------- */

static void draw_times(scene *own, float x, float y, float width, float height)
{
    overlay *over = &own->over;
    const history *times = &own->times;
    overlay_box(over, x, y, width, height, PAPER);
    x += 12;
    y += 9;
    double limit = times->median[0] + 1e-6 * own->budget, top = 1.3 * limit; /* seconds at the upper edge of the plot */
    if (times->median[0] > 0) print(over, x, y, QUIET, "frame %.1f ms", 1e3 * times->median[0]);
    if (times->median[1] > 0) print(over, x + 92, y, BUSY, "with model %.1f ms", 1e3 * times->median[1]);
    print(over, x, y + 14, PIECE, "model's piece");
    print(over, x + 92, y + 14, LIMIT, "frame + budget of %.1f ms", 1e-3 * own->budget);
    float left = x, plot_top = y + 34, base = y - 9 + height - 10, tall = base - plot_top;
    overlay_box(over, left, base, HISTORY_SHOWN, 1, FAINT);
    size_t shown = times->count < HISTORY_SHOWN ? times->count : HISTORY_SHOWN;
    for (size_t i = 0; i < shown; i++) {
        const record *past = &times->records[(times->count - shown + i) % times->room];
        float at = left + (float)i, scale = tall / (float)top, high = (float)past->seconds * scale, piece = (float)past->piece * scale;
        if (high > tall) high = tall;
        if (high + piece > tall) piece = tall - high;
        overlay_box(over, at, base - high, 1, high, past->model ? BUSY : QUIET);
        if (piece > 0) overlay_box(over, at, base - high - piece, 1, piece, PIECE);
    }
    if (times->median[0] > 0) overlay_box(over, left, base - (float)(limit / top) * tall, HISTORY_SHOWN, 1, LIMIT);
}

void panel_draw(scene *own)
{
    float width = (float)own->target.size.width, height = (float)own->target.size.height, edge = 14;
    int scale = width >= 900 ? 2 : 1;
    float tall = (float)(LINES * FONT_LINE * scale) + 38, times = HISTORY_SHOWN + 24;
    print(&own->over, edge, edge, INK, "OneBit for Vulkan");
    print(&own->over, edge, edge + 14, FAINT, "%s, %s", own->device.properties.deviceName,
          own->device.shared ? "one queue for both" : "a queue for each");
    draw_times(own, width - edge - times, height - edge - tall, times, tall);
    draw_story(own, edge, height - edge - tall, width - 3 * edge - times, tall, scale);
}

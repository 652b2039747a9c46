#include "core/svg.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void obi_svg_put(obi_svg *svg, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof text) length = (int)sizeof text - 1;
    if (svg->status == OBI_OK && length > 0) svg->status = obi_write(&svg->writer, text, (uint64_t)length);
}

void obi_svg_put_escaped(obi_svg *svg, const char *text)
{
    for (; *text; text++) {
        if (*text == '&') obi_svg_put(svg, "&amp;");
        else if (*text == '<') obi_svg_put(svg, "&lt;");
        else if ((unsigned char)*text >= ' ') obi_svg_put(svg, "%c", *text);
    }
}

obi_status obi_svg_open(obi_svg *svg, const char *path, int width, int height, int left, const char *title)
{
    svg->status = OBI_OK;
    OBI_TRY(obi_writer_open(&svg->writer, path));
    obi_svg_put(svg,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
                "font-size=\"13\" fill=\"#333\">\n",
                width, height, width, height);
    obi_svg_put(svg, "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"30\" font-size=\"17\">", left);
    obi_svg_put_escaped(svg, title);
    obi_svg_put(svg, "</text>\n");
    return OBI_OK;
}

obi_status obi_svg_close(obi_svg *svg)
{
    obi_svg_put(svg, "</svg>\n");
    if (svg->status == OBI_OK) return obi_writer_commit(&svg->writer);
    obi_writer_abandon(&svg->writer);
    return svg->status;
}

double obi_svg_place(const obi_svg_axis *along, double value)
{
    double at = along->logarithmic ? log10(value) : value;
    return along->from + (at - along->low) / (along->high - along->low) * (along->to - along->from);
}

bool obi_svg_shown(const obi_svg_axis *along, double value) { return isfinite(value) && (!along->logarithmic || value > 0); }

/* font: the letters of stb_easy_font as pixels, in rows of cells of one size. */
#ifndef SCENE_FONT_H
#define SCENE_FONT_H

#include <stdint.h>

enum {
    FONT_CELL_WIDTH = 10,
    FONT_CELL_HEIGHT = 14,
    FONT_ACROSS = 16,
    FONT_FIRST = 32,
    FONT_SOLID = 127, /* a cell that is filled: what panels are made of */
    FONT_WIDTH = FONT_CELL_WIDTH * FONT_ACROSS,
    FONT_HEIGHT = FONT_CELL_HEIGHT * 6,
    FONT_LINE = 13 /* from line to line */
};

/* 255 where a letter is, 0 elsewhere. */
void font_draw(uint8_t pixels[FONT_HEIGHT][FONT_WIDTH]);
/* Pixels from this letter to the next; of what is no printable ASCII as of '?'. */
int font_advance(char letter);
int font_width(const char *text, int count);

#endif

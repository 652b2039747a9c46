#include "font.h"

#include <string.h>

/* A header with functions that we do not all use. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_easy_font.h>
#pragma GCC diagnostic pop

typedef struct corner { /* of a rectangle, as stb_easy_font gives them */
    float x, y, z;
    unsigned char color[4];
} corner;

void font_draw(uint8_t pixels[FONT_HEIGHT][FONT_WIDTH])
{
    memset(pixels, 0, FONT_HEIGHT * FONT_WIDTH);
    for (int letter = FONT_FIRST; letter <= FONT_SOLID; letter++) {
        int left = (letter - FONT_FIRST) % FONT_ACROSS * FONT_CELL_WIDTH, top = (letter - FONT_FIRST) / FONT_ACROSS * FONT_CELL_HEIGHT;
        corner corners[4 * 64] = { { 0 } };
        char text[] = { (char)letter, 0 };
        int count = letter == FONT_SOLID ? 0 : stb_easy_font_print(0, 0, text, NULL, corners, sizeof corners);
        for (int i = 0; i < count; i++) {
            const corner *from = &corners[4 * i], *to = &corners[4 * i + 2];
            for (int y = (int)from->y; y < (int)to->y && y < FONT_CELL_HEIGHT; y++)
                for (int x = (int)from->x; x < (int)to->x && x < FONT_CELL_WIDTH; x++) pixels[top + y][left + x] = 255;
        }
        for (int y = 0; letter == FONT_SOLID && y < FONT_CELL_HEIGHT; y++) memset(&pixels[top + y][left], 255, FONT_CELL_WIDTH);
    }
}

int font_advance(char letter)
{
    char text[] = { letter >= FONT_FIRST && letter < FONT_SOLID ? letter : '?', 0 };
    return stb_easy_font_width(text);
}

int font_width(const char *text, int count)
{
    int width = 0;
    for (int i = 0; i < count; i++) width += font_advance(text[i]);
    return width;
}

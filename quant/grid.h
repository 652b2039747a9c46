/* grid: uniform quantisation, W^ = D (k - z) with codes k of 0 .. 2^bits - 1, as round-to-nearest, GPTQ (arXiv 2210.17323) and
 * OmniQuant (arXiv 2308.13137) have it; and one linear in such codes.
 *
 * D is rounded before any code is chosen to what a file of sign planes holds (quant/planes.h), so that such a file
 * has exactly the numbers that a method computed. Codes are chosen on the host: round to nearest, ties to even. */
#ifndef OBI_QUANT_GRID_H
#define OBI_QUANT_GRID_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

#define OBI_GRID_BITS_MAX 4u
#define OBI_GRID_ZERO_MAX 1016.0f /* |z| that keeps a file's offset exact in F16: |2^b - 1 - 2 z| < 2^11, the digits of a half */

typedef struct obi_grid {
    float scale; /* D > 0 */
    float zero;  /* z, a whole number; or half of 2^bits - 1 for levels that lie evenly around 0 */
} obi_grid;

/* The grid whose levels span low .. high: D = (high - low) / (2^bits - 1), z = round(-low / D). bits from 1 to OBI_GRID_BITS_MAX.
 * OBI_ERROR_DATA when a bound is not finite or D is more than F16 holds for every plane. */
obi_status obi_grid_span(double low, double high, uint32_t bits, obi_grid *grid);

/* The grid of `count` values, each `stride` floats from the last: from the least of them and 0 to the largest and 0; of -1 to 1 when
 * all are 0. */
obi_status obi_grid_fit(const float *values, uint32_t count, uint32_t stride, uint32_t bits, obi_grid *grid);

/* D as planes of `bits` bits hold it (obi_planes_step); infinite when it is too large for them. */
float obi_grid_step(double step, uint32_t bits);

/* The code of w: clamp(round(w / D) + z, 0, 2^bits - 1). For whole z. */
uint8_t obi_grid_code(obi_grid grid, uint32_t bits, float w);
static inline float obi_grid_value(obi_grid grid, uint8_t code) { return grid.scale * ((float)code - grid.zero); }

/* What is stored of a linear's grids. */
typedef enum obi_grids {
    OBI_GRIDS_FREE = 0,     /* D and z of each */
    OBI_GRIDS_ORDERED = 1,  /* likewise, and for each column the group that it belongs to: groups are not columns in a row */
    OBI_GRIDS_CENTRED = 2,  /* all z are (2^b - 1) / 2: signs around 0; D of each row */
    OBI_GRIDS_ONE_SCALE = 3 /* likewise, but one D for the matrix, whatever `grids` repeats */
} obi_grids;

/* One linear in codes, in host memory. Zeroed is empty. */
typedef struct obi_codes {
    uint32_t rows, columns, bits; /* m, n, b */
    uint32_t group, groups;       /* columns of a group and groups of a row; one group of all columns where a row has one grid */
    uint8_t *codes;               /* (m,n) */
    obi_grid *grids;              /* (m,groups) */
    uint32_t *group_of;           /* (n) the group of a column with OBI_GRIDS_ORDERED; else NULL */
} obi_codes;

/* Room for the codes of (m,n) in groups of `group` columns (0: a grid for each row). OBI_ERROR_MEMORY. */
obi_status obi_codes_create(obi_codes *codes, uint32_t rows, uint32_t columns, uint32_t bits, uint32_t group);
void obi_codes_free(obi_codes *codes); /* also fine on a zeroed struct; leaves one */

static inline obi_grid obi_codes_grid(const obi_codes *codes, uint32_t row, uint32_t column)
{
    uint32_t group = codes->group_of ? codes->group_of[column] : column / codes->group;
    return codes->grids[(uint64_t)row * codes->groups + group];
}

/* Row `row` as numbers, (n). */
void obi_codes_row(const obi_codes *codes, uint32_t row, float *out);

/* Bits of a linear's own form: b for each weight; for each grid 16 of its scale and, unless centred, b of its zero point; 16 a column
 * where the order is stored: with OBI_GRIDS_ORDERED and more than one group. `group` as for obi_codes_create. */
double obi_codes_bits(uint32_t rows, uint32_t columns, uint32_t bits, uint32_t group, obi_grids grids);

/* What that leaves out: zeros that do not lie within 0 .. 2^b - 1, as OmniQuant may learn them. Then each zero of the linear takes the bits
 * that tell the range from the least of them to the largest apart, b or more, and 16 say where the range begins. 0 when all lie within. */
double obi_codes_wide_zero_bits(const obi_codes *codes);

/* ||W - W^||^2 of row `row`, and ||W||^2: both are added to the sums. */
void obi_codes_error(const obi_codes *codes, uint32_t row, const float *w /* (n) */, double *error, double *norm2);

#endif

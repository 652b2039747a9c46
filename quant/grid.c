#include "quant/grid.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "quant/planes.h"

float obi_grid_step(double step, uint32_t bits)
{
    double most = bits == 1 ? 65504 : ldexp(65504, 2 - (int)bits); /* that planes hold */
    return step <= most ? obi_planes_step((float)step, bits) : INFINITY;
}

obi_status obi_grid_span(double low, double high, uint32_t bits, obi_grid *grid)
{
    double top = (double)((1u << bits) - 1);
    if (!isfinite(low) || !isfinite(high)) return obi_fail(OBI_ERROR_DATA, "a weight is NaN or infinite; it cannot be quantised");
    grid->scale = obi_grid_step((high - low) / top, bits);
    if (!isfinite(grid->scale)) return obi_fail(OBI_ERROR_DATA, "weights from %g to %g are too large for scales in F16", low, high);
    float zero = rintf((float)(-low) / grid->scale);
    grid->zero = fminf(fmaxf(zero, -OBI_GRID_ZERO_MAX), OBI_GRID_ZERO_MAX);
    return OBI_OK;
}

obi_status obi_grid_fit(const float *values, uint32_t count, uint32_t stride, uint32_t bits, obi_grid *grid)
{
    float low = 0, high = 0, sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        float value = values[(uint64_t)i * stride];
        low = value < low ? value : low;
        high = value > high ? value : high;
        sum += value * 0; /* comparisons let a NaN pass unseen */
    }
    if (low == 0 && high == 0) low = -1, high = 1;
    return obi_grid_span((double)(low + sum), (double)high, bits, grid);
}

uint8_t obi_grid_code(obi_grid grid, uint32_t bits, float w)
{
    float top = (float)((1u << bits) - 1);
    float code = rintf(w / grid.scale) + grid.zero;
    return (uint8_t)(code < 0 ? 0 : code > top ? top : code);
}

/* ---- a linear in codes ----------------------------------------------------------------------------------------- */

obi_status obi_codes_create(obi_codes *codes, uint32_t rows, uint32_t columns, uint32_t bits, uint32_t group)
{
    memset(codes, 0, sizeof *codes);
    codes->rows = rows;
    codes->columns = columns;
    codes->bits = bits;
    codes->group = group > 0 && group < columns ? group : columns;
    codes->groups = (uint32_t)obi_div_ceil(columns, codes->group);
    codes->codes = obi_calloc(rows, columns);
    codes->grids = obi_calloc((size_t)rows * codes->groups, sizeof *codes->grids);
    if (codes->codes && codes->grids) return OBI_OK;
    obi_codes_free(codes);
    return OBI_ERROR_MEMORY;
}

void obi_codes_free(obi_codes *codes)
{
    obi_free(codes->codes);
    obi_free(codes->grids);
    obi_free(codes->group_of);
    memset(codes, 0, sizeof *codes);
}

void obi_codes_row(const obi_codes *codes, uint32_t row, float *out)
{
    const uint8_t *of = codes->codes + (uint64_t)row * codes->columns;
    for (uint32_t j = 0; j < codes->columns; j++) out[j] = obi_grid_value(obi_codes_grid(codes, row, j), of[j]);
}

double obi_codes_bits(uint32_t rows, uint32_t columns, uint32_t bits, uint32_t group, obi_grids grids)
{
    double weights = (double)rows * columns, groups = group > 0 ? (double)obi_div_ceil(columns, group) : 1;
    double count = grids == OBI_GRIDS_ONE_SCALE ? 1 : rows * groups;
    bool zeros = grids == OBI_GRIDS_FREE || grids == OBI_GRIDS_ORDERED;
    bool order = grids == OBI_GRIDS_ORDERED && groups > 1; /* one group has every column */
    return weights * bits + count * (16.0 + (zeros ? bits : 0)) + (order ? 16.0 * columns : 0);
}

double obi_codes_wide_zero_bits(const obi_codes *codes)
{
    float least = 0, largest = 0, top = (float)((1u << codes->bits) - 1);
    uint64_t count = (uint64_t)codes->rows * codes->groups;
    for (uint64_t i = 0; i < count; i++) {
        float zero = codes->grids[i].zero;
        least = i == 0 || zero < least ? zero : least;
        largest = i == 0 || zero > largest ? zero : largest;
    }
    if (least >= 0 && largest <= top) return 0;
    uint32_t bits = codes->bits;
    while ((float)(1u << bits) < largest - least + 1) bits++;
    return (double)count * (bits - codes->bits) + 16;
}

void obi_codes_error(const obi_codes *codes, uint32_t row, const float *w, double *error, double *norm2)
{
    const uint8_t *of = codes->codes + (uint64_t)row * codes->columns;
    for (uint32_t j = 0; j < codes->columns; j++) {
        double value = (double)w[j], off = value - (double)obi_grid_value(obi_codes_grid(codes, row, j), of[j]);
        *error += off * off;
        *norm2 += value * value;
    }
}

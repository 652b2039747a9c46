#include "ref/ref_grid.h"

#include <math.h>

static uint32_t groups_of(uint32_t n, uint32_t group) { return n / group + (n % group != 0); }

/* The clamped code of w, and whether it was clamped by the way. */
static double code_of(double quotient, double zero, uint32_t bits, double *level, int *clamped)
{
    double top = (double)((1u << bits) - 1);
    *level = rint(quotient);
    double code = *level + zero, kept = code < 0 ? 0 : code > top ? top : code;
    *clamped = kept != code;
    return kept;
}

void ref_grid_round(float *y, const float *w, const float *grids, uint32_t m, uint32_t n, uint32_t group, uint32_t bits)
{
    uint32_t groups = groups_of(n, group);
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) {
            const float *grid = grids + 2 * ((uint64_t)i * groups + j / group);
            uint64_t at = (uint64_t)i * n + j;
            double level;
            int clamped;
            double code = code_of((double)(w[at] / grid[0]), (double)grid[1], bits, &level, &clamped);
            y[at] = (float)((double)grid[0] * (code - (double)grid[1]));
        }
}

void ref_grid_round_bwd(float *d, float *dy, const float *w, const float *grids, uint32_t m, uint32_t n, uint32_t group, uint32_t bits)
{
    uint32_t groups = groups_of(n, group);
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t g = 0; g < groups; g++) {
            const float *grid = grids + 2 * ((uint64_t)i * groups + g);
            double sum = 0;
            for (uint32_t j = g * group; j < n && j < (g + 1) * group; j++) {
                uint64_t at = (uint64_t)i * n + j;
                double quotient = (double)(w[at] / grid[0]), level;
                int clamped;
                double code = code_of(quotient, (double)grid[1], bits, &level, &clamped);
                sum += (double)dy[at] * (clamped ? code - (double)grid[1] : level - quotient);
                if (clamped) dy[at] = 0;
            }
            d[(uint64_t)i * groups + g] = (float)sum;
        }
}

void ref_grid_extremes(float *low, float *high, uint32_t *low_at, uint32_t *high_at, const float *w, uint32_t m, uint32_t n, uint32_t group)
{
    uint32_t groups = groups_of(n, group);
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t g = 0; g < groups; g++) {
            uint64_t at = (uint64_t)i * groups + g;
            const float *row = w + (uint64_t)i * n;
            low_at[at] = high_at[at] = g * group;
            for (uint32_t j = g * group; j < n && j < (g + 1) * group; j++) {
                if (row[j] < row[low_at[at]]) low_at[at] = j;
                if (row[j] > row[high_at[at]]) high_at[at] = j;
            }
            low[at] = row[low_at[at]];
            high[at] = row[high_at[at]];
        }
}

#include "ref/ref_norm.h"

#include <math.h>
#include <stddef.h>

void ref_norm_rmsnorm(float *y, const float *x, const float *w, uint64_t rows, uint64_t columns, double eps)
{
    for (uint64_t r = 0; r < rows; r++) {
        const float *in = x + r * columns;
        double squares = 0;
        for (uint64_t i = 0; i < columns; i++) squares += (double)in[i] * (double)in[i];
        double scale = 1.0 / sqrt(squares / (double)columns + eps);
        for (uint64_t i = 0; i < columns; i++) y[r * columns + i] = (float)((double)in[i] * scale * (double)w[i]);
    }
}

/* w and b may be NULL: the affine part is left out. */
static void layernorm(float *y, const float *x, const float *w, const float *b, uint64_t rows, uint64_t columns, double eps)
{
    for (uint64_t r = 0; r < rows; r++) {
        const float *in = x + r * columns;
        double mean = 0, variance = 0;
        for (uint64_t i = 0; i < columns; i++) mean += (double)in[i];
        mean /= (double)columns;
        for (uint64_t i = 0; i < columns; i++) variance += ((double)in[i] - mean) * ((double)in[i] - mean);
        double scale = 1.0 / sqrt(variance / (double)columns + eps);
        for (uint64_t i = 0; i < columns; i++) {
            double normed = ((double)in[i] - mean) * scale;
            y[r * columns + i] = (float)(w ? normed * (double)w[i] + (double)b[i] : normed);
        }
    }
}

void ref_norm_layernorm(float *y, const float *x, uint64_t rows, uint64_t columns, double eps)
{
    layernorm(y, x, NULL, NULL, rows, columns, eps);
}

void ref_norm_layernorm_affine(float *y, const float *x, const float *w, const float *b, uint64_t rows, uint64_t columns, double eps)
{
    layernorm(y, x, w, b, rows, columns, eps);
}

#include "ref/ref_norm_bwd.h"

#include <math.h>

static double rms_scale(const float *x, uint64_t columns, double eps)
{
    double squares = 0;
    for (uint64_t i = 0; i < columns; i++) squares += (double)x[i] * (double)x[i];
    return 1.0 / sqrt(squares / (double)columns + eps);
}

void ref_norm_rmsnorm_bwd(float *dx, const float *dy, const float *x, const float *w, uint64_t rows, uint64_t columns, double eps,
                          bool accumulate)
{
    for (uint64_t row = 0; row < rows; row++) {
        const float *in = x + row * columns, *grad = dy + row * columns;
        double r = rms_scale(in, columns, eps), along = 0;
        for (uint64_t i = 0; i < columns; i++) along += (double)w[i] * (double)grad[i] * (double)in[i];
        along /= (double)columns;
        for (uint64_t i = 0; i < columns; i++) {
            double value = r * ((double)w[i] * (double)grad[i] - (double)in[i] * r * r * along);
            dx[row * columns + i] = (float)(accumulate ? (double)dx[row * columns + i] + value : value);
        }
    }
}

void ref_norm_rmsnorm_bwd_w(float *dw, double *sums, const float *dy, const float *x, uint64_t rows, uint64_t columns, double eps)
{
    for (uint64_t i = 0; i < columns; i++) sums[i] = (double)dw[i];
    for (uint64_t row = 0; row < rows; row++) {
        double r = rms_scale(x + row * columns, columns, eps);
        for (uint64_t i = 0; i < columns; i++) sums[i] += (double)dy[row * columns + i] * (double)x[row * columns + i] * r;
    }
    for (uint64_t i = 0; i < columns; i++) dw[i] = (float)sums[i];
}

void ref_norm_layernorm_bwd(float *dx, const float *dz, const float *x, uint64_t rows, uint64_t columns, double eps)
{
    for (uint64_t row = 0; row < rows; row++) {
        const float *in = x + row * columns, *grad = dz + row * columns;
        double count = (double)columns, mean = 0, variance = 0, grad_mean = 0, along = 0;
        for (uint64_t i = 0; i < columns; i++) mean += (double)in[i] / count;
        for (uint64_t i = 0; i < columns; i++) variance += ((double)in[i] - mean) * ((double)in[i] - mean) / count;
        double r = 1.0 / sqrt(variance + eps);
        for (uint64_t i = 0; i < columns; i++) {
            grad_mean += (double)grad[i] / count;
            along += (double)grad[i] * ((double)in[i] - mean) * r / count;
        }
        for (uint64_t i = 0; i < columns; i++)
            dx[row * columns + i] = (float)(r * ((double)grad[i] - grad_mean - ((double)in[i] - mean) * r * along));
    }
}

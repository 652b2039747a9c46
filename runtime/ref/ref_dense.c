#include "ref/ref_dense.h"

#include <stddef.h>

void ref_dense_fwd(float *y, float *squares, const float *x, const float *w, uint32_t m, uint32_t n, uint32_t T)
{
    for (uint32_t t = 0; t < T; t++) {
        for (uint32_t i = 0; i < m; i++) {
            double sum = 0, square = 0;
            for (uint32_t j = 0; j < n; j++) {
                double term = (double)w[(size_t)i * n + j] * (double)x[(size_t)t * n + j];
                sum += term;
                square += term * term;
            }
            y[(size_t)t * m + i] = (float)sum;
            if (squares) squares[(size_t)t * m + i] = (float)square;
        }
    }
}

void ref_dense_bwd_x(float *dx, float *squares, const float *dy, const float *w, uint32_t m, uint32_t n, uint32_t T)
{
    for (uint32_t t = 0; t < T; t++) {
        for (uint32_t j = 0; j < n; j++) {
            double sum = 0, square = 0;
            for (uint32_t i = 0; i < m; i++) {
                double term = (double)dy[(size_t)t * m + i] * (double)w[(size_t)i * n + j];
                sum += term;
                square += term * term;
            }
            dx[(size_t)t * n + j] = (float)sum;
            if (squares) squares[(size_t)t * n + j] = (float)square;
        }
    }
}

void ref_dense_bwd_w(float *dw, float *squares, const float *dy, const float *x, uint32_t m, uint32_t n, uint32_t T)
{
    for (uint32_t i = 0; i < m; i++) {
        for (uint32_t j = 0; j < n; j++) {
            double sum = 0, square = 0;
            for (uint32_t t = 0; t < T; t++) {
                double term = (double)dy[(size_t)t * m + i] * (double)x[(size_t)t * n + j];
                sum += term;
                square += term * term;
            }
            dw[(size_t)i * n + j] = (float)sum;
            if (squares) squares[(size_t)i * n + j] = (float)square;
        }
    }
}

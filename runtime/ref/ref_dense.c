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

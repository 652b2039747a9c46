#include "ref/ref_bitlinear.h"

#include <stddef.h>

void ref_bitlinear_fwd(float *y, const float *x, const uint32_t *words, const float *g, const float *h, uint32_t m, uint32_t n,
                       uint32_t T)
{
    size_t row_words = n / 32 + (n % 32 != 0);
    for (uint32_t t = 0; t < T; t++) {
        for (uint32_t i = 0; i < m; i++) {
            double sum = 0;
            for (uint32_t j = 0; j < n; j++) {
                float term = g[j] * x[(size_t)t * n + j];
                sum += (words[i * row_words + j / 32] >> j % 32 & 1) ? -(double)term : (double)term;
            }
            y[(size_t)t * m + i] = (float)(sum * (double)h[i]);
        }
    }
}

#include "ref/ref_int8.h"

#include <math.h>
#include <stddef.h>

void ref_int8_outliers(uint32_t *list, const float *x, uint32_t n, uint32_t T, float threshold)
{
    list[0] = 0;
    for (uint32_t j = 0; j < n; j++) {
        int outlier = 0;
        for (size_t t = 0; t < T; t++) outlier |= !(fabsf(x[t * n + j]) < threshold);
        if (outlier) list[1 + list[0]++] = j;
    }
}

void ref_int8_quantise(int8_t *q, float *steps, const float *x, const uint32_t *list, uint32_t n, uint32_t T)
{
    for (size_t t = 0; t < T; t++) {
        float top = 0;
        uint32_t k = 0;
        for (uint32_t j = 0; j < n; j++) {
            if (k < list[0] && list[1 + k] == j) k++;
            else top = fmaxf(top, fabsf(x[t * n + j]));
        }
        float scale = top >= 0x1p-100f ? 127.0f / top : 0.0f;
        steps[t] = scale > 0 ? top / 127.0f : 0.0f;
        k = 0;
        for (uint32_t j = 0; j < n; j++) {
            int listed = k < list[0] && list[1 + k] == j;
            k += (uint32_t)listed;
            q[t * n + j] = (int8_t)(listed ? 0.0f : fminf(fmaxf(rintf(x[t * n + j] * scale), -127.0f), 127.0f));
        }
    }
}

void ref_int8_fwd(float *y, const float *x, const uint32_t *list, const int8_t *q, const float *steps, const int8_t *w, const float *s,
                  uint32_t m, uint32_t n, uint32_t T)
{
    for (size_t t = 0; t < T; t++) {
        for (size_t i = 0; i < m; i++) {
            int64_t sum = 0;
            double others = 0;
            for (size_t j = 0; j < n; j++) sum += w[i * n + j] * q[t * n + j];
            for (size_t k = 1; k <= list[0]; k++) others += (double)w[i * n + list[k]] * (double)x[t * n + list[k]];
            y[t * m + i] = (float)((double)s[i] * ((double)steps[t] * (double)sum + others));
        }
    }
}

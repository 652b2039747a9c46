#include "ref/ref_svid.h"

#include <math.h>
#include <stddef.h>

static double value(float w, bool absolute) { return absolute ? fabs((double)w) : (double)w; }

static double dot_self(const float *v, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += (double)v[i] * (double)v[i];
    return sum;
}

void ref_svid_rows(float *a, const float *w, const float *b, uint32_t m, uint32_t n, bool absolute)
{
    double bb = dot_self(b, n);
    for (uint32_t i = 0; i < m; i++) {
        double sum = 0;
        for (uint32_t j = 0; j < n; j++) sum += value(w[(size_t)i * n + j], absolute) * (double)b[j];
        a[i] = bb > 0 ? (float)(sum / bb) : 0.0f;
    }
}

void ref_svid_columns(float *b, const float *w, const float *a, uint32_t m, uint32_t n, bool absolute)
{
    double aa = dot_self(a, m);
    for (uint32_t j = 0; j < n; j++) {
        double sum = 0;
        for (uint32_t i = 0; i < m; i++) sum += value(w[(size_t)i * n + j], absolute) * (double)a[i];
        b[j] = aa > 0 ? (float)(sum / aa) : 0.0f;
    }
}

double ref_svid_residual(const float *w, const float *a, const float *b, uint32_t m, uint32_t n, bool absolute)
{
    double sum = 0;
    for (uint32_t i = 0; i < m; i++) {
        for (uint32_t j = 0; j < n; j++) {
            double difference = value(w[(size_t)i * n + j], absolute) - (double)a[i] * (double)b[j];
            sum += difference * difference;
        }
    }
    return sum;
}

void ref_svid_stats(float *sums, float *squares, const float *w, uint32_t m, uint32_t n)
{
    for (uint32_t i = 0; i < m; i++) {
        double sum = 0, square = 0;
        for (uint32_t j = 0; j < n; j++) {
            double v = (double)w[(size_t)i * n + j];
            sum += fabs(v);
            square += v * v;
        }
        sums[i] = (float)sum;
        squares[i] = (float)square;
    }
}

void ref_sign_pack(uint32_t *words, const float *w, uint32_t m, uint32_t n)
{
    size_t row_words = n / 32 + (n % 32 != 0);
    for (size_t i = 0; i < m * row_words; i++) words[i] = 0;
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++)
            if (w[(size_t)i * n + j] < 0.0f) words[i * row_words + j / 32] |= UINT32_C(1) << j % 32;
}

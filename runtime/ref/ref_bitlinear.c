#include "ref/ref_bitlinear.h"

#include <math.h>
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

static double sign_of(const uint32_t *words, uint32_t n, uint32_t i, uint32_t j)
{
    size_t row_words = n / 32 + (n % 32 != 0);
    return words[i * row_words + j / 32] >> j % 32 & 1 ? -1.0 : 1.0;
}

/* top > 0 and finite. */
static float byte_scale(float top)
{
    int exponent;
    float scaled = frexpf(top, &exponent) * 128.0f, factor = scaled <= 127.0f ? 1.0f : 0.96875f;
    for (float more = 0.5f; more >= 0.0625f; more /= 2)
        if (scaled * (factor + more) <= 127.0f) factor += more;
    return ldexpf(factor, 7 - exponent);
}

void ref_quantise(int8_t *q, float *steps, const float *x, const float *g, uint32_t n, uint32_t T, uint32_t block)
{
    size_t blocks = n / block + (n % block != 0);
    for (size_t t = 0; t < T; t++) {
        for (size_t b = 0; b < blocks; b++) {
            float top = 0;
            int finite = 1;
            for (size_t j = b * block; j < (b + 1) * block && j < n; j++) {
                float u = g[j] * x[t * n + j];
                top = fmaxf(top, fabsf(u));
                finite &= isfinite(u) != 0;
            }
            float scale = finite && top >= 0x1p-100f ? byte_scale(top) : 0.0f;
            steps[t * blocks + b] = !finite ? NAN : scale > 0 ? 1.0f / scale : 0.0f;
            for (size_t j = b * block; j < (b + 1) * block; j++)
                q[t * blocks * block + j] = (int8_t)(j < n && scale > 0 ? rintf(g[j] * x[t * n + j] * scale) : 0.0f);
        }
    }
}

void ref_bitlinear_int8(float *y, const int8_t *q, const float *steps, const uint32_t *words, const float *h, uint32_t m, uint32_t n,
                        uint32_t T, uint32_t block)
{
    size_t blocks = n / block + (n % block != 0);
    for (size_t t = 0; t < T; t++) {
        for (size_t i = 0; i < m; i++) {
            double sum = 0;
            for (size_t b = 0; b < blocks; b++) {
                int whole = 0;
                for (size_t j = b * block; j < (b + 1) * block && j < n; j++)
                    whole += (int)sign_of(words, n, (uint32_t)i, (uint32_t)j) * q[t * blocks * block + j];
                sum += (double)steps[t * blocks + b] * whole;
            }
            y[t * m + i] = (float)(sum * (double)h[i]);
        }
    }
}

void ref_bitlinear_planes(float *y, const float *stack, const float *c, uint32_t m, uint32_t planes, uint32_t T)
{
    size_t rows = (size_t)planes * m + (c ? 1 : 0);
    for (size_t t = 0; t < T; t++) {
        for (size_t i = 0; i < m; i++) {
            double sum = c ? (double)c[i] * (double)stack[t * rows + (size_t)planes * m] : 0;
            for (size_t p = 0; p < planes; p++) sum += (double)stack[t * rows + p * m + i];
            y[t * m + i] = (float)sum;
        }
    }
}

void ref_sign_gemm(float *v, const float *u, const uint32_t *words, uint32_t m, uint32_t n, uint32_t T)
{
    for (uint32_t t = 0; t < T; t++) {
        for (uint32_t i = 0; i < m; i++) {
            double sum = 0;
            for (uint32_t j = 0; j < n; j++) sum += sign_of(words, n, i, j) * (double)u[(size_t)t * n + j];
            v[(size_t)t * m + i] = (float)sum;
        }
    }
}

void ref_bitlinear_bwd_x(float *du, const float *dv, const uint32_t *words, uint32_t m, uint32_t n, uint32_t T)
{
    for (uint32_t t = 0; t < T; t++) {
        for (uint32_t j = 0; j < n; j++) {
            double sum = 0;
            for (uint32_t i = 0; i < m; i++) sum += sign_of(words, n, i, j) * (double)dv[(size_t)t * m + i];
            du[(size_t)t * n + j] = (float)sum;
        }
    }
}

void ref_scale_columns(float *y, const float *x, const float *s, uint32_t T, uint32_t n)
{
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t j = 0; j < n; j++) y[(size_t)t * n + j] = x[(size_t)t * n + j] * s[j];
}

void ref_scale_matrix(float *out, const float *w, const float *h, const float *g, uint32_t m, uint32_t n)
{
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) out[(size_t)i * n + j] = w[(size_t)i * n + j] * (h[i] * g[j]);
}

void ref_column_dot(float *out, float *squares, const float *a, const float *b, uint32_t T, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        double sum = 0, square = 0;
        for (uint32_t t = 0; t < T; t++) {
            double term = (double)a[(size_t)t * n + j] * (double)b[(size_t)t * n + j];
            sum += term;
            square += term * term;
        }
        out[j] = (float)sum;
        if (squares) squares[j] = (float)square;
    }
}

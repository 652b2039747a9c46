#include "ref/ref_attn.h"

#include <float.h>
#include <math.h>
#include <string.h>

void ref_attn_rope(float *x, const float *table, uint64_t T, uint64_t heads, uint64_t C, uint64_t R, uint64_t first_position, bool pairs,
                   bool inverse)
{
    for (uint64_t t = 0; t < T; t++) {
        for (uint64_t h = 0; h < heads; h++) {
            float *head = x + (t * heads + h) * C;
            for (uint64_t i = 0; i < R / 2; i++) {
                const float *turn = table + ((first_position + t) * (R / 2) + i) * 2;
                double cosine = (double)turn[0], sine = inverse ? -(double)turn[1] : (double)turn[1];
                float *a = head + (pairs ? 2 * i : i), *b = head + (pairs ? 2 * i + 1 : i + R / 2);
                double was_a = (double)*a, was_b = (double)*b;
                *a = (float)(was_a * cosine - was_b * sine);
                *b = (float)(was_a * sine + was_b * cosine);
            }
        }
    }
}

void ref_attn_kv_int8(uint32_t *words, const float *x, uint64_t vectors, uint64_t C)
{
    for (uint64_t i = 0; i < vectors; i++, x += C) {
        uint32_t *scale_word = words++;
        float top = 0, scale = 0;
        for (uint64_t c = 0; c < C; c++) {
            if (!(fabsf(x[c]) < FLT_MAX)) scale = NAN;
            top = fmaxf(top, fabsf(x[c]));
        }
        if (!isnan(scale) && top >= 0x1p-100f) scale = top / 127.0f;
        memcpy(scale_word, &scale, 4);
        for (uint64_t c = 0; c < C; c += 4, words++) {
            *words = 0;
            for (uint64_t j = 0; j < 4 && c + j < C && scale > 0; j++)
                *words |= ((uint32_t)(int32_t)nearbyint((double)x[c + j] / (double)scale) & 255u) << (8 * j);
        }
    }
}

void ref_attn_kv_int8_back(float *x, const uint32_t *words, uint64_t vectors, uint64_t C)
{
    for (uint64_t i = 0; i < vectors; i++, words += (C + 3) / 4 + 1) {
        float scale;
        memcpy(&scale, words, 4);
        for (uint64_t c = 0; c < C; c++) *x++ = scale * (float)(int8_t)(words[1 + c / 4] >> (8 * (c % 4)) & 255u);
    }
}

/* Scores into weights[0..count), softmax in place. Returns the largest sum of |terms| of a score. */
static double softmax_scores(double *weights, uint64_t count, const float *q, const float *k, uint64_t stride, uint64_t C)
{
    double scale = 1.0 / sqrt((double)C), top = -INFINITY, total = 0, largest = 0;
    for (uint64_t p = 0; p < count; p++) {
        double score = 0, magnitude = 0;
        for (uint64_t c = 0; c < C; c++) {
            double term = (double)q[c] * (double)k[p * stride + c];
            score += term;
            magnitude += fabs(term);
        }
        weights[p] = score * scale;
        if (weights[p] > top) top = weights[p];
        if (magnitude * scale > largest) largest = magnitude * scale;
    }
    for (uint64_t p = 0; p < count; p++) total += weights[p] = exp(weights[p] - top);
    for (uint64_t p = 0; p < count; p++) weights[p] /= total;
    return largest;
}

void ref_attn_attend(float *out, const float *q, const float *k, const float *v, uint64_t T, uint64_t H, uint64_t K, uint64_t C,
                     uint64_t first_position, double *weights, float *spread, float *scores)
{
    for (uint64_t t = 0; t < T; t++) {
        for (uint64_t h = 0; h < H; h++) {
            uint64_t kv = h / (H / K), stride = K * C, row = (t * H + h) * C, count = first_position + t + 1;
            double largest = softmax_scores(weights, count, q + row, k + kv * C, stride, C);
            if (scores) scores[t * H + h] = (float)largest;
            for (uint64_t c = 0; c < C; c++) {
                double sum = 0, magnitude = 0;
                for (uint64_t p = 0; p < count; p++) {
                    double term = weights[p] * (double)v[p * stride + kv * C + c];
                    sum += term;
                    magnitude += fabs(term);
                }
                out[row + c] = (float)sum;
                if (spread) spread[row + c] = (float)magnitude;
            }
        }
    }
}

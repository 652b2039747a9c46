#include "ref/ref_attn_bwd.h"

#include <math.h>
#include <string.h>

/* weights[p] = softmax of q . k[p] scale for p < count */
static void softmax_scores(double *weights, uint64_t count, const float *q, const float *k, uint64_t stride, uint64_t C, double scale)
{
    double top = -INFINITY, total = 0;
    for (uint64_t p = 0; p < count; p++) {
        weights[p] = 0;
        for (uint64_t c = 0; c < C; c++) weights[p] += (double)q[c] * (double)k[p * stride + c] * scale;
        top = fmax(top, weights[p]);
    }
    for (uint64_t p = 0; p < count; p++) total += weights[p] = exp(weights[p] - top);
    for (uint64_t p = 0; p < count; p++) weights[p] /= total;
}

/* a . b, or the sum of its terms' magnitudes */
static double dot(const float *a, const float *b, uint64_t C, int magnitude)
{
    double sum = 0;
    for (uint64_t c = 0; c < C; c++) sum += magnitude ? fabs((double)a[c] * (double)b[c]) : (double)a[c] * (double)b[c];
    return sum;
}

static double signed_or_size(float x, int magnitude) { return magnitude ? fabs((double)x) : (double)x; }

/* Adds what query (t,h) gives. The output's part of the second dot product is sum_p weight (dout . v[p]). */
static void add_query(ref_attn_gradients to, const double *weights, const float *q, const float *k, const float *v, const float *dout,
                      uint64_t count, uint64_t q_at, uint64_t kv_at, uint64_t stride, uint64_t C, double scale, int magnitude)
{
    double delta = 0;
    for (uint64_t p = 0; p < count; p++) delta += weights[p] * dot(dout + q_at, v + kv_at + p * stride, C, magnitude);
    for (uint64_t p = 0; p < count; p++) {
        uint64_t at = kv_at + p * stride;
        double reach = dot(dout + q_at, v + at, C, magnitude);
        double a = weights[p] * (magnitude ? reach + delta : reach - delta) * scale;
        for (uint64_t c = 0; c < C; c++) {
            to.dq[q_at + c] += a * signed_or_size(k[at + c], magnitude);
            to.dk[at + c] += a * signed_or_size(q[q_at + c], magnitude);
            to.dv[at + c] += weights[p] * signed_or_size(dout[q_at + c], magnitude);
        }
    }
}

static void clear(ref_attn_gradients gradients, uint64_t T, uint64_t H, uint64_t K, uint64_t C)
{
    memset(gradients.dq, 0, T * H * C * sizeof(double));
    memset(gradients.dk, 0, T * K * C * sizeof(double));
    memset(gradients.dv, 0, T * K * C * sizeof(double));
}

void ref_attn_bwd(ref_attn_gradients gradients, const ref_attn_gradients *sizes, double *weights, const float *q, const float *k,
                  const float *v, const float *dout, uint64_t T, uint64_t H, uint64_t K, uint64_t C)
{
    double scale = 1.0 / sqrt((double)C);
    clear(gradients, T, H, K, C);
    if (sizes) clear(*sizes, T, H, K, C);
    for (uint64_t t = 0; t < T; t++) {
        for (uint64_t h = 0; h < H; h++) {
            uint64_t q_at = (t * H + h) * C, kv_at = h / (H / K) * C, stride = K * C;
            softmax_scores(weights, t + 1, q + q_at, k + kv_at, stride, C, scale);
            add_query(gradients, weights, q, k, v, dout, t + 1, q_at, kv_at, stride, C, scale, 0);
            if (sizes) add_query(*sizes, weights, q, k, v, dout, t + 1, q_at, kv_at, stride, C, scale, 1);
        }
    }
}

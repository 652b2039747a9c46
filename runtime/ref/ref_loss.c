#include "ref/ref_loss.h"

#include <math.h>

#define NO_TARGET 0xffffffffu
#define NO_DIRECTION 1e-30 /* squared norms below this count as zero */

static double highest(const float *x, uint64_t count)
{
    double top = -INFINITY;
    for (uint64_t i = 0; i < count; i++) top = fmax(top, (double)x[i]);
    return top;
}

static double log_sum_exp(const float *x, uint64_t count)
{
    double top = highest(x, count), total = 0;
    for (uint64_t i = 0; i < count; i++) total += exp((double)x[i] - top);
    return top + log(total);
}

void ref_loss_xent(double *loss, float *dlogits, const float *logits, const uint32_t *targets, uint64_t T, uint64_t V, double scale)
{
    for (uint64_t t = 0; t < T; t++) {
        const float *row = logits + t * V;
        float *gradient = dlogits + t * V;
        uint64_t target = targets[t];
        double all = log_sum_exp(row, V);
        loss[t] = target < V ? all - (double)row[target] : 0;
        for (uint64_t i = 0; i < V; i++)
            gradient[i] = target < V ? (float)((exp((double)row[i] - all) - (i == target ? 1 : 0)) * scale) : 0;
    }
}

void ref_loss_kd_xent(double *loss, float *dstudent, const float *student, const float *teacher, const uint32_t *mask, uint64_t T,
                      uint64_t V, double scale)
{
    for (uint64_t t = 0; t < T; t++) {
        const float *s_row = student + t * V, *t_row = teacher + t * V;
        double s_all = log_sum_exp(s_row, V), t_all = log_sum_exp(t_row, V), divergence = 0, entropy = 0;
        for (uint64_t i = 0; i < V; i++) {
            double log_q = (double)s_row[i] - s_all, log_p = (double)t_row[i] - t_all, p = exp(log_p);
            divergence += p * (log_p - log_q);
            entropy -= p * log_p;
            dstudent[t * V + i] = mask[t] == NO_TARGET ? 0 : (float)((exp(log_q) - p) * scale);
        }
        loss[2 * t] = mask[t] == NO_TARGET ? 0 : divergence;
        loss[2 * t + 1] = mask[t] == NO_TARGET ? 0 : entropy;
    }
}

static double squared_norm(const float *x, uint64_t count)
{
    double sum = 0;
    for (uint64_t i = 0; i < count; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}

void ref_loss_hidden_cos(double *loss, float *dh, const float *student, const float *teacher, uint64_t T, uint64_t D, double scale)
{
    for (uint64_t r = 0; r < T; r++) {
        const float *s = student + r * D, *t = teacher + r * D;
        double s_square = squared_norm(s, D), t_square = squared_norm(t, D), cosine = 0;
        loss[r] = 0;
        if (s_square < NO_DIRECTION || t_square < NO_DIRECTION) continue;
        double s_norm = sqrt(s_square), t_norm = sqrt(t_square);
        for (uint64_t i = 0; i < D; i++) cosine += (double)s[i] / s_norm * ((double)t[i] / t_norm);
        for (uint64_t i = 0; i < D; i++) {
            double s_unit = (double)s[i] / s_norm, t_unit = (double)t[i] / t_norm;
            loss[r] += (s_unit - t_unit) * (s_unit - t_unit);
            dh[r * D + i] = (float)((double)dh[r * D + i] - 2 * scale * (t_unit - cosine * s_unit) / s_norm);
        }
    }
}

void ref_loss_hidden_mse(double *loss, float *dh, const float *student, const float *teacher, uint64_t T, uint64_t D, double scale)
{
    double power = squared_norm(teacher, T * D) / (double)T;
    for (uint64_t r = 0; r < T; r++) {
        loss[r] = 0;
        if (power < NO_DIRECTION) continue;
        for (uint64_t i = 0; i < D; i++) {
            double difference = (double)student[r * D + i] - (double)teacher[r * D + i];
            loss[r] += difference * difference / power;
            dh[r * D + i] = (float)((double)dh[r * D + i] + 2 * scale * difference / power);
        }
    }
}

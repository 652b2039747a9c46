#include "ref/ref_optim.h"

#include <math.h>

void ref_optim_adamw(float *w, const float *dw, float *m, float *v, uint64_t count, const ref_optim_adamw_step *step)
{
    double lr = (double)step->lr, beta1 = (double)step->beta1, beta2 = (double)step->beta2;
    for (uint64_t i = 0; i < count; i++) {
        double g = (double)dw[i] * (double)step->grad_scale, weight = (double)w[i];
        double first = beta1 * (double)m[i] + (1 - beta1) * g;
        double second = beta2 * (double)v[i] + (1 - beta2) * g * g;
        double change = lr * (first / (double)step->c1) / (sqrt(second / (double)step->c2) + (double)step->eps);
        w[i] = (float)(weight - lr * (double)step->weight_decay * weight - change);
        m[i] = (float)first;
        v[i] = (float)second;
    }
}

double ref_optim_sumsq(const float *x, uint64_t count, uint64_t *bad)
{
    double sum = 0;
    *bad = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (isfinite(x[i])) sum += (double)x[i] * (double)x[i];
        else ++*bad;
    }
    return sum;
}

double ref_optim_tie(const float *x, uint64_t count)
{
    double sum = 0;
    for (uint64_t i = 0; i < count; i++) sum += (double)x[i];
    return sum;
}

double ref_optim_estimator(double w, uint32_t kind, double alpha)
{
    double slope = kind == 3 ? tanh(alpha * w) : tanh(w);
    switch (kind) {
    case 0: return 1.001 - slope * slope;
    case 1: return 1;
    case 2: return fabs(w) < alpha ? 1 : 0;
    default: return alpha * (1 - slope * slope);
    }
}

double ref_optim_step(double step)
{
    int exponent;
    if (!(step > 0x1p-23)) return 0x1p-23;
    if (step >= 16376) return 16376;
    frexp(step, &exponent); /* step = [.5, 1) 2^exponent */
    double unit = fmax(ldexp(1, exponent - 11), 0x1p-23);
    return nearbyint(step / unit) * unit;
}

double ref_optim_level(double w, double step, uint32_t kind, uint32_t bits)
{
    double x = w / step;
    if (kind == 0) return nearbyint(x) * step;
    if (bits == 1) return w < 0 ? -step / 2 : step / 2;
    return (nearbyint(fmax(-1.98, fmin(1.98, x)) - 0.5) + 0.5) * step;
}

void ref_optim_fake_quant(float *q, float *step, const float *w, uint32_t columns, uint32_t kind, uint32_t bits)
{
    double most = 0, sum = 0;
    for (uint32_t j = 0; j < columns; j++) {
        most = fmax(most, fabs((double)w[j]));
        sum += fabs((double)w[j]);
    }
    *step = (float)ref_optim_step(kind == 0 ? most / (double)((1u << (bits - 1)) - 1) : (bits == 1 ? 2 : 1) * sum / columns);
    for (uint32_t j = 0; j < columns; j++) q[j] = (float)ref_optim_level((double)w[j], (double)*step, kind, bits);
}

uint64_t ref_optim_flips(const uint32_t *a, const uint32_t *b, uint64_t count)
{
    uint64_t flips = 0;
    for (uint64_t i = 0; i < count; i++)
        for (uint32_t bits = a[i] ^ b[i]; bits != 0; bits &= bits - 1) flips++;
    return flips;
}

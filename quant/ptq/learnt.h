/* learnt: a number that AdamW learns on the host, without decay (beta 0.9 and 0.999, eps 1e-8). */
#ifndef OBI_QUANT_PTQ_LEARNT_H
#define OBI_QUANT_PTQ_LEARNT_H

#include <math.h>
#include <stdint.h>

typedef struct obi_learnt {
    double value, m, v;
} obi_learnt;

/* Step `step`, counted from 1. */
static inline void obi_learnt_step(obi_learnt *of, double gradient, double rate, uint64_t step)
{
    const double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
    double c1 = 1 - pow(beta1, (double)step), c2 = 1 - pow(beta2, (double)step);
    of->m = beta1 * of->m + (1 - beta1) * gradient;
    of->v = beta2 * of->v + (1 - beta2) * gradient * gradient;
    of->value -= rate * (of->m / c1) / (sqrt(of->v / c2) + eps);
}

#endif

/* ref_optim: scalar references of the optimiser: the specification of shaders/optim. */
#ifndef OBI_REF_OPTIM_H
#define OBI_REF_OPTIM_H

#include <stdint.h>

typedef struct ref_optim_adamw_step {
    float lr, beta1, beta2, eps, weight_decay;
    float c1, c2;     /* 1 - beta1^step, 1 - beta2^step */
    float grad_scale; /* g = grad_scale * dw */
} ref_optim_adamw_step;

/* AdamW (Loshchilov and Hutter 2019): m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
 * w = w - lr weight_decay w - lr (m / c1) / (sqrt(v / c2) + eps), each of `count` elements. */
void ref_optim_adamw(float *w, const float *dw, float *m, float *v, uint64_t count, const ref_optim_adamw_step *step);

/* The sum of the squares of the finite x; *bad = how many are infinite or NaN. */
double ref_optim_sumsq(const float *x, uint64_t count, uint64_t *bad);

/* The sum of x, which training puts in the place of each: the gradient of one parameter that stands `count` times. */
double ref_optim_tie(const float *x, uint64_t count);

/* e(w), which training multiplies the gradient of sign(w) by to have one of w. kind 0: 1.001 - tanh(w)^2 (OneBit);
 * 1: one (Bengio et al. 2013); 2: |w| < alpha ? 1 : 0; 3: alpha (1 - tanh(alpha w)^2). */
double ref_optim_estimator(double w, uint32_t kind, double alpha);

/* Weights at evenly spaced levels that a few bits can name, a row at a time (LLM-QAT, arXiv 2305.17888): *step = the row's D,
 * q (columns) the levels.
 * kind 0, min-max around 0: D = max |w| / (2^(bits-1) - 1), q = round(w / D) D.
 * kind 1, by the mean: 1 bit has D = 2 mean |w|, q = sign(w) D / 2; 2 bits have D = mean |w| (LLM-QAT's s is 2 D) and the levels
 * D {-1.5, -.5, .5, 1.5}, q = (round(clamp(w / D, -1.98, 1.98) - .5) + .5) D. round is to even, sign(0) = 1.
 * D is rounded before levels are chosen (ref_optim_step). */
void ref_optim_fake_quant(float *q, float *step, const float *w, uint32_t columns, uint32_t kind, uint32_t bits);

/* The step nearest to D that a file of sign planes holds exactly, as D and D / 2 in halves: 11 digits of base 2, or multiples of
 * 2^-23 where those are finer, from 2^-23 to 16376. */
double ref_optim_step(double step);

/* The level of w in a row of step D. */
double ref_optim_level(double w, double step, uint32_t kind, uint32_t bits);

/* How many bits of the words differ. */
uint64_t ref_optim_flips(const uint32_t *a, const uint32_t *b, uint64_t count);

#endif

/* case_norm: error bounds of normalised rows, for the cases of all kernels that normalise. */
#ifndef OBI_SELFTEST_CASE_NORM_H
#define OBI_SELFTEST_CASE_NORM_H

#include <stdint.h>

#define OBI_CASE_NORM_EPS 1e-5f

/* Roundings in a row's sum: a lane adds every 32nd element or fewer, then the lanes are joined in at most 32 steps. */
double obi_case_sum_steps(uint32_t n);

/* Of y = LayerNorm(x) with OBI_CASE_NORM_EPS, both (T,n). y = d * s with d = (x - pivot) - mean'. d is off by at most
 * e = (steps mean|x - pivot| + 2 |x - pivot|) u. The shift e is common to all d but for their own roundings, and sum d = 0, so
 * it enters the variance only squared; s is off relatively by (steps/2 + 12) u + e s. Together
 * |dy| <= e s (1 + |y|) + |y| (steps/2 + 12) u. */
void obi_case_layernorm_tolerance(float *tolerance, const float *x, const float *y, uint32_t T, uint32_t n);

#endif

/* ref_int8: scalar references of products with rows of bytes: the specification of shaders/int8. LLM.int8(), arXiv 2208.07339,
 * section 3: vector-wise absmax quantisation with a mixed-precision decomposition; the outliers' weights come from the same bytes.
 * Needs libm only. */
#ifndef OBI_REF_INT8_H
#define OBI_REF_INT8_H

#include <stdint.h>

/* list[0] = how many columns have an element of x (T,n) whose size is not below the threshold; list[1 ..] those columns, rising. */
void ref_int8_outliers(uint32_t *list /* (1 + n) */, const float *x, uint32_t n, uint32_t T, float threshold);

/* Over the columns that are not in the list: steps[t] = max |x[t,j]| / 127 and q[t,j] = x[t,j] * (127 / max |x[t,j]|), to the nearest
 * integer (ties to even). 0 in the listed columns, and for tokens below 2^-100 everywhere, whose step is 0. */
void ref_int8_quantise(int8_t *q /* (T,n) */, float *steps /* (T) */, const float *x, const uint32_t *list, uint32_t n, uint32_t T);

/* y[t,i] = s[i] * (steps[t] * sum over j of w[i,j] * q[t,j] + sum over listed j of w[i,j] * x[t,j]). Sums are exact, or double. */
void ref_int8_fwd(float *y /* (T,m) */, const float *x, const uint32_t *list, const int8_t *q, const float *steps,
                  const int8_t *w /* (m,n) */, const float *s /* (m) */, uint32_t m, uint32_t n, uint32_t T);

#endif

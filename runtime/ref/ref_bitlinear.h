/* ref_bitlinear: the specification of the packed-sign linear layer, in plain C. Needs libm only. */
#ifndef OBI_REF_BITLINEAR_H
#define OBI_REF_BITLINEAR_H

#include <stdint.h>

/* y[t,i] = h[i] * sum over j of S[i,j] * (g[j] * x[t,j]), S = -1 where the bit is 1, else +1.
 * OneBit, arXiv 2402.11295, eq. 3-5 (the sums are bracketed so that S * h * g is never made).
 *
 * y (T,m), x (T,n), g (n), h (m). words: m rows of ceil(n/32) words, column 32c+k in bit k of word c; bits past column n
 * do not matter. Terms are rounded to float as a kernel rounds them, sums are double. */
void ref_bitlinear_fwd(float *y, const float *x, const uint32_t *words, const float *g, const float *h, uint32_t m, uint32_t n,
                       uint32_t T);

#endif

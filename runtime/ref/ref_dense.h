/* ref_dense: the specification of the plain linear layer, in plain C. Needs libm only. */
#ifndef OBI_REF_DENSE_H
#define OBI_REF_DENSE_H

#include <stdint.h>

/* y[t,i] = sum over j of W[i,j] * x[t,j].   y (T,m), W (m,n), x (T,n). Sums are double.
 * squares (T,m), unless NULL, gets sum over j of (W[i,j] * x[t,j])^2: what the error of a float sum is measured by. */
void ref_dense_fwd(float *y, float *squares, const float *x, const float *w, uint32_t m, uint32_t n, uint32_t T);

#endif

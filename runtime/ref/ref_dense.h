/* ref_dense: the specification of the plain linear layer, in plain C. Needs libm only. */
#ifndef OBI_REF_DENSE_H
#define OBI_REF_DENSE_H

#include <stdint.h>

/* y[t,i] = sum over j of W[i,j] * x[t,j].   y (T,m), W (m,n), x (T,n). Sums are double.
 * squares (T,m), unless NULL, gets sum over j of (W[i,j] * x[t,j])^2: what the error of a float sum is measured by. */
void ref_dense_fwd(float *y, float *squares, const float *x, const float *w, uint32_t m, uint32_t n, uint32_t T);

/* The gradients of a loss L where dy[t,i] = dL/dy[t,i] (chain rule on the line above). squares as above.
 *   dx[t,j] = sum over i of dy[t,i] * W[i,j]      dx (T,n)
 *   dw[i,j] = sum over t of dy[t,i] * x[t,j]      dw (m,n) */
void ref_dense_bwd_x(float *dx, float *squares, const float *dy, const float *w, uint32_t m, uint32_t n, uint32_t T);
void ref_dense_bwd_w(float *dw, float *squares, const float *dy, const float *x, uint32_t m, uint32_t n, uint32_t T);

#endif

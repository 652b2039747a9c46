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

/* The same with u = g * x in signed bytes. A block of columns of a token, 32 in family int8, has one scale, so that one large
 * activation costs its neighbours there their precision and no others: q[j] = u[j] * scale, rounded to the nearest integer (ties to even), and
 *   y[t,i] = h[i] * sum over blocks of 1 / scale * sum over j of S[i,j] * q[j]
 * scale is 127 / max|u| cut to five significant bits, so that |q| <= 127 and every multiplication is the same on every
 * machine: max|u| is first brought into [64, 128) by a power of two. From 127 up the scale is 31/32 of that power; below it
 * is 1, 17/16, .. or 31/16 times it, the largest with which max|u| stays within 127. Blocks below 2^-100 count as 0.
 * Infinities and NaNs make the y of their token NaN.
 *
 * q (T, block * ceil(n/block)), steps (T, ceil(n/block)): 1 / scale, 0 of a block of zeros. */
void ref_quantise(int8_t *q, float *steps, const float *x, const float *g, uint32_t n, uint32_t T, uint32_t block);
void ref_bitlinear_int8(float *y, const int8_t *q, const float *steps, const uint32_t *words, const float *h, uint32_t m, uint32_t n,
                        uint32_t T, uint32_t block);

/* Outputs of a linear of several sign planes from the products of each, y[t,i] = sum over p of stack[t, p m + i], and with c (m; NULL: none)
 * + c[i] * stack[t, planes m], where the stack's last row is the sum of the inputs (docs/format.md: uniform codes as signs).
 *
 * y (T,m), stack (T, planes m), or (T, planes m + 1) with c. Sums are double. */
void ref_bitlinear_planes(float *y, const float *stack, const float *c, uint32_t m, uint32_t planes, uint32_t T);

/* The steps of the same layer for training, where U = x * g and V are kept (chain rule on eq. 3-5; sums are double):
 *   V[t,i]  = sum over j of S[i,j] * u[t,j]       v (T,m), u (T,n)
 *   dU[t,j] = sum over i of dv[t,i] * S[i,j]      du (T,n), dv (T,m)
 *   y[t,j]  = x[t,j] * s[j]                       U = X * g, dV = dY * h, dX = dU * g
 *   out[j]  = sum over t of a[t,j] * b[t,j]       dg of dU and X, dh of dY and V; squares as in ref_dense.h */
void ref_sign_gemm(float *v, const float *u, const uint32_t *words, uint32_t m, uint32_t n, uint32_t T);
void ref_bitlinear_bwd_x(float *du, const float *dv, const uint32_t *words, uint32_t m, uint32_t n, uint32_t T);
void ref_scale_columns(float *y, const float *x, const float *s, uint32_t T, uint32_t n);

/* out[i,j] = w[i,j] * (h[i] * g[j]): of signs w the weight that a 1-bit layer never makes, S * (h g^T), with the 2 m n multiplications
 * that this takes. Shape (m,n). */
void ref_scale_matrix(float *out, const float *w, const float *h, const float *g, uint32_t m, uint32_t n);
void ref_column_dot(float *out, float *squares, const float *a, const float *b, uint32_t T, uint32_t n);

#endif

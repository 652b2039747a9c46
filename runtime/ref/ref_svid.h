/* ref_svid: the specification of the kernels behind SVID (sign-value-independent decomposition), in plain C.
 *
 * OneBit, arXiv 2402.11295, section 3.2: W is approximated by sign(W) * (a bT), a bT the best rank-1 approximation of |W|.
 * Because ||W - sign(W)*(a bT)|| = || |W| - a bT ||, alternating least squares on |W| finds it:
 *     a = |W| b / (b.b),   b = |W|T a / (a.a).
 * V below is |W| when `absolute`, else W. W is (m,n), a (m), b (n). Needs libm only. */
#ifndef OBI_REF_SVID_H
#define OBI_REF_SVID_H

#include <stdbool.h>
#include <stdint.h>

void ref_svid_rows(float *a, const float *w, const float *b, uint32_t m, uint32_t n, bool absolute);    /* V b / (b.b); 0 when b = 0 */
void ref_svid_columns(float *b, const float *w, const float *a, uint32_t m, uint32_t n, bool absolute); /* VT a / (a.a); 0 when a = 0 */

/* sum over i, j of (V[i,j] - a[i] b[j])^2 */
double ref_svid_residual(const float *w, const float *a, const float *b, uint32_t m, uint32_t n, bool absolute);

/* sums[i] = sum over j of |W[i,j]|, squares[i] = sum over j of W[i,j]^2 */
void ref_svid_stats(float *sums, float *squares, const float *w, uint32_t m, uint32_t n);

/* Bit k of words[i,c] is 1 where W[i,32c+k] < 0; 0 for zeros of either sign, NaN and past the last column.
 * words: m rows of ceil(n/32). */
void ref_sign_pack(uint32_t *words, const float *w, uint32_t m, uint32_t n);

#endif

/* ref_attn_bwd: scalar reference of attention's gradient: the specification of shaders/attn's backward kernels. */
#ifndef OBI_REF_ATTN_BWD_H
#define OBI_REF_ATTN_BWD_H

#include <stdint.h>

typedef struct ref_attn_gradients {
    double *dq; /* (T,H,C) */
    double *dk; /* (T,K,C) */
    double *dv; /* (T,K,C) */
} ref_attn_gradients;

/* The gradient of ref_attn_attend with first_position 0, for the gradient dout of its output. With p = softmax of
 * s = q k / sqrt(C), as there, and over the tokens t that see a position and the heads h that share a key head:
 *     a[t,h,p] = p (dout[t,h] . v[p] - dout[t,h] . out[t,h])       the gradient of s
 *     dq[t,h] = sum_p a k[p] / sqrt(C)   dk[p] = sum_t,h a q[t,h] / sqrt(C)   dv[p] = sum_t,h p dout[t,h]
 * `weights` has room for T doubles. If `sizes` is given, it gets the same sums with the magnitude of every factor and
 * term, the two dot products included: what error bounds are made of. */
void ref_attn_bwd(ref_attn_gradients gradients, const ref_attn_gradients *sizes, double *weights, const float *q /* (T,H,C) */,
                  const float *k /* (T,K,C) */, const float *v /* (T,K,C) */, const float *dout /* (T,H,C) */, uint64_t T, uint64_t H,
                  uint64_t K, uint64_t C);

#endif

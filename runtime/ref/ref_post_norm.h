/* ref_post_norm: scalar references of what follows a projection: the specification of shaders/post_norm. N is OneBit's norm
 * of a projection's rows (ref_norm_layernorm), or nothing where `post` is false. */
#ifndef OBI_REF_POST_NORM_H
#define OBI_REF_POST_NORM_H

#include <stdbool.h>
#include <stdint.h>

/* x += N(p); normed = RMSNorm(x) with w. p is overwritten by N(p). */
void ref_post_norm_residual(float *x /* (rows,columns) */, float *normed /* (rows,columns) */, float *p /* (rows,columns) */,
                            const float *w /* (columns) */, uint64_t rows, uint64_t columns, bool post, double post_eps, double eps);

/* gate = silu(N(gate)) * N(up). up is overwritten by N(up). */
void ref_post_norm_swiglu(float *gate /* (rows,columns) */, float *up /* (rows,columns) */, uint64_t rows, uint64_t columns, bool post,
                          double post_eps);

/* q = rope(N(q)), k = rope(N(k)), v = N(v), of tokens at first_position and after. */
void ref_post_norm_qkv(float *q /* (T,H,C) */, float *k /* (T,K,C) */, float *v /* (T,K,C) */, const float *table /* (positions,R/2,2) */,
                       uint64_t T, uint64_t H, uint64_t K, uint64_t C, uint64_t R, uint64_t first_position, bool pairs, bool post,
                       double post_eps);

#endif

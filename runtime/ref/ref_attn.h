/* ref_attn: scalar references of rotary positions and attention: the specification of shaders/attn. */
#ifndef OBI_REF_ATTN_H
#define OBI_REF_ATTN_H

#include <stdbool.h>
#include <stdint.h>

/* Turns the pairs of the first R elements of each head in place (Su et al. 2021): a' = a cos - b sin, b' = a sin + b cos.
 * Pair i is (i, i + R/2), or (2i, 2i+1) when `pairs`. The table holds cos and sin of position first_position + t. */
void ref_attn_rope(float *x /* (T,heads,C) */, const float *table /* (positions,R/2,2) */, uint64_t T, uint64_t heads, uint64_t C,
                   uint64_t R, uint64_t first_position, bool pairs, bool inverse);

/* Each vector of C as (C + 3) / 4 + 1 words: its scale, an f32, and signed bytes, four a word, the first in the low bits, zeros behind
 * the last. scale = max |x| / 127 in f32, byte = x / scale rounded to the nearest, ties to even. Where all |x| < 2^-100 scale and bytes
 * are 0. A NaN, an infinity or an |x| of FLT_MAX poisons its vector and no other: the scale is NaN, the bytes are 0. A kernel may divide
 * less exactly, and so round a tie the other way. */
void ref_attn_kv_int8(uint32_t *words, const float *x /* (vectors,C) */, uint64_t vectors, uint64_t C);
/* What such words stand for: scale * byte. */
void ref_attn_kv_int8_back(float *x /* (vectors,C) */, const uint32_t *words, uint64_t vectors, uint64_t C);

/* out[t,h] = sum_p softmax_p(q[t,h] . k[p,h'] / sqrt(C)) v[p,h'] over p <= first_position + t, with h' = h / (H/K)
 * (Vaswani et al. 2017; shared key heads: Ainslie et al. 2023). `weights` has room for first_position + T doubles.
 * If `spread` is given, spread[t,h,c] = sum_p softmax_p |v[p,h',c]|, and `scores`[t,h] = max_p sum_c |q k| / sqrt(C): what
 * error bounds are made of. */
void ref_attn_attend(float *out /* (T,H,C) */, const float *q /* (T,H,C) */, const float *k /* (context,K,C) */,
                     const float *v /* (context,K,C) */, uint64_t T, uint64_t H, uint64_t K, uint64_t C, uint64_t first_position,
                     double *weights, float *spread, float *scores);

#endif

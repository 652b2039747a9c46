/* ref_rate: scalar reference of shaders/rate. */
#ifndef OBI_REF_RATE_H
#define OBI_REF_RATE_H

#include <stdint.h>

/* out[i] = sum over c < 12 of chain c: it starts as (i mod 256) / 256 + c and becomes factor * x + term, 4 * turns times. */
void ref_rate_multiply_add(float *out, uint64_t count, uint32_t turns, float factor, float term);

#endif

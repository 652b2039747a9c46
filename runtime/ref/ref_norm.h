/* ref_norm: scalar references of the norms: the specification of shaders/norm. */
#ifndef OBI_REF_NORM_H
#define OBI_REF_NORM_H

#include <stdint.h>

/* y[r,i] = x[r,i] * w[i] / sqrt(mean_i x[r,i]^2 + eps)   (Zhang and Sennrich 2019, as in LLaMA) */
void ref_norm_rmsnorm(float *y /* (rows,columns) */, const float *x /* (rows,columns) */, const float *w /* (columns) */, uint64_t rows,
                      uint64_t columns, double eps);

/* y[r,i] = (x[r,i] - mean) / sqrt(variance + eps), the variance with divisor `columns`   (Ba et al. 2016, without the
 * affine part; OneBit's norm after each layer) */
void ref_norm_layernorm(float *y /* (rows,columns) */, const float *x /* (rows,columns) */, uint64_t rows, uint64_t columns, double eps);

/* y[r,i] = (x[r,i] - mean) / sqrt(variance + eps) * w[i] + b[i]   (Ba et al. 2016, as in OPT) */
void ref_norm_layernorm_affine(float *y /* (rows,columns) */, const float *x /* (rows,columns) */, const float *w /* (columns) */,
                               const float *b /* (columns) */, uint64_t rows, uint64_t columns, double eps);

#endif

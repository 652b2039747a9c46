/* ref_norm_bwd: scalar references of the norms' gradients: the specification of shaders/norm's backward kernels. */
#ifndef OBI_REF_NORM_BWD_H
#define OBI_REF_NORM_BWD_H

#include <stdbool.h>
#include <stdint.h>

/* For y = x w r, r = 1 / sqrt(mean x^2 + eps), of each row:
 * dx[i] = r (w[i] dy[i] - x[i] r^2 mean_j(w[j] dy[j] x[j])), or added to dx when `accumulate`. */
void ref_norm_rmsnorm_bwd(float *dx /* (rows,columns) */, const float *dy /* (rows,columns) */, const float *x /* (rows,columns) */,
                          const float *w /* (columns) */, uint64_t rows, uint64_t columns, double eps, bool accumulate);

/* dw[i] += sum over rows of dy[i] x[i] r. `sums` is room for `columns` doubles. */
void ref_norm_rmsnorm_bwd_w(float *dw /* (columns) */, double *sums, const float *dy /* (rows,columns) */,
                            const float *x /* (rows,columns) */, uint64_t rows, uint64_t columns, double eps);

/* For z = (x - mean) r, r = 1 / sqrt(variance + eps), of each row: dx = r (dz - mean(dz) - z mean(dz z)). dx may be dz. */
void ref_norm_layernorm_bwd(float *dx /* (rows,columns) */, const float *dz /* (rows,columns) */, const float *x /* (rows,columns) */,
                            uint64_t rows, uint64_t columns, double eps);

#endif

/* op_norm: normalisation of rows. Failures (a view too small, rows too long) are kept in the cmd. */
#ifndef OBI_OPS_OP_NORM_H
#define OBI_OPS_OP_NORM_H

#include "ops/op_act.h"

/* y = x * w / sqrt(mean(x^2) + eps), row by row. y must not overlap x. n up to a million. */
void obi_op_rmsnorm_fwd(obi_cmd *cmd, obi_view y /* (T,n) */, obi_view x /* (T,n) */, obi_view w /* (n) */, uint32_t T, uint32_t n,
                        float eps);

/* y = (x - mean) / sqrt(variance + eps), row by row, without an affine part. y may be x. */
void obi_op_layernorm_fwd(obi_cmd *cmd, obi_view y /* (T,n) */, obi_view x /* (T,n) */, uint32_t T, uint32_t n, float eps);

/* y = (x - mean) / sqrt(variance + eps) * w + b, row by row. y may be x. */
void obi_op_layernorm_affine_fwd(obi_cmd *cmd, obi_view y /* (T,n) */, obi_view x /* (T,n) */, obi_view w /* (n) */, obi_view b /* (n) */,
                                 uint32_t T, uint32_t n, float eps);

/* What follows OPT's 1-bit layers: s = (x - mean) / sqrt(variance + eps) + b, row by row, and of s what obi_op_bias_fwd makes. y may be x,
 * but where s is added to it; x may be overwritten. */
void obi_op_layernorm_bias_fwd(obi_cmd *cmd, obi_view y /* (T,n) */, obi_view x /* (T,n) */, obi_view b /* (n) */, uint32_t T, uint32_t n,
                               float eps, obi_bias_then then);

#endif

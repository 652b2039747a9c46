/* op_post_norm: what follows a projection: OneBit's norm of its rows, N (obi_op_layernorm_fwd; nothing where post_eps is
 * negative), and what the model does next, in one dispatch. On a software driver many rows go through the separate kernels,
 * which are faster there; the results are those of the separate ops up to rounding. Failures are kept in the cmd. */
#ifndef OBI_OPS_OP_POST_NORM_H
#define OBI_OPS_OP_POST_NORM_H

#include "ops/op_attn.h"

#define OBI_POST_NORM_NONE -1.0f /* as post_eps */

/* x += N(p), then normed = x * w / sqrt(mean(x^2) + eps), row by row. p may be overwritten; no view may overlap another. */
void obi_op_post_residual_fwd(obi_cmd *cmd, obi_view x /* (T,n) */, obi_view normed /* (T,n) */, obi_view p /* (T,n) */,
                              obi_view w /* (n) */, uint32_t T, uint32_t n, float post_eps, float eps);

/* gate = N(gate) * sigmoid(N(gate)) * N(up). up may be overwritten. */
void obi_op_post_swiglu_fwd(obi_cmd *cmd, obi_view gate /* (T,n) */, obi_view up /* (T,n) */, uint32_t T, uint32_t n, float post_eps);

/* Where attention begins, and what it turns. */
typedef struct obi_post_qkv {
    uint32_t T, H, K, C, R; /* tokens, heads, key heads, elements of a head (even), and of those the turned ones */
    uint32_t first_position, context;
    uint32_t place; /* as of obi_attn_range: behind the start of qkv; T = 1 */
    obi_rope_layout layout;
    float post_eps;
} obi_post_qkv;

/* N of each row of q, k and v, which are parts of `qkv` (obi_attn_parts of T tokens); then q is turned in place, k turned into
 * rows first_position.. of the cache's keys, v stored there in its values. table as for obi_op_rope_fwd. k and v may be overwritten. */
void obi_op_post_qkv_fwd(obi_cmd *cmd, obi_view qkv, obi_view table, obi_kv_cache cache, const obi_post_qkv *what);

/* What these ops check first, for those that do the same in a projection's dispatch (ops/op_bitlinear_post.h). False: the cmd has
 * failed. */
bool obi_post_residual_check(obi_cmd *cmd, obi_view x, obi_view normed, obi_view p, obi_view w, uint32_t T, uint32_t n);
bool obi_post_swiglu_check(obi_cmd *cmd, obi_view gate, obi_view up, uint32_t T, uint32_t n);
bool obi_post_qkv_check(obi_cmd *cmd, obi_view qkv, obi_view table, obi_kv_cache cache, const obi_post_qkv *what);

#endif

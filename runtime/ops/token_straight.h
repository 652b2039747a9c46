/* token_straight: what tokens need besides products of matrices, on software drivers (caps.straight). One workgroup takes the whole
 * rows of a token; attention of a single one has a workgroup for each head.
 *
 * Called by op_post_norm and op_attn, which have checked the views. Each _takes says whether there is a kernel for the shape. */
#ifndef OBI_OPS_TOKEN_STRAIGHT_H
#define OBI_OPS_TOKEN_STRAIGHT_H

#include "ops/op_post_norm.h"

/* Of rows of `columns`: obi_op_post_residual_fwd and obi_op_post_swiglu_fwd. */
bool obi_token_row_takes(const obi_device *device, uint64_t columns);
void obi_token_residual(obi_cmd *cmd, obi_view x, obi_view normed, obi_view p, obi_view w, uint32_t T, uint32_t columns, float post_eps,
                        float eps);
void obi_token_swiglu(obi_cmd *cmd, obi_view gate, obi_view up, uint32_t T, uint32_t columns, float post_eps);

/* obi_op_post_qkv_fwd. */
bool obi_token_qkv_takes(const obi_device *device, const obi_post_qkv *what);
void obi_token_qkv(obi_cmd *cmd, obi_view qkv, obi_view table, obi_kv_cache cache, const obi_post_qkv *what);

/* Attention of one query at `position`, or before: into how many splits it is cut (1: none), whose parts attn/combine_fwd joins;
 * 0: there is no kernel for it. The same from one power of two of positions to the next. */
uint32_t obi_token_attend_splits(const obi_device *device, obi_kv_type type, uint32_t H, uint32_t K, uint32_t C, uint64_t position);
uint32_t obi_token_attend_splits_of(uint32_t C, uint64_t position); /* the same where there is one */
/* `out` is the result (1,H,C), or the parts (splits,H,C+2). With a place as of obi_attn_range `position` is the largest it may be. */
void obi_token_attend(obi_cmd *cmd, obi_view out, obi_view q, obi_kv_cache cache, uint32_t H, uint32_t K, uint32_t C, uint32_t position,
                      uint32_t splits, uint32_t place);

#endif

/* op_bitlinear_post: the 1-bit projections of a layer together with what follows them (ops/op_post_norm.h). Of a single token one
 * dispatch where device->fused says so, the device binds OBI_BINDINGS_MAX buffers and the weights have family xor or half, in one block
 * each and lying in order: the workgroup that finishes last goes on (shaders/common/last_group.glsl). Else the two ops, one after the
 * other. The results have the same bits either way. Failures are kept in the cmd. */
#ifndef OBI_OPS_OP_BITLINEAR_POST_H
#define OBI_OPS_OP_BITLINEAR_POST_H

#include "ops/op_bitlinear.h"
#include "ops/op_post_norm.h"

/* p.y = the product of `in` with p.weight, then obi_op_post_residual_fwd with it; n = p.weight->rows. */
void obi_op_bitlinear_residual_fwd(obi_cmd *cmd, obi_view x /* (T,n) */, obi_view normed /* (T,n) */, const obi_bitlinear_part *p,
                                   obi_view in /* (T,columns) */, obi_view w /* (n) */, uint32_t T, float post_eps, float eps);

/* The products of `in` with gate's and up's weights, then obi_op_post_swiglu_fwd with them. */
void obi_op_bitlinear_swiglu_fwd(obi_cmd *cmd, const obi_bitlinear_part gate_up[2], obi_view in /* (T,columns) */, uint32_t T,
                                 float post_eps);

/* The products of `in` with the weights of q, k and v, whose y are the parts of `qkv` (obi_attn_parts_of), then
 * obi_op_post_qkv_fwd with them. */
void obi_op_bitlinear_qkv_fwd(obi_cmd *cmd, const obi_bitlinear_part parts[3], obi_view in /* (T,columns) */, obi_view qkv,
                              obi_view table, obi_kv_cache cache, const obi_post_qkv *what);

#endif

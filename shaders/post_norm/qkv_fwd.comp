// What follows the projections q, k and v of a token: OneBit's norm of each row (common/post_norm.glsl), then q turned by its
// position in place, k turned into the key cache, v into the value cache. The work is common/post_qkv.glsl.
// b0 rw q|k|v: q (T, heads, head_size), k and v (T, kv_heads, head_size) at k_start and v_start
// b1 r table (positions, rotated/2, 2): c = cos, s = sin
// b2 w k_cache   b3 w v_cache (context, kv_heads, head_size), f32, with OB_F16 words of two halves, with OB_INT8 bytes
//    (common/kv_int8.glsl)
// push: tokens = T, heads, kv_heads, head_size, rotated, first_position (with PLACED: where in b0 it is, as a float), k_start,
//    v_start, post_eps
// spec 0: workgroup size   1: 1 with the norm   2: layout, 0 pairs (i, i + rotated/2), 1 pairs (2i, 2i+1)   3: PLACED
// grid: one workgroup a token, folded over x and y; z = 0 q, 1 k, 2 v   shared: reduce, and 256 bytes with OB_INT8   tiers A B
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/reduce.glsl"
#include "common/grid.glsl"
#ifdef OB_INT8
#define OB_KV_STORE
#include "common/kv_int8.glsl"
#else
#include "common/half_pair.glsl"
#endif
#include "common/push_post_norm.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint POST = 1;
layout(constant_id = 2) const uint LAYOUT = 0;
layout(constant_id = 3) const uint PLACED = 0;
#define OB_POST_NORM (POST != 0u)
#include "common/post_norm.glsl"

layout(set = 0, binding = 0) buffer QKV { float qkv[]; };
layout(set = 0, binding = 1) readonly buffer Table { vec2 table[]; };
#if defined(OB_F16) || defined(OB_INT8)
#define OB_KV_WORD uint
#else
#define OB_KV_WORD float
#endif
layout(set = 0, binding = 2) writeonly buffer KCache { OB_KV_WORD k_cache[]; };
layout(set = 0, binding = 3) writeonly buffer VCache { OB_KV_WORD v_cache[]; };
layout(push_constant) uniform Push { obi_push_post_norm_qkv push; };

#define OB_QKV(i) qkv[i]
#define OB_QKV_PUSH push
#include "common/post_qkv.glsl"

void main()
{
    uint token = ob_group();
    if (token >= push.tokens) return; // the whole workgroup
    ob_post_qkv(gl_WorkGroupID.z, token);
}

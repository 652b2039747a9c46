// Stores the key and value rows of some tokens as bytes (common/kv_int8.glsl).
// b0 w k_cache (context, vectors, words of a vector)   b1 w v_cache   b2 r k (T, vectors, head_size)   b3 r v
// push: tokens = T, vectors = key heads, head_size, first_position; with PLACED T = 1, and this is where in b2 the position is, as a float
// spec 0: workgroup size   1: PLACED
// grid: one workgroup a token, folded over x and y; z = 0 k, 1 v   shared: 256 bytes   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#define OB_KV_STORE
#include "common/grid.glsl"
#include "common/kv_int8.glsl"
#include "common/push_attn.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint PLACED = 0;

layout(set = 0, binding = 0) writeonly buffer KCache { uint k_cache[]; };
layout(set = 0, binding = 1) writeonly buffer VCache { uint v_cache[]; };
layout(set = 0, binding = 2) readonly buffer K { float k[]; };
layout(set = 0, binding = 3) readonly buffer V { float v[]; };
layout(push_constant) uniform Push { obi_push_attn_kv_store_int8 push; };

float ob_kv_value(uint vector, uint c)
{
    uint at = (ob_group() * push.vectors + vector) * push.head_size + c;
    return gl_WorkGroupID.z == 0u ? k[at] : v[at];
}

void ob_kv_put(uint at, uint word)
{
    uint first = PLACED != 0u ? uint(k[push.first_position]) : push.first_position;
    uint to = (first + ob_group()) * push.vectors * ob_kv_vector_words(push.head_size) + at;
    if (gl_WorkGroupID.z == 0u) k_cache[to] = word;
    else v_cache[to] = word;
}

void main()
{
    if (ob_group() >= push.tokens) return; // the whole workgroup
    ob_kv_store_row(push.vectors, push.head_size);
}

// Copies new key and value rows into the caches: cache[first + i] = rows[i] for i < count.
// b0 w k_cache (context, K*C)   b1 w v_cache (context, K*C)   b2 r k (T, K*C)   b3 r v (T, K*C)
// push: count = T*K*C, first = first_position*K*C   spec 0: workgroup size   grid: a lane an element, folded   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_attn.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer KCache { float k_cache[]; };
layout(set = 0, binding = 1) writeonly buffer VCache { float v_cache[]; };
layout(set = 0, binding = 2) readonly buffer K { float k[]; };
layout(set = 0, binding = 3) readonly buffer V { float v[]; };
layout(push_constant) uniform Push { obi_push_attn_kv_store push; };

void main()
{
    uint index = ob_element();
    if (index >= push.count) return;
    k_cache[push.first + index] = k[index];
    v_cache[push.first + index] = v[index];
}

// Copies new key and value rows into the caches: cache[first + i] = rows[i] for i < count; with OB_F16 the caches are words of
// two halves, and i counts these.
// b0 w k_cache (context, K*C)   b1 w v_cache (context, K*C)   b2 r k (T, K*C)   b3 r v (T, K*C)
// push: count = words of T*K*C, first = words of first_position*K*C; with PLACED T = 1, and first is where in b2 the position is, a float
// spec 0: workgroup size   1: PLACED
// grid: a lane a word, folded   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/half_pair.glsl"
#include "common/push_attn.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint PLACED = 0;

#ifdef OB_F16
#define WORD uint
#define STORED(row, i) ob_half_pair(row[2u * (i)], row[2u * (i) + 1u])
#else
#define WORD float
#define STORED(row, i) row[i]
#endif
layout(set = 0, binding = 0) writeonly buffer KCache { WORD k_cache[]; };
layout(set = 0, binding = 1) writeonly buffer VCache { WORD v_cache[]; };
layout(set = 0, binding = 2) readonly buffer K { float k[]; };
layout(set = 0, binding = 3) readonly buffer V { float v[]; };
layout(push_constant) uniform Push { obi_push_attn_kv_store push; };

void main()
{
    uint index = ob_element();
    if (index >= push.count) return;
    uint first = PLACED != 0u ? uint(k[push.first]) * push.count : push.first;
    k_cache[first + index] = STORED(k, index);
    v_cache[first + index] = STORED(v, index);
}

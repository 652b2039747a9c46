// What attention's backward kernels need of each query (t, head), for a tile of four queries a workgroup:
//   stats[t,head] = { top, 1 / sum_p exp(s[p] - top), dout[t,head] . out[t,head], 0 },  s[p] = scale q[t,head] . k[p], p <= t
// top being the largest s[p]: a weight is exp(s[p] - top) times the second number. (One number, top + log(sum), would do,
// but software drivers' log loses digits that every gradient would show.)
// b0 w stats (sequences, tokens, heads, 4)   b1 r qkv: q (sequences, tokens, heads, head_size), k at k_start (sequences,
// tokens, kv_heads, head_size), v at v_start alike   b2 r out   b3 r dout   (both as q)
// push: tokens, heads, kv_heads, head_size (even, <= 256), k_start, v_start, scale
// spec 0: workgroup size   grid: x heads, y tiles, z sequences   shared: 4 KiB + reduce   tiers A B
//
// A lane has every n-th position and a running maximum of its own; the lanes are joined once, in the end.
#version 450
#extension GL_GOOGLE_include_directive : require
#define OB_REDUCE_VEC4
#include "common/reduce.glsl"
#include "common/exp_log.glsl"
#include "common/push_attn.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Stats { vec4 stats[]; };
layout(set = 0, binding = 1) readonly buffer QKV { vec2 qkv[]; };
layout(set = 0, binding = 2) readonly buffer Out { vec2 result[]; };
layout(set = 0, binding = 3) readonly buffer DOut { vec2 dout[]; };
layout(push_constant) uniform Push { obi_push_attn_bwd push; };

shared vec4 query[256];

void main()
{
    uint lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x;
    uint head = gl_WorkGroupID.x, first = gl_WorkGroupID.y * 4u, before = gl_WorkGroupID.z * push.tokens;
    uint size = push.head_size, half_size = size / 2u, kv_row = push.kv_heads * half_size;
    uint k_start = push.k_start / 2u + before * kv_row + head / (push.heads / push.kv_heads) * half_size;

    // Queries past the last token repeat it; they are computed and not written.
    uvec4 token = min(uvec4(first, first + 1u, first + 2u, first + 3u), uvec4(push.tokens - 1u));
    uvec4 row = ((before + token) * push.heads + head) * half_size;
    vec4 delta = vec4(0.0);
    for (uint c = lane; c < half_size; c += lanes) {
        vec2 a = qkv[row.x + c], b = qkv[row.y + c], d = qkv[row.z + c], e = qkv[row.w + c];
        query[2u * c] = vec4(a.x, b.x, d.x, e.x) * push.scale;
        query[2u * c + 1u] = vec4(a.y, b.y, d.y, e.y) * push.scale;
        delta += vec4(dot(dout[row.x + c], result[row.x + c]), dot(dout[row.y + c], result[row.y + c]),
                      dot(dout[row.z + c], result[row.z + c]), dot(dout[row.w + c], result[row.w + c]));
    }
    barrier(); // `query` is written
    vec4 top = vec4(OB_LOWEST), total = vec4(0.0);
    for (uint position = lane; position <= token.w; position += lanes) {
        uint at = k_start + position * kv_row;
        vec4 score = vec4(0.0);
        for (uint c = 0u; c < half_size; c++) {
            vec2 key = qkv[at + c];
            score += query[2u * c] * key.x + query[2u * c + 1u] * key.y;
        }
        bvec4 seen = lessThanEqual(uvec4(position), token);
        score = mix(vec4(OB_LOWEST), score, seen);
        vec4 risen = max(top, score);
        total = total * ob_exp_below(top - risen) + mix(vec4(0.0), ob_exp_below(score - risen), seen);
        top = risen;
    }
    vec4 all_top = ob_reduce_max4(top);
    total = ob_reduce_add4(total * ob_exp_below(top - all_top));
    delta = ob_reduce_add4(delta);
    if (lane != 0u) return;
    uint at = (before + first) * push.heads + head;
    for (uint i = 0u; i < 4u; i++)
        if (first + i < push.tokens) stats[at + i * push.heads] = vec4(all_top[i], 1.0 / total[i], delta[i], 0.0);
}

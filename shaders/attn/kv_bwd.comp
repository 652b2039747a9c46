// The gradients of causal attention for k and v, for a tile of four positions a workgroup; w and a as in q_bwd:
//   dk[p] = scale sum_h,t a[t,h,p] q[t,h],  dv[p] = sum_h,t w[t,h,p] dout[t,h]
// over the heads h of the key head, one after the other, and the queries t >= p in their order.
// b0 w dkv: dk (sequences, tokens, kv_heads, head_size), dv alike at v_start - k_start   b1 r qkv as in stats_bwd
// b2 r dout (sequences, tokens, heads, head_size)   b3 r stats
// push: tokens, heads, kv_heads, head_size (even, <= 256 and <= 4 workgroups), k_start, v_start, scale
// spec 0: workgroup size (<= 128)   1: ceil(head_size / workgroup size), the outputs of a lane
// grid: x key heads, y tiles, z sequences   shared: 12 KiB   tier A
//
// q_bwd with queries and positions exchanged: a lane first has one query, then some columns of dk and dv.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/exp_log.glsl"
#include "common/push_attn.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint SLOTS = 4;

layout(set = 0, binding = 0) writeonly buffer DKV { float dkv[]; };
layout(set = 0, binding = 1) readonly buffer QKV { float qkv[]; };
layout(set = 0, binding = 2) readonly buffer DOut { float dout[]; };
layout(set = 0, binding = 3) readonly buffer Stats { vec4 stats[]; };
layout(push_constant) uniform Push { obi_push_attn_bwd push; };

shared vec4 key[256];
shared vec4 value[256];
shared vec4 weight[128]; // w of each query
shared vec4 slope[128];  // a of each query

void main()
{
    uint lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x;
    uint kv_head = gl_WorkGroupID.x, first = gl_WorkGroupID.y * 4u, before = gl_WorkGroupID.z * push.tokens;
    uint size = push.head_size, q_row = push.heads * size, group = push.heads / push.kv_heads;

    // Positions past the last repeat it; they are computed and not written.
    uvec4 position = min(uvec4(first, first + 1u, first + 2u, first + 3u), uvec4(push.tokens - 1u));
    uvec4 row = ((before + position) * push.kv_heads + kv_head) * size;
    for (uint c = lane; c < size; c += lanes) {
        uvec4 k = push.k_start + row + c, v = push.v_start + row + c;
        key[c] = vec4(qkv[k.x], qkv[k.y], qkv[k.z], qkv[k.w]) * push.scale;
        value[c] = vec4(qkv[v.x], qkv[v.y], qkv[v.z], qkv[v.w]);
    }
    // A lane without a column of its own reads an existing one and drops the result.
    uint column0 = min(lane, size - 1u), column1 = min(lane + lanes, size - 1u);
    uint column2 = min(lane + 2u * lanes, size - 1u), column3 = min(lane + 3u * lanes, size - 1u);
    vec4 k0 = vec4(0.0), k1 = vec4(0.0), k2 = vec4(0.0), k3 = vec4(0.0);
    vec4 v0 = vec4(0.0), v1 = vec4(0.0), v2 = vec4(0.0), v3 = vec4(0.0);
    for (uint g = 0u; g < group; g++) {
        uint head = kv_head * group + g, q_start = before * q_row + head * size;
        for (uint start = first; start < push.tokens; start += lanes) {
            barrier(); // keys and values are written; the slopes of the round before have been read
            uint t = start + lane;
            vec4 score = vec4(0.0), meet = vec4(0.0), its = vec4(0.0);
            if (t < push.tokens) {
                uint at = q_start + t * q_row;
                its = stats[(before + t) * push.heads + head];
                for (uint c = 0u; c < size; c += 2u) {
                    score += key[c] * qkv[at + c] + key[c + 1u] * qkv[at + c + 1u];
                    meet += value[c] * dout[at + c] + value[c + 1u] * dout[at + c + 1u];
                }
            }
            bvec4 seen = greaterThanEqual(uvec4(t), position);
            vec4 w = mix(vec4(0.0), ob_exp_below(score - its.x) * its.y, seen);
            weight[lane] = w;
            slope[lane] = mix(vec4(0.0), w * (meet - its.z), seen);
            barrier();
#define ADD_QUERY(i)                                                      \
            {                                                             \
                vec4 p = weight[i], a = slope[i];                         \
                uint at = q_start + (start + (i)) * q_row;                \
                k0 += a * qkv[at + column0];                              \
                v0 += p * dout[at + column0];                             \
                if (SLOTS > 1u) {                                         \
                    k1 += a * qkv[at + column1];                          \
                    v1 += p * dout[at + column1];                         \
                }                                                         \
                if (SLOTS > 2u) {                                         \
                    k2 += a * qkv[at + column2];                          \
                    v2 += p * dout[at + column2];                         \
                }                                                         \
                if (SLOTS > 3u) {                                         \
                    k3 += a * qkv[at + column3];                          \
                    v3 += p * dout[at + column3];                         \
                }                                                         \
            }
            uint count = min(lanes, push.tokens - start);
            uint i = 0u;
            for (; i + 2u <= count; i += 2u) {
                ADD_QUERY(i)
                ADD_QUERY(i + 1u)
            }
            if (i < count) ADD_QUERY(i)
        }
    }
    uint dv = push.v_start - push.k_start;
#define WRITE(dk_sum, dv_sum, column)                                                         \
    if ((column) < size) {                                                                    \
        vec4 a = (dk_sum) * push.scale, p = dv_sum;                                           \
        for (uint i = 0u; i < 4u; i++) {                                                      \
            if (first + i >= push.tokens) break;                                              \
            dkv[row[i] + (column)] = a[i];                                                    \
            dkv[dv + row[i] + (column)] = p[i];                                               \
        }                                                                                     \
    }
    WRITE(k0, v0, lane)
    if (SLOTS > 1u) WRITE(k1, v1, lane + lanes)
    if (SLOTS > 2u) WRITE(k2, v2, lane + 2u * lanes)
    if (SLOTS > 3u) WRITE(k3, v3, lane + 3u * lanes)
}

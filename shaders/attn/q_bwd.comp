// The gradient of causal attention for q, for a tile of four queries a workgroup:
//   dq[t,head] = scale sum_p a[p] k[p],  a[p] = w[p] (dout[t,head] . v[p] - stats.z),
//   w[p] = exp(scale q[t,head] . k[p] - stats.x) stats.y,  p <= t, stats those of (t,head): attn/stats_bwd
// b0 w dq (sequences, tokens, heads, head_size)   b1 r qkv as in stats_bwd   b2 r dout (as dq)   b3 r stats
// push: tokens, heads, kv_heads, head_size (even, <= 256 and <= 4 workgroups), k_start, v_start, scale
// spec 0: workgroup size (<= 128)   1: ceil(head_size / workgroup size), the outputs of a lane
// grid: x heads, y tiles, z sequences   shared: 10 KiB   tier A
//
// As in attend_fwd: positions are taken a workgroup at a time; first each lane has one position and makes its a, then each
// lane has some columns of dq and adds up all positions, in their order.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/exp_log.glsl"
#include "common/push_attn.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint SLOTS = 4;

layout(set = 0, binding = 0) writeonly buffer DQ { float dq[]; };
layout(set = 0, binding = 1) readonly buffer QKV { float qkv[]; };
layout(set = 0, binding = 2) readonly buffer DOut { float dout[]; };
layout(set = 0, binding = 3) readonly buffer Stats { vec4 stats[]; };
layout(push_constant) uniform Push { obi_push_attn_bwd push; };

shared vec4 query[256];
shared vec4 reach[256]; // dout of the four queries
shared vec4 slope[128]; // a of each position

void main()
{
    uint lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x;
    uint head = gl_WorkGroupID.x, first = gl_WorkGroupID.y * 4u, before = gl_WorkGroupID.z * push.tokens;
    uint size = push.head_size, kv_row = push.kv_heads * size;
    uint kv_start = before * kv_row + head / (push.heads / push.kv_heads) * size;
    uint k_start = push.k_start + kv_start, v_start = push.v_start + kv_start;

    // Queries past the last token repeat it; they are computed and not written.
    uvec4 token = min(uvec4(first, first + 1u, first + 2u, first + 3u), uvec4(push.tokens - 1u));
    uvec4 index = (before + token) * push.heads + head, row = index * size;
    for (uint c = lane; c < size; c += lanes) {
        query[c] = vec4(qkv[row.x + c], qkv[row.y + c], qkv[row.z + c], qkv[row.w + c]) * push.scale;
        reach[c] = vec4(dout[row.x + c], dout[row.y + c], dout[row.z + c], dout[row.w + c]);
    }
    vec4 s0 = stats[index.x], s1 = stats[index.y], s2 = stats[index.z], s3 = stats[index.w];
    vec4 top = vec4(s0.x, s1.x, s2.x, s3.x), share = vec4(s0.y, s1.y, s2.y, s3.y), delta = vec4(s0.z, s1.z, s2.z, s3.z);

    // A lane without a column of its own reads an existing one and drops the result.
    uint column0 = min(lane, size - 1u), column1 = min(lane + lanes, size - 1u);
    uint column2 = min(lane + 2u * lanes, size - 1u), column3 = min(lane + 3u * lanes, size - 1u);
    vec4 sum0 = vec4(0.0), sum1 = vec4(0.0), sum2 = vec4(0.0), sum3 = vec4(0.0);
    uint last = token.w;
    for (uint start = 0u; start <= last; start += lanes) {
        barrier(); // the queries are written; the slopes of the round before have been read
        uint position = start + lane;
        vec4 score = vec4(0.0), meet = vec4(0.0);
        if (position <= last) {
            uint at_k = k_start + position * kv_row, at_v = v_start + position * kv_row;
            for (uint c = 0u; c < size; c += 2u) {
                score += query[c] * qkv[at_k + c] + query[c + 1u] * qkv[at_k + c + 1u];
                meet += reach[c] * qkv[at_v + c] + reach[c + 1u] * qkv[at_v + c + 1u];
            }
        }
        bvec4 seen = lessThanEqual(uvec4(position), token);
        slope[lane] = mix(vec4(0.0), ob_exp_below(score - top) * share * (meet - delta), seen);
        barrier();
#define ADD_POSITION(p)                                                   \
        {                                                                 \
            vec4 a = slope[p];                                            \
            uint at = k_start + (start + (p)) * kv_row;                   \
            sum0 += a * qkv[at + column0];                                \
            if (SLOTS > 1u) sum1 += a * qkv[at + column1];                \
            if (SLOTS > 2u) sum2 += a * qkv[at + column2];                \
            if (SLOTS > 3u) sum3 += a * qkv[at + column3];                \
        }
        uint count = min(lanes, last - start + 1u);
        uint p = 0u;
        for (; p + 4u <= count; p += 4u) {
            ADD_POSITION(p)
            ADD_POSITION(p + 1u)
            ADD_POSITION(p + 2u)
            ADD_POSITION(p + 3u)
        }
        for (; p < count; p++) ADD_POSITION(p)
    }
#define WRITE(sum, column)                                                                    \
    if ((column) < size) {                                                                    \
        vec4 value = (sum) * push.scale;                                                      \
        dq[row.x + (column)] = value.x;                                                       \
        if (first + 1u < push.tokens) dq[row.y + (column)] = value.y;                         \
        if (first + 2u < push.tokens) dq[row.z + (column)] = value.z;                         \
        if (first + 3u < push.tokens) dq[row.w + (column)] = value.w;                         \
    }
    WRITE(sum0, lane)
    if (SLOTS > 1u) WRITE(sum1, lane + lanes)
    if (SLOTS > 2u) WRITE(sum2, lane + 2u * lanes)
    if (SLOTS > 3u) WRITE(sum3, lane + 3u * lanes)
}

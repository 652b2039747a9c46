#version 450
#extension GL_GOOGLE_include_directive : require
// The signed sums that bitlinear/gemm_sums_straight chooses from, for software drivers (common/straight.glsl): of every three
// values v = g[k] * x[t,k] the eight +-v0 +-v1 +-v2, bit i of the sum's number set where v i is subtracted. A word of 32 k's
// has eleven such tables, the last of two values. Past k_count the values are 0.
//
// b0 w  sums  (parts, tokens_padded, words, 11, 8) f32
// push: obi_push_bitlinear_sums
// spec 0: workgroup, 8 * stretches      spec 1: words of a stretch, 1 to 8      spec 2: careful: k_count is no multiple of 32
// spec 3: words by which the last stretch begins earlier, so as to end where the k's do; there they have been counted already
// grid: y: tokens, at most 256; z: parts, at most 3
// tiers: A
//
// A workgroup has a token, a subgroup a stretch of its words. Eight tables are made at once, one in each lane.
#include "common/push_bitlinear.h"
#define OB_PUSH obi_push_bitlinear_sums
#include "common/straight.glsl"

layout(constant_id = 1) const uint OB_WORDS = 4u;
layout(constant_id = 2) const uint OB_CAREFUL = 0u;
layout(constant_id = 3) const uint OB_EARLIER = 0u;

layout(set = 0, binding = 0) writeonly buffer Sums { float sums[]; };

#define CAREFUL (OB_CAREFUL != 0u)

// Values 3 * LANE + i of 24.
float ob_third(float v0, float v1, float v2, uint i)
{
    uint at = 3u * LANE + i;
    float s0 = subgroupShuffle(v0, at & 7u), s1 = subgroupShuffle(v1, at & 7u), s2 = subgroupShuffle(v2, at & 7u);
    return at < 8u ? s0 : at < 16u ? s1 : s2;
}

void main()
{
    uint part = push.digit[gl_WorkGroupID.z & 15u], token = ob_digits(gl_WorkGroupID.y), word = ob_digits(gl_SubgroupID) * OB_WORDS;
    uint k_last = push.k_count - 1u;
    uint g_before = push.digit[uint(gl_WorkGroupID.z > 0u)] * push.scales_skip +
                    push.digit[uint(gl_WorkGroupID.z > 1u)] * push.other_scales_skip;
    uint64_t x = ob_address(push.x_low, push.x_high) + uint64_t(token * push.n) * 4ul;
    uint64_t g = ob_address(push.g_low, push.g_high) + uint64_t(g_before) * 4ul;
    uint at = ((part * push.tokens_padded + token) * push.words + word) * 88u;
    uint earlier = push.digit[uint(gl_SubgroupID == gl_NumSubgroups - 1u)] * OB_EARLIER, k_first = (word - earlier) * 32u;
    if (!CAREFUL) {
        x += uint64_t(k_first * 4u);
        g += uint64_t(k_first * 4u);
    }

#define FAST(v)                                                                                                                      \
    (uintBitsToFloat(ob_eight(x + uint64_t(128u * j + 32u * v))) * uintBitsToFloat(ob_eight(g + uint64_t(128u * j + 32u * v))))
#define CUT(v)                                                                                                                       \
    (k_unit + 8u * v + LANE <= k_last                                                                                                \
         ? uintBitsToFloat(ob_eight_cut(x, k_unit + 8u * v, k_last)) * uintBitsToFloat(ob_eight_cut(g, k_unit + 8u * v, k_last))     \
         : 0.0)
#define INPUT(v) (j < earlier ? 0.0 : CAREFUL ? CUT(v) : FAST(v))
// Sum e of table i.
#define STORE(i, e, value) sums[to + 8u * (i) + e] = subgroupShuffle(value, i);
#define STORE_ALL(i)                                                                                                                 \
    STORE(i, 0u, a0) STORE(i, 1u, a1) STORE(i, 2u, a2) STORE(i, 3u, a3) STORE(i, 4u, -a3) STORE(i, 5u, -a2) STORE(i, 6u, -a1)        \
    STORE(i, 7u, -a0)
#define TABLES(first, k0, k1, k2, count)                                                                                             \
    {                                                                                                                                \
        float sum = k0 + k1, difference = k1 - k0;                                                                                   \
        float a0 = sum + k2, a1 = difference + k2, a2 = k2 - difference, a3 = k2 - sum;                                              \
        uint to = at + 88u * j + 8u * first;                                                                                         \
        [[unroll]] for (uint i = 0u; i < count; i++) { STORE_ALL(i) }                                                                \
    }
    [[unroll]] for (uint j = 0u; j < OB_WORDS; j++) {
        uint k_unit = k_first + 32u * j;
        float v0 = INPUT(0u), v1 = INPUT(1u), v2 = INPUT(2u), v3 = INPUT(3u);
        TABLES(0u, ob_third(v0, v1, v2, 0u), ob_third(v0, v1, v2, 1u), ob_third(v0, v1, v2, 2u), 8u)
        // Of the last eight, in lanes 0 to 2.
        float last = LANE < 2u ? subgroupShuffle(v3, 3u * LANE + 2u & 7u) : 0.0;
        TABLES(8u, subgroupShuffle(v3, 3u * LANE & 7u), subgroupShuffle(v3, 3u * LANE + 1u & 7u), last, 3u)
    }
}

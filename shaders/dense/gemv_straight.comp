#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// y[t,i] = sum over j of W[i,j] * x[t,j] for software drivers (common/straight.glsl), few tokens; W f32 or (OB_F16) f16
//
// b0 w  y  (T,m) f32
// push: obi_push_dense_gemv_straight: addresses of x and of rows of W
// spec 0: workgroup, 8 * stretches      spec 1: stretches of a row, 1..64      spec 2: steps of a stretch, 4, 8, 16 or 32;
// stretches fill a row exactly
// grid: x: groups of 16 rows, at most 256; y: tokens, at most 16
// tiers: A
//
// A workgroup makes 16 rows: each subgroup sums a stretch of k for all of them, a step being eight words of a row, one in each
// lane; then the lanes are added up, and the stretches in shared memory, in order.
#include "common/push_dense.h"
#define OB_PUSH obi_push_dense_gemv_straight
#include "common/straight.glsl"

layout(constant_id = 1) const uint OB_STRETCHES = 1u;
layout(constant_id = 2) const uint OB_STEPS = 4u;

layout(set = 0, binding = 0) writeonly buffer Y { float y[]; };

shared float sums[OB_STRETCHES * 16u]; // [stretch][row of the group]

#ifdef OB_F16
#define IN_WORD 2u
#else
#define IN_WORD 1u
#endif

// Sums over the lanes of eight values: lane i has that of value i.
float ob_lane_sums(float v0, float v1, float v2, float v3, float v4, float v5, float v6, float v7)
{
#define FOLD(low, high, bit)                                                                                                         \
    ((LANE & bit) != 0u ? high : low) + subgroupShuffle((LANE & bit) != 0u ? low : high, LANE ^ bit)
    float a0 = FOLD(v0, v1, 1u), a1 = FOLD(v2, v3, 1u), a2 = FOLD(v4, v5, 1u), a3 = FOLD(v6, v7, 1u);
    float b0 = FOLD(a0, a1, 2u), b1 = FOLD(a2, a3, 2u);
    return FOLD(b0, b1, 4u);
}

// Row first + LANE of the group.
float ob_sum_of(uint stretch, uint first)
{
    uint at = stretch << 4 | first;
    return uintBitsToFloat(ob_choose(floatBitsToUint(sums[at]), floatBitsToUint(sums[at | 1u]), floatBitsToUint(sums[at | 2u]),
                                     floatBitsToUint(sums[at | 3u]), floatBitsToUint(sums[at | 4u]), floatBitsToUint(sums[at | 5u]),
                                     floatBitsToUint(sums[at | 6u]), floatBitsToUint(sums[at | 7u])));
}

void main()
{
    uint stretch = OB_STRETCHES > 16u ? ob_digits(gl_SubgroupID) : push.digit[gl_SubgroupID & 15u];
    uint group = ob_digits(gl_WorkGroupID.x), token = push.digit[gl_WorkGroupID.y & 15u];
    uint row = group * 16u, row_last = push.row_count - 1u;
    uint word_first = stretch * OB_STEPS * 8u;
    uint64_t x = ob_address(push.x_low, push.x_high) + uint64_t(token * push.n + word_first * IN_WORD) * 4ul;
    uint64_t w = ob_address(push.w_low, push.w_high) + uint64_t(word_first) * 4ul;
#define ADDRESS(r) uint64_t w##r = w + uint64_t(min(row + uint(r), row_last)) * uint64_t(push.row_words) * 4ul;
    EACH16(ADDRESS)
#define DECLARE(r) float sum##r = 0.0;
    EACH16(DECLARE)

    // Eight x's of step i, from the v-th of its k's on.
#define INPUT(i, v) uintBitsToFloat(ob_eight(x + uint64_t(32u * IN_WORD * i + 4u * v)))
#define WORD(r) ob_eight(w##r + step_bytes)
#ifdef OB_F16
    // Word j of a step has k's 2j and 2j + 1.
#define HALVES(from0, from1, odd)                                                                                                    \
    (LANE < 4u ? subgroupShuffle(from0, 2u * LANE + odd & 7u) : subgroupShuffle(from1, 2u * LANE + odd & 7u))
#define INPUTS(i) float in0 = INPUT(i, 0u), in1 = INPUT(i, 8u), even = HALVES(in0, in1, 0u), odd = HALVES(in0, in1, 1u);
#define ROW(r) { uint word = WORD(r); sum##r += unpackHalf2x16(word).x * even + unpackHalf2x16(word).y * odd; }
#else
#define INPUTS(i) float value = INPUT(i, 0u);
#define ROW(r) sum##r += uintBitsToFloat(WORD(r)) * value;
#endif
    [[unroll]] for (uint i = 0u; i < OB_STEPS; i++) {
        uint64_t step_bytes = uint64_t(32u * i);
        INPUTS(i)
        EACH16(ROW)
    }

    float low = ob_lane_sums(sum0, sum1, sum2, sum3, sum4, sum5, sum6, sum7);
    float high = ob_lane_sums(sum8, sum9, sum10, sum11, sum12, sum13, sum14, sum15);
    // One scalar store after another: one with a place of its own for each lane would be a loop, four times as slow.
#define KEEP(i)                                                                                                                      \
    sums[stretch * 16u + uint(i)] = subgroupShuffle(low, uint(i));                                                                   \
    sums[stretch * 16u + 8u + uint(i)] = subgroupShuffle(high, uint(i));
    EACH8(KEEP)
    barrier();

#define ADD(i) if (OB_STRETCHES > i) total += ob_sum_of(i, first);
#define ADD8(i) ADD(i) ADD(i + 1u) ADD(i + 2u) ADD(i + 3u) ADD(i + 4u) ADD(i + 5u) ADD(i + 6u) ADD(i + 7u)
#define ADD64(i) ADD8(i) ADD8(i + 8u) ADD8(i + 16u) ADD8(i + 24u) ADD8(i + 32u) ADD8(i + 40u) ADD8(i + 48u) ADD8(i + 56u)
#define HALF(b, ADD_ALL)                                                                                                             \
    if (b == 0u || OB_STRETCHES == 1u) {                                                                                             \
        uint block = OB_STRETCHES == 1u ? b : stretch, first = min(block, 1u) << 3;                                                  \
        float total = 0.0;                                                                                                           \
        ADD_ALL(0u)                                                                                                                  \
        uint at = row + first + LANE;                                                                                                \
        if (block < 2u && at <= row_last) y[token * push.m + push.first_row + at] = total;                                           \
    }
    HALF(0u, ADD64)
    HALF(1u, ADD)
}

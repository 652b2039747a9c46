#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// y[t,i] as int8/products_fwd gives it, for software drivers (common/straight.glsl)
//
// b0 w  y     (T,m) f32
// b1 r  acts  as for products_fwd: the list of outliers, steps, bytes      b2 r  w  the row block      b3 r  x  (T,n) f32
// push: obi_push_int8_gemv_straight: addresses of the bytes of the first token, and of the first row
// spec 0: workgroup, 32 * stretches     spec 1: stretches of a row, 1..32     spec 2: steps of a stretch, 1..64;
// stretches fill a row of ceil(n/4) words exactly
// grid: x: groups of 16 rows, at most 256; y: tokens, at most 16; z: times 256 groups, at most 16
// tiers: A
//
// As dense/gemv_straight: a step is eight words of a row, 32 columns, one word in each lane. Sums are integers; outliers, which are
// few, are read as any kernel reads.
#include "common/push_int8.h"
#define OB_PUSH obi_push_int8_gemv_straight
#include "common/straight.glsl"

layout(constant_id = 1) const uint OB_STRETCHES = 1u;
layout(constant_id = 2) const uint OB_STEPS = 4u;

layout(set = 0, binding = 0) writeonly buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly buffer Acts { uint acts[]; };
layout(set = 0, binding = 2) readonly buffer W { uint weights[]; };
layout(set = 0, binding = 3) readonly buffer X { float x[]; };

shared uint sums[OB_STRETCHES * 16u]; // [stretch][row of the group]

// Sums over the lanes of four values: lanes i and i + 4 have that of value i.
int ob_lane_sums(int v0, int v1, int v2, int v3)
{
#define FOLD(low, high, bit)                                                                                                         \
    ((LANE & bit) != 0u ? high : low) + subgroupShuffle((LANE & bit) != 0u ? low : high, LANE ^ bit)
    int a0 = FOLD(v0, v1, 1u), a1 = FOLD(v2, v3, 1u), b = FOLD(a0, a1, 2u);
    return b + subgroupShuffle(b, LANE ^ 4u);
}

// Row first + LANE of the group.
int ob_sum_of(uint stretch, uint first)
{
    uint at = stretch << 4 | first;
    return int(ob_choose(sums[at], sums[at | 1u], sums[at | 2u], sums[at | 3u], sums[at | 4u], sums[at | 5u], sums[at | 6u],
                         sums[at | 7u]));
}

float ob_outlier(uint k, uint row, uint token)
{
    uint j = acts[1u + k];
    return float(bitfieldExtract(int(weights[row + j / 4u]), int(8u * (j % 4u)), 8)) * x[token * push.n + j];
}

void main()
{
    uint subgroup = ob_digits(gl_SubgroupID), quad = push.digit[gl_SubgroupID / OB_STRETCHES], stretch = subgroup - quad * OB_STRETCHES;
    uint group = ob_digits(gl_WorkGroupID.x) + 256u * push.digit[gl_WorkGroupID.z], token = push.digit[gl_WorkGroupID.y];
    uint row = group * 16u, row_last = push.row_count - 1u, quad_row = row + quad * 4u;
    uint word_first = stretch * OB_STEPS * 8u;
    uint64_t q = ob_address(push.q_low, push.q_high) + uint64_t(token * push.words + word_first) * 4ul;
    uint64_t w = ob_address(push.w_low, push.w_high) + uint64_t(word_first) * 4ul;
#define ADDRESS(r) uint64_t w##r = w + uint64_t(min(quad_row + uint(r), row_last)) * uint64_t(push.words + 1u) * 4ul;
    EACH4(ADDRESS)
#define DECLARE(r) int sum##r = 0;
    EACH4(DECLARE)

#define BYTE(word, b) (int((word) << (24u - 8u * (b))) >> 24)
#define ROW(r) { uint word = ob_eight(w##r + step_bytes);                                                                           \
    sum##r += BYTE(word, 0u) * q0 + BYTE(word, 1u) * q1 + BYTE(word, 2u) * q2 + BYTE(word, 3u) * q3; }
    [[unroll]] for (uint j = 0u; j < (OB_STEPS + 3u) / 4u; j++) { // in fours: Mesa unrolls at most 32 rounds
        [[unroll]] for (uint k = 0u; k < 4u; k++) {
            uint i = 4u * j + k;
            uint64_t step_bytes = uint64_t(32u * i);
            if (i >= OB_STEPS) continue;
            uint four = ob_eight(q + step_bytes);
            int q0 = BYTE(four, 0u), q1 = BYTE(four, 1u), q2 = BYTE(four, 2u), q3 = BYTE(four, 3u);
            EACH4(ROW)
        }
    }

    int own = ob_lane_sums(sum0, sum1, sum2, sum3);
    // One scalar store after another: one with a place of its own for each lane would be a loop, four times as slow.
#define KEEP(i) sums[stretch * 16u + quad * 4u + uint(i)] = uint(subgroupShuffle(own, uint(i)));
    EACH4(KEEP)
    barrier();

    // Subgroups 0 and 1 add up eight rows each. Unrolled by hand: Mesa does not unroll it all.
#define ADD(i) if (OB_STRETCHES > i) total += ob_sum_of(i, first);
#define ADD8(i) ADD(i) ADD(i + 1u) ADD(i + 2u) ADD(i + 3u) ADD(i + 4u) ADD(i + 5u) ADD(i + 6u) ADD(i + 7u)
    uint first = min(subgroup, 1u) << 3;
    int total = 0;
    ADD8(0u) ADD8(8u) ADD8(16u) ADD8(24u)
    uint at = row + first + LANE;
    if (subgroup >= 2u || at > row_last) return;
    uint real = push.first_token + token, own_row = at * (push.words + 1u), count = acts[0];
    float others = 0.0;
    for (uint k = 0u; k < count; k += 2u) { // two a turn: 65,536 columns are 32,768 turns
        others += ob_outlier(k, own_row, real);
        if (k + 1u < count) others += ob_outlier(k + 1u, own_row, real);
    }
    float ours = uintBitsToFloat(acts[push.steps_at + real]) * float(total);
    y[real * push.m + push.first_row + at] = uintBitsToFloat(weights[own_row + push.words]) * (ours + others);
}

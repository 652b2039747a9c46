#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#if OB_TIER >= 2
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_shader_16bit_storage : require
#endif
// y[t,i] = sum over j of W[i,j] * x[t,j] for software drivers (common/straight.glsl), few tokens; W f32 or (OB_F16) f16
//
// b0 w  y  (T,m) f32
// push: obi_push_dense_gemv_straight: addresses of x and of rows of W
// spec 0: workgroup, 32 * stretches     spec 1: stretches of a row, 1..32     spec 2: steps of a stretch, 1..64;
// stretches fill a row exactly
// grid: x: groups of 16 rows, at most 256; y: tokens, at most 16; z: times 256 groups, at most 16
// tiers: A, C (f16: halves are loaded as such)
//
// A workgroup makes 16 rows, four of them by as many subgroups as a row has stretches, a step being eight words of a row, one in
// each lane; then the lanes are added up, and the stretches in shared memory, in order. Four rows at a time, one stretch after
// the other: 16 side by side were read at half of the memory's rate.
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

#if defined(OB_F16) && OB_TIER >= 2
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Halves { f16vec4 at[2]; };
// Half LANE after `address`, a uniform one.
float ob_eight_halves(uint64_t address)
{
    Halves from = Halves(address);
    f16vec4 low = from.at[0], high = from.at[1];
    float16_t value = low.x;
    value = LANE == 1u ? low.y : value;
    value = LANE == 2u ? low.z : value;
    value = LANE == 3u ? low.w : value;
    value = LANE == 4u ? high.x : value;
    value = LANE == 5u ? high.y : value;
    value = LANE == 6u ? high.z : value;
    value = LANE == 7u ? high.w : value;
    return float(value);
}
#endif

// Sums over the lanes of four values: lanes i and i + 4 have that of value i.
float ob_lane_sums(float v0, float v1, float v2, float v3)
{
#define FOLD(low, high, bit)                                                                                                         \
    ((LANE & bit) != 0u ? high : low) + subgroupShuffle((LANE & bit) != 0u ? low : high, LANE ^ bit)
    float a0 = FOLD(v0, v1, 1u), a1 = FOLD(v2, v3, 1u), b = FOLD(a0, a1, 2u);
    return b + subgroupShuffle(b, LANE ^ 4u);
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
    uint subgroup = ob_digits(gl_SubgroupID), quad = push.digit[gl_SubgroupID / OB_STRETCHES], stretch = subgroup - quad * OB_STRETCHES;
    uint group = ob_digits(gl_WorkGroupID.x) + 256u * push.digit[gl_WorkGroupID.z], token = push.digit[gl_WorkGroupID.y];
    uint row = group * 16u, row_last = push.row_count - 1u, quad_row = row + quad * 4u;
    uint word_first = stretch * OB_STEPS * 8u;
    uint64_t x = ob_address(push.x_low, push.x_high) + uint64_t(token * push.n + word_first * IN_WORD) * 4ul;
    uint64_t w = ob_address(push.w_low, push.w_high) + uint64_t(word_first) * 4ul;
#define ADDRESS(r) uint64_t w##r = w + uint64_t(min(quad_row + uint(r), row_last)) * uint64_t(push.row_words) * 4ul;
    EACH4(ADDRESS)
#define DECLARE(r) float sum##r = 0.0;
    EACH4(DECLARE)

    // Eight x's of step i, from the v-th of its k's on.
#define INPUT(i, v) uintBitsToFloat(ob_eight(x + uint64_t(32u * IN_WORD * i + 4u * v)))
#define WORD(r) ob_eight(w##r + step_bytes)
#if defined(OB_F16) && OB_TIER >= 2
#define INPUTS(i) float in0 = INPUT(i, 0u), in1 = INPUT(i, 8u);
#define ROW(r) sum##r += ob_eight_halves(w##r + step_bytes) * in0 + ob_eight_halves(w##r + step_bytes + 16ul) * in1;
#elif defined(OB_F16)
    // Word j of a step has k's 2j and 2j + 1.
#define HALVES(from0, from1, odd)                                                                                                    \
    (LANE < 4u ? subgroupShuffle(from0, 2u * LANE + odd & 7u) : subgroupShuffle(from1, 2u * LANE + odd & 7u))
#define INPUTS(i) float in0 = INPUT(i, 0u), in1 = INPUT(i, 8u), even = HALVES(in0, in1, 0u), odd = HALVES(in0, in1, 1u);
    // A shift by nothing that the compiler does not know: else it loads the eight low halves one by one.
    uint nothing = push.digit[0];
#define ROW(r) { uint word = WORD(r); sum##r += unpackHalf2x16(word >> nothing).x * even + unpackHalf2x16(word).y * odd; }
#else
#define INPUTS(i) float value = INPUT(i, 0u);
#define ROW(r) sum##r += uintBitsToFloat(WORD(r)) * value;
#endif
    [[unroll]] for (uint j = 0u; j < (OB_STEPS + 3u) / 4u; j++) { // in fours: Mesa unrolls at most 32 rounds
        [[unroll]] for (uint k = 0u; k < 4u; k++) {
            uint i = 4u * j + k;
            uint64_t step_bytes = uint64_t(32u * i);
            if (i >= OB_STEPS) continue;
            INPUTS(i)
            EACH4(ROW)
        }
    }

    float own = ob_lane_sums(sum0, sum1, sum2, sum3);
    // One scalar store after another: one with a place of its own for each lane would be a loop, four times as slow.
#define KEEP(i) sums[stretch * 16u + quad * 4u + uint(i)] = subgroupShuffle(own, uint(i));
    EACH4(KEEP)
    barrier();

    // Subgroups 0 and 1 add up eight rows each. Unrolled by hand: Mesa does not unroll it all.
#define ADD(i) if (OB_STRETCHES > i) total += ob_sum_of(i, first);
#define ADD8(i) ADD(i) ADD(i + 1u) ADD(i + 2u) ADD(i + 3u) ADD(i + 4u) ADD(i + 5u) ADD(i + 6u) ADD(i + 7u)
    uint first = min(subgroup, 1u) << 3;
    float total = 0.0;
    ADD8(0u) ADD8(8u) ADD8(16u) ADD8(24u)
    uint at = row + first + LANE;
    if (subgroup < 2u && at <= row_last) y[token * push.m + push.first_row + at] = total;
}

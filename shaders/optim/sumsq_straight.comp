#version 450
#extension GL_GOOGLE_include_directive : require
// optim/sumsq for software drivers (common/straight.glsl): a partial sum of 1024 elements a subgroup.
// partial[g] (+)= { sum of x[i]^2 over the finite x of block g, as bits; how many of them are infinite or NaN }
//
// b0 w  partial (groups, 2) words, read by its address as x too
// push: obi_push_optim_sumsq_straight      spec 0: workgroup, 128
// grid: x = ceil(blocks / 16), at most 64; subgroups past the last block leave 0, or what is there
// tiers: A
#include "common/push_optim.h"
#define OB_PUSH obi_push_optim_sumsq_straight
#include "common/flat_straight.glsl"

layout(set = 0, binding = 0) writeonly buffer Partial { uint partial[]; };

// The sum over the lanes, always in the same order.
float lanes_sum(float v)
{
    v += subgroupShuffleXor(v, 1u);
    v += subgroupShuffleXor(v, 2u);
    return v + subgroupShuffleXor(v, 4u);
}

void main()
{
    uint block = ob_block(), last = push.blocks - 1u;
    uint64_t x = ob_address(push.x_low, push.x_high) + uint64_t(min(block, last)) * 4096ul;
    uint64_t before = ob_address(push.partial_low, push.partial_high) + uint64_t(block) * 8ul;
    float sum = 0.0, bad = 0.0; // floats count so few exactly
    [[unroll]] for (uint j = 0u; j < 128u; j += 16u)
        [[unroll]] for (uint i = 0u; i < 16u; i++) {
            uint bits = OB_EIGHT_WORDS(x, j + i);
            bool finite = (bits & 0x7f800000u) != 0x7f800000u;
            float value = uintBitsToFloat(finite ? bits : 0u);
            sum += value * value;
            bad += finite ? 0.0 : 1.0;
        }
    sum = block <= last ? lanes_sum(sum) : 0.0;
    bad = block <= last ? lanes_sum(bad) : 0.0;
    uint keep = push.accumulate != 0u ? 0xffffffffu : 0u;
    partial[block * 2u] = floatBitsToUint(uintBitsToFloat(ob_word(before, 0u) & keep) + sum);
    partial[block * 2u + 1u] = (ob_word(before, 1u) & keep) + uint(bad);
}

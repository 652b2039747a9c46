// straight: what the kernels for software drivers share. They run where caps.straight is true, on lavapipe that is.
//
// Lavapipe turns a subgroup into one thread of 8-lane vector code. A load whose address it knows to be the same for all
// lanes becomes one scalar load, and a select over eight neighbours becomes one 256-bit load; every other load becomes a
// loop over the lanes, ten times slower. It knows so of addresses made from constants and push constants alone, and only
// outside loops and branches. So these kernels are straight-line code, one short stretch of k after another, and
//   - a dispatch does a stretch of at most some 128 elements; the op records one dispatch after another;
//   - inputs are read through their addresses, as bound buffers would be checked against their size at each load;
//   - what is repeated a fixed number of times is an [[unroll]] loop where Mesa unrolls it (at most 32 times, with arrays of
//     registers, and addresses, inside): it prepares code anew at every start of a program, and ten times faster than if it
//     were written out;
//   - the index of a workgroup or subgroup passes through digit[], an identity in the push constants;
// An expression of push constants and digits only is called uniform below.
#ifndef OB_STRAIGHT_GLSL
#define OB_STRAIGHT_GLSL

#extension GL_EXT_buffer_reference : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require

// Before including it: the push constants' struct, as OB_PUSH. It has digit[16], see above.
layout(local_size_x_id = 0) in;
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words { uint at[128]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Fours { uvec4 at[32]; };
layout(push_constant) uniform Push { OB_PUSH push; };

#define LANE gl_SubgroupInvocationID

#define EACH2(DO) DO(0) DO(1)
#define EACH4(DO) DO(0) DO(1) DO(2) DO(3)
#define EACH8(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#define EACH16(DO) EACH8(DO) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)

uint64_t ob_address(uint low, uint high) { return uint64_t(low) | uint64_t(high) << 32; }

// Word i after `address`, both uniform.
uint ob_word(uint64_t address, uint i) { return Words(address + uint64_t(i) * 4ul).at[0]; }

// The lane's of eight uniform values.
uint ob_choose(uint v0, uint v1, uint v2, uint v3, uint v4, uint v5, uint v6, uint v7)
{
    uint value = v0;
    value = LANE == 1u ? v1 : value;
    value = LANE == 2u ? v2 : value;
    value = LANE == 3u ? v3 : value;
    value = LANE == 4u ? v4 : value;
    value = LANE == 5u ? v5 : value;
    value = LANE == 6u ? v6 : value;
    value = LANE == 7u ? v7 : value;
    return value;
}

// Word LANE after `address`.
uint ob_eight(uint64_t address)
{
    Fours from = Fours(address);
    uvec4 low = from.at[0], high = from.at[1];
    return ob_choose(low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w);
}

// Word min(first + LANE, last) after `address`.
uint ob_eight_cut(uint64_t address, uint first, uint last)
{
    return ob_choose(ob_word(address, min(first, last)), ob_word(address, min(first + 1u, last)), ob_word(address, min(first + 2u, last)),
                     ob_word(address, min(first + 3u, last)), ob_word(address, min(first + 4u, last)),
                     ob_word(address, min(first + 5u, last)),
                     ob_word(address, min(first + 6u, last)), ob_word(address, min(first + 7u, last)));
}

uint ob_digits(uint i) { return push.digit[i & 15u] | push.digit[i >> 4 & 15u] << 4; } // i < 256

#endif

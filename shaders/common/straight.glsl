// straight: what the kernels for software drivers share. They run where caps.straight is true, on lavapipe that is.
//
// Lavapipe turns a subgroup into one thread of 8-lane vector code. A load whose address it knows to be the same for all
// lanes becomes one scalar load, and a select over eight neighbours becomes one 256-bit load; every other load becomes a
// loop over the lanes, ten times slower. It knows so of addresses made from constants and push constants alone, and only
// outside loops and branches. So these kernels are straight-line code, one short stretch of k after another, and
//   - a dispatch adds a stretch of at most some 128 k's to c; the op records one dispatch after another;
//   - inputs are read through their addresses, as bound buffers would be checked against their size at each load;
//   - the index of a workgroup or subgroup passes through digit[], an identity in the push constants;
//   - a subgroup whose tile lies outside repeats its workgroup's last tile and adds nothing to it.
// An expression of push constants and digits only is called uniform below.
//
// Every c is old c + sum of unit 0 + sum of unit 1 + ... in this order, a unit being the shortest stretch of the kernel:
// how k is cut into dispatches, and which tiles are careful, changes no bit.
#ifndef OB_STRAIGHT_GLSL
#define OB_STRAIGHT_GLSL

#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "common/push_straight.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint OB_CAREFUL = 0u; // 1: one unit; tiles may be cut by p_count and q_count, the unit by k_count

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words { uint at[128]; };
layout(set = 0, binding = 0) writeonly buffer C { uint c[]; };
layout(push_constant) uniform Push { obi_push_straight push; };

#define LANE gl_SubgroupInvocationID
#define CAREFUL (OB_CAREFUL != 0u)

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
    Words from = Words(address);
    return ob_choose(from.at[0], from.at[1], from.at[2], from.at[3], from.at[4], from.at[5], from.at[6], from.at[7]);
}

// Word min(first + LANE, last) after `address`.
uint ob_eight_cut(uint64_t address, uint first, uint last)
{
    return ob_choose(ob_word(address, min(first, last)), ob_word(address, min(first + 1u, last)), ob_word(address, min(first + 2u, last)),
                     ob_word(address, min(first + 3u, last)), ob_word(address, min(first + 4u, last)), ob_word(address, min(first + 5u, last)),
                     ob_word(address, min(first + 6u, last)), ob_word(address, min(first + 7u, last)));
}

uint ob_digits(uint i) { return push.digit[i & 15u] | push.digit[i >> 4 & 15u] << 4; } // i < 256

// The subgroup's tile, uniform: `wide` (a power of two) subgroups of a workgroup lie along q, 16 / wide along p.
struct ob_tile {
    uint p, q;         // of its first element
    uint p_last, q_last; // distance from there to the last element of the rectangle
    uint keep;         // all bits set where the old c is added to, else 0
    bool outside;      // c stays as it is
};

ob_tile ob_find_tile(uint wide, uint tile_p, uint tile_q)
{
    uint group = push.digit[gl_SubgroupID & 15u];
    uint p_count = push.counts & 0xffffu, q_count = push.counts >> 16;
    uint p = ob_digits(gl_WorkGroupID.y) * (16u / wide) + group / wide, q = ob_digits(gl_WorkGroupID.x) * wide + group % wide;
    uint p_end = (p_count + tile_p - 1u) / tile_p - 1u, q_end = (q_count + tile_q - 1u) / tile_q - 1u;
    bool outside = p > p_end || q > q_end;
    ob_tile tile;
    tile.p = min(p, p_end) * tile_p;
    tile.q = min(q, q_end) * tile_q;
    tile.p_last = p_count - 1u - tile.p;
    tile.q_last = q_count - 1u - tile.q;
    tile.keep = (push.flags & OB_STRAIGHT_KEEP) != 0u ? 0xffffffffu : 0u;
    tile.outside = outside;
    return tile;
}

uint64_t ob_c_row(ob_tile tile, uint row)
{
    uint at = (tile.p + (CAREFUL ? min(row, tile.p_last) : row)) * push.c_stride + tile.q;
    return ob_address(push.c_low, push.c_high) + uint64_t(at) * 4ul;
}

uint ob_c_word(ob_tile tile, uint row, uint first)
{
    return CAREFUL ? ob_eight_cut(ob_c_row(tile, row), first, tile.q_last) : ob_eight(ob_c_row(tile, row) + uint64_t(first) * 4ul);
}

// What the sum begins with: column q + first + LANE of row p + row of c, or 0 where c is written anew.
float ob_old(ob_tile tile, uint row, uint first) { return uintBitsToFloat(ob_c_word(tile, row, first) & tile.keep); }

// Stores it. What lies past the rectangle must hold the value of its last column: it is stored there once more, or c stays
// as it is when all eight columns, or the row, lie past it.
void ob_store(ob_tile tile, uint row, uint first, float value)
{
    bool outside = tile.outside;
    if (CAREFUL) outside = outside || row > tile.p_last || first > tile.q_last;
    uint now = ob_c_word(tile, row, first); // not inside the choice: a load there would be a loop over the lanes
    uint word = outside ? now : floatBitsToUint(value);
    uint at = push.c_first + (tile.p + (CAREFUL ? min(row, tile.p_last) : row)) * push.c_stride + tile.q;
#define OB_STORE(i) c[at + (CAREFUL ? min(first + uint(i), tile.q_last) : first + uint(i))] = subgroupShuffle(word, uint(i));
    EACH8(OB_STORE)
#undef OB_STORE
}

#endif

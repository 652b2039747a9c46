#version 450
#extension GL_GOOGLE_include_directive : require
// attn/rope_fwd for software drivers (common/straight.glsl): some pairs of one head of 16 tokens a workgroup.
// Turns pairs (a, b) of each head by the angle of its position, in place: a' = a c - b s, b' = a s + b c.
//
// b0 w  x (T, heads, head_size), read by its address
// push: obi_push_attn_rope_straight, addresses and x_first at the dispatch's first token and head
// spec 0: workgroup, 128   1: layout, 0 pairs (i, i + rotated/2), 1 pairs (2i, 2i+1)   2: 1 turns back (the backward pass)
//      3: units of a subgroup, 8, 4, 2 or 1; a unit is 8 pairs of layout 0, 4 of layout 1
// grid: x = tokens / 16, y = heads, z = rotated / (16 or 8) / units; x and y below 256, z at most 16
// tiers: A
#include "common/push_attn.h"
#define OB_PUSH obi_push_attn_rope_straight
#include "common/straight.glsl"

layout(constant_id = 1) const uint LAYOUT = 0u;
layout(constant_id = 2) const uint INVERSE = 0u;
layout(constant_id = 3) const uint UNITS = 1u;
layout(set = 0, binding = 0) writeonly buffer X { float x[]; };

#define EIGHT(address, i) uintBitsToFloat(ob_eight(address + uint64_t((i) * 32)))

void main()
{
    uint token = ob_digits(gl_WorkGroupID.x) * 16u + push.digit[gl_SubgroupID & 15u], head = ob_digits(gl_WorkGroupID.y);
    uint half_rotated = push.rotated / 2u, unit = push.digit[gl_WorkGroupID.z & 15u] * UNITS;
    uint begin = token * push.token_stride + head * push.head_size + unit * 8u, at = push.x_first + begin;
    uint64_t from = ob_address(push.x_low, push.x_high) + uint64_t(begin) * 4ul;
    uint64_t table = ob_address(push.table_low, push.table_high) + uint64_t(token * push.rotated + unit * (LAYOUT == 0u ? 16u : 8u)) * 4ul;

#define STORE_LANE(l) x[place + uint(l)] = subgroupShuffle(value, uint(l));
#define STORE(first, formula) { uint place = at + first; float value = formula; EACH8(STORE_LANE) }

    if (LAYOUT == 0u) {
        uint64_t far = from + uint64_t(half_rotated) * 4ul;
        // Cosines and sines alternate in the table: the even and the odd ones of two eights.
        [[unroll]] for (uint i = 0u; i < UNITS; i++) {
            float t0 = EIGHT(table, 2u * i), t1 = EIGHT(table, 2u * i + 1u), a = EIGHT(from, i), b = EIGHT(far, i);
            float c0 = subgroupShuffle(t0, LANE * 2u & 7u), c1 = subgroupShuffle(t1, LANE * 2u & 7u);
            float s0 = subgroupShuffle(t0, LANE * 2u & 7u | 1u), s1 = subgroupShuffle(t1, LANE * 2u & 7u | 1u);
            float c = LANE < 4u ? c0 : c1, s = LANE < 4u ? s0 : s1;
            if (INVERSE != 0u) s = -s;
            STORE(i * 8u, a * c - b * s)
            STORE(half_rotated + i * 8u, a * s + b * c)
        }
    } else {
        bool odd = (LANE & 1u) != 0u;
        [[unroll]] for (uint i = 0u; i < UNITS; i++) {
            float t = EIGHT(table, i), own = EIGHT(from, i), other = subgroupShuffleXor(own, 1u);
            float c = subgroupShuffle(t, LANE & 6u), s = subgroupShuffle(t, LANE | 1u);
            STORE(i * 8u, own * c + other * (odd == (INVERSE == 0u) ? s : -s))
        }
    }
}

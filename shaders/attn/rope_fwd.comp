// Turns pairs (a, b) of each head by the angle of its position, in place: a' = a c - b s, b' = a s + b c.
// b0 rw x (T, heads, head_size)   b1 r table (positions, rotated/2, 2): c = cos, s = sin of position and pair
// Elements from `rotated` on stay. Token t has position first_position + t.
// push: pairs = T*heads*rotated/2, heads, head_size, rotated, first_position
// spec 0: workgroup size   1: layout, 0 pairs (i, i + rotated/2), 1 pairs (2i, 2i+1)   2: 1 turns back (the backward pass)
// grid: a lane a pair, folded over x and y   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_attn.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint LAYOUT = 0;
layout(constant_id = 2) const uint INVERSE = 0;

layout(set = 0, binding = 0) buffer X { float x[]; };
layout(set = 0, binding = 1) readonly buffer Table { vec2 table[]; };
layout(push_constant) uniform Push { obi_push_attn_rope push; };

void main()
{
    uint index = ob_element();
    if (index >= push.pairs) return;
    uint half_rotated = push.rotated / 2u;
    uint pair = index % half_rotated;
    uint row = index / half_rotated; // t * heads + head
    vec2 turn = table[(push.first_position + row / push.heads) * half_rotated + pair];
    if (INVERSE != 0u) turn.y = -turn.y;
    uint base = row * push.head_size;
    uint ia = base + (LAYOUT == 0u ? pair : 2u * pair);
    uint ib = ia + (LAYOUT == 0u ? half_rotated : 1u);
    float a = x[ia], b = x[ib];
    x[ia] = a * turn.x - b * turn.y;
    x[ib] = a * turn.y + b * turn.x;
}

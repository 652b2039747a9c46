// What follows the projections q, k and v of a token: OneBit's norm of each row (common/post_norm.glsl), then q turned by its
// position in place, k turned into the key cache, v into the value cache. The turn is that of attn/rope_fwd.
// b0 rw q|k|v: q (T, heads, head_size), k and v (T, kv_heads, head_size) at k_start and v_start
// b1 r table (positions, rotated/2, 2): c = cos, s = sin
// b2 w k_cache   b3 w v_cache (context, kv_heads, head_size), f32 or, with OB_F16, words of two halves
// push: tokens = T, heads, kv_heads, head_size, rotated, first_position (with PLACED: where in b0 it is, as a float), k_start,
//    v_start, post_eps
// spec 0: workgroup size   1: 1 with the norm   2: layout, 0 pairs (i, i + rotated/2), 1 pairs (2i, 2i+1)   3: PLACED
// grid: one workgroup a token, folded over x and y; z = 0 q, 1 k, 2 v   tiers A B
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/reduce.glsl"
#include "common/grid.glsl"
#include "common/half_pair.glsl"
#include "common/push_post_norm.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint POST = 1;
layout(constant_id = 2) const uint LAYOUT = 0;
layout(constant_id = 3) const uint PLACED = 0;
#define OB_POST_NORM (POST != 0u)
#include "common/post_norm.glsl"

layout(set = 0, binding = 0) buffer QKV { float qkv[]; };
layout(set = 0, binding = 1) readonly buffer Table { vec2 table[]; };
#ifdef OB_F16
#define WORD uint
#else
#define WORD float
#endif
layout(set = 0, binding = 2) writeonly buffer KCache { WORD k_cache[]; };
layout(set = 0, binding = 3) writeonly buffer VCache { WORD v_cache[]; };
layout(push_constant) uniform Push { obi_push_post_norm_qkv push; };

uint first_position() { return PLACED != 0u ? uint(qkv[push.first_position]) : push.first_position; }

#ifdef OB_F16
// Element `c` of the head that begins at `head`, normed and turned. A word's two elements may have partners in two others, so
// that each is made from its own pair here; nothing of the rows is overwritten.
float turned_element(uint part, uint token, ob_post post, uint head, uint c)
{
    float x = ob_post_value(post, qkv[head + c]);
    if (part == 2u || c >= push.rotated) return x;
    uint half_rotated = push.rotated / 2u;
    bool second = LAYOUT == 0u ? c >= half_rotated : (c & 1u) != 0u;
    uint pair = LAYOUT == 0u ? (second ? c - half_rotated : c) : c / 2u;
    uint other = LAYOUT == 0u ? (second ? pair : pair + half_rotated) : c ^ 1u;
    float y = ob_post_value(post, qkv[head + other]);
    vec2 turn = table[(first_position() + token) * half_rotated + pair];
    return x * turn.x + (second ? y : -y) * turn.y;
}

void put(uint part, uint at, float value) { qkv[at] = value; } // q only
#else
void put(uint part, uint at, float value)
{
    if (part == 0u) qkv[at] = value;
    else if (part == 1u) k_cache[at] = value;
    else v_cache[at] = value;
}
#endif

void main()
{
    uint token = ob_group(), part = gl_WorkGroupID.z;
    if (token >= push.tokens) return; // the whole workgroup
    uint columns = (part == 0u ? push.heads : push.kv_heads) * push.head_size;
    uint base = token * columns + (part == 0u ? 0u : part == 1u ? push.k_start : push.v_start);
    uint to = part == 0u ? base : (first_position() + token) * columns;
    ob_post post;
#define READ(i) qkv[base + i]
    OB_POST_STATS(post, READ, columns, push.post_eps) // its sums are over before a lane writes
#ifdef OB_F16
    if (part != 0u) {
        for (uint i = gl_LocalInvocationIndex; i < columns / 2u; i += gl_WorkGroupSize.x) {
            uint c = 2u * i % push.head_size, head = base + 2u * i - c;
            uint word = ob_half_pair(turned_element(part, token, post, head, c), turned_element(part, token, post, head, c + 1u));
            if (part == 1u) k_cache[to / 2u + i] = word;
            else v_cache[to / 2u + i] = word;
        }
        return;
    }
#endif
    // Pairs of a head: the first half of `rotated` are turned, the others (all, of v) are two elements that stay.
    uint half_rotated = part == 2u ? 0u : push.rotated / 2u, pairs = push.head_size / 2u;
    for (uint i = gl_LocalInvocationIndex; i < columns / 2u; i += gl_WorkGroupSize.x) {
        uint head = i / pairs * push.head_size, pair = i % pairs;
        bool turned = pair < half_rotated;
        bool apart = LAYOUT == 0u && turned;
        uint ia = head + (apart ? pair : 2u * pair), ib = apart ? ia + half_rotated : ia + 1u;
        float a = ob_post_value(post, qkv[base + ia]), b = ob_post_value(post, qkv[base + ib]);
        vec2 turn = turned ? table[(first_position() + token) * half_rotated + pair] : vec2(1.0, 0.0);
        put(part, to + ia, turned ? a * turn.x - b * turn.y : a);
        put(part, to + ib, turned ? a * turn.y + b * turn.x : b);
    }
}

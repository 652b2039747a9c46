// post_qkv: what follows the projections q, k and v of a token, of one of the three by one workgroup: OneBit's norm, then q turned by
// its position in place, k turned into the key cache, v into the value cache. The turn is that of attn/rope_fwd.
// The source includes common/post_norm.glsl and common/half_pair.glsl, declares the arrays `table`, `k_cache` and `v_cache` (of
// OB_KV_WORD) and the constants LAYOUT (0 pairs (i, i + rotated/2), 1 pairs (2i, 2i+1)) and PLACED, and defines OB_QKV(i), word i of
// q|k|v, and OB_QKV_PUSH, an obi_push_post_norm_qkv. With OB_F16 the caches are words of two halves, with OB_INT8 bytes, and the
// source includes common/kv_int8.glsl, to store, in half_pair's place.
#ifndef OB_POST_QKV_GLSL
#define OB_POST_QKV_GLSL

uint first_position() { return PLACED != 0u ? uint(OB_QKV(OB_QKV_PUSH.first_position)) : OB_QKV_PUSH.first_position; }

#if defined(OB_F16) || defined(OB_INT8)
// Element `c` of the head that begins at `head`, normed and turned. A word's two elements may have partners in two others, so
// that each is made from its own pair here; nothing of the rows is overwritten.
float turned_element(uint part, uint token, ob_post post, uint head, uint c)
{
    float x = ob_post_value(post, OB_QKV(head + c));
    if (part == 2u || c >= OB_QKV_PUSH.rotated) return x;
    uint half_rotated = OB_QKV_PUSH.rotated / 2u;
    bool second = LAYOUT == 0u ? c >= half_rotated : (c & 1u) != 0u;
    uint pair = LAYOUT == 0u ? (second ? c - half_rotated : c) : c / 2u;
    uint other = LAYOUT == 0u ? (second ? pair : pair + half_rotated) : c ^ 1u;
    float y = ob_post_value(post, OB_QKV(head + other));
    vec2 turn = table[(first_position() + token) * half_rotated + pair];
    precise float turned = x * turn.x + (second ? y : -y) * turn.y;
    return turned;
}

void put(uint part, uint at, float value) { OB_QKV(at) = value; } // q only
#else
void put(uint part, uint at, float value)
{
    if (part == 0u) OB_QKV(at) = value;
    else if (part == 1u) k_cache[at] = value;
    else v_cache[at] = value;
}
#endif

#ifdef OB_INT8
struct ob_kv_row { uint part, token, base; ob_post post; } kv_row; // at hand

float ob_kv_value(uint vector, uint c)
{
    return turned_element(kv_row.part, kv_row.token, kv_row.post, kv_row.base + vector * OB_QKV_PUSH.head_size, c);
}

void ob_kv_put(uint at, uint word)
{
    uint to = (first_position() + kv_row.token) * OB_QKV_PUSH.kv_heads * ob_kv_vector_words(OB_QKV_PUSH.head_size) + at;
    if (kv_row.part == 1u) k_cache[to] = word;
    else v_cache[to] = word;
}
#endif

// part: 0 q, 1 k, 2 v
void ob_post_qkv(uint part, uint token)
{
    uint columns = (part == 0u ? OB_QKV_PUSH.heads : OB_QKV_PUSH.kv_heads) * OB_QKV_PUSH.head_size;
    uint base = token * columns + (part == 0u ? 0u : part == 1u ? OB_QKV_PUSH.k_start : OB_QKV_PUSH.v_start);
    uint to = part == 0u ? base : (first_position() + token) * columns;
    ob_post post;
#define OB_QKV_READ(i) OB_QKV(base + i)
    OB_POST_STATS(post, OB_QKV_READ, columns, OB_QKV_PUSH.post_eps) // its sums are over before a lane writes
#ifdef OB_INT8
    if (part != 0u) {
        kv_row = ob_kv_row(part, token, base, post);
        ob_kv_store_row(OB_QKV_PUSH.kv_heads, OB_QKV_PUSH.head_size);
        return;
    }
#endif
#ifdef OB_F16
    if (part != 0u) {
        for (uint i = gl_LocalInvocationIndex; i < columns / 2u; i += gl_WorkGroupSize.x) {
            uint c = 2u * i % OB_QKV_PUSH.head_size, head = base + 2u * i - c;
            uint word = ob_half_pair(turned_element(part, token, post, head, c), turned_element(part, token, post, head, c + 1u));
            if (part == 1u) k_cache[to / 2u + i] = word;
            else v_cache[to / 2u + i] = word;
        }
        return;
    }
#endif
    // Pairs of a head: the first half of `rotated` are turned, the others (all, of v) are two elements that stay.
    uint half_rotated = part == 2u ? 0u : OB_QKV_PUSH.rotated / 2u, pairs = OB_QKV_PUSH.head_size / 2u;
    for (uint i = gl_LocalInvocationIndex; i < columns / 2u; i += gl_WorkGroupSize.x) {
        uint head = i / pairs * OB_QKV_PUSH.head_size, pair = i % pairs;
        bool turned = pair < half_rotated;
        bool apart = LAYOUT == 0u && turned;
        uint ia = head + (apart ? pair : 2u * pair), ib = apart ? ia + half_rotated : ia + 1u;
        float a = ob_post_value(post, OB_QKV(base + ia)), b = ob_post_value(post, OB_QKV(base + ib));
        vec2 turn = turned ? table[(first_position() + token) * half_rotated + pair] : vec2(1.0, 0.0);
        precise float turned_a = a * turn.x - b * turn.y, turned_b = a * turn.y + b * turn.x;
        put(part, to + ia, turned ? turned_a : a);
        put(part, to + ib, turned ? turned_b : b);
    }
}

#endif

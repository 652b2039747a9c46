#version 450
#extension GL_GOOGLE_include_directive : require
// post_norm/qkv_fwd for software drivers (common/straight.glsl): OneBit's norm of q, k and v; then q turned by its
// position in place, k turned into the key cache, v into the value cache. All elements of a head are turned.
// b0 w q|k|v, read by its address   b1 r table, by its address (positions, head_size/2, 2): c = cos, s = sin
// b2 w k_cache   b3 w v_cache (context, kv_heads, head_size), f32 or, with OB_F16, words of two halves
// push: obi_push_token_qkv
// spec 0: workgroup, 8 * subgroups   1: subgroups, at most 64   2: 1 with the norm   3: layout, 0 pairs (i, i + head_size/2), 1 pairs
//    (2i, 2i+1)   4: TOKENS: 0 one, 1 PLACED: one, whose position is in q|k|v, 2 several   5: eights of a head; even with layout 0, or 1
//    6, 7: heads and key heads of a subgroup, at most 32 eights
// grid: x: tokens, at most 256   tiers: A
#include "common/half_pair.glsl"
#include "common/push_token.h"
#define OB_PUSH obi_push_token_qkv
#define OB_ROWS 3u
#include "common/token_straight.glsl"

layout(constant_id = 3) const uint LAYOUT = 0u;
layout(constant_id = 4) const uint TOKENS = 0u;
layout(constant_id = 5) const uint HEAD = 1u;
layout(constant_id = 6) const uint HEADS = 1u;
layout(constant_id = 7) const uint KV_HEADS = 1u;

#ifdef OB_F16
#define WORD uint
#else
#define WORD float
#endif
layout(set = 0, binding = 0) writeonly buffer QKV { float qkv[]; };
layout(set = 0, binding = 2) writeonly buffer KCache { WORD k_cache[]; };
layout(set = 0, binding = 3) writeonly buffer VCache { WORD v_cache[]; };

#define PLACED (TOKENS == 1u)
#define MANY (TOKENS == 2u)
#define SIZE (HEAD * 8u) // of a head

// The push constants' digits make the position uniform for Mesa.
uint position(uint64_t qkv_at)
{
    if (!PLACED) return push.position;
    uint p = uint(uintBitsToFloat(ob_word(qkv_at, push.position)));
    return ob_digits(p & 255u) | ob_digits(p >> 8 & 255u) << 8 | ob_digits(p >> 16 & 255u) << 16;
}

// Head j of the subgroup's `count` is there; else it computes the last one again, which is not counted, and stores the same.
#define HEAD_OF(j, count) min(ob_subgroup() * count + j, heads - 1u)
#define COUNTED(j, count) (ob_subgroup() * count + j < heads ? 1.0 : 0.0)

#define LOAD(values, count, head_count, start)                                                                                       \
    heads = head_count;                                                                                                              \
    [[unroll]] for (uint j = 0u; j < count; j++)                                                                                     \
        [[unroll]] for (uint u = 0u; u < HEAD; u++)                                                                                  \
            values[j * HEAD + u] = ob_floats(qkv_at + uint64_t(start * 4u) + uint64_t(HEAD_OF(j, count) * SIZE * 4u + 32u * u));

#define MOMENTS(row, values, count, head_count, pivot)                                                                               \
    {                                                                                                                                \
        heads = head_count;                                                                                                          \
        float mean = 0.0, squares = 0.0, counted = 0.0;                                                                              \
        [[unroll]] for (uint j = 0u; j < count; j++) counted += COUNTED(j, count);                                                   \
        [[unroll]] for (uint j = 0u; j < count; j++)                                                                                 \
            [[unroll]] for (uint u = 0u; u < HEAD; u++) mean += COUNTED(j, count) * (values[j * HEAD + u] - pivot);                   \
        mean = ob_lanes_sum(mean) / (max(counted, 1.0) * float(SIZE));                                                               \
        [[unroll]] for (uint j = 0u; j < count; j++)                                                                                 \
            [[unroll]] for (uint u = 0u; u < HEAD; u++) {                                                                            \
                float apart = (values[j * HEAD + u] - pivot) - mean;                                                                 \
                squares += COUNTED(j, count) * apart * apart;                                                                        \
            }                                                                                                                        \
        ob_leave(row, mean, ob_lanes_sum(squares));                                                                                  \
    }

#define NORM(row, values, count, head_count, pivot)                                                                                  \
    {                                                                                                                                \
        ob_post post = ob_join(row, pivot, head_count * SIZE, count * SIZE, push.post_eps);                                          \
        [[unroll]] for (uint i = 0u; i < count * HEAD; i++) values[i] = ob_post_value(post, values[i]);                               \
    }

// With layout 0 eight u of the first half of a head turns with eight u + HEAD / 2; a head of one eight, within itself.
#define TURN(values, count)                                                                                                          \
    [[unroll]] for (uint j = 0u; j < count; j++) {                                                                                   \
        if (LAYOUT == 0u && HEAD > 1u) {                                                                                             \
            [[unroll]] for (uint u = 0u; u < HEAD / 2u; u++) {                                                                       \
                float first = values[j * HEAD + u], second = values[j * HEAD + HEAD / 2u + u];                                       \
                values[j * HEAD + u] = first * cosine[u] - second * sine[u];                                                         \
                values[j * HEAD + HEAD / 2u + u] = first * sine[u] + second * cosine[u];                                             \
            }                                                                                                                        \
        } else {                                                                                                                     \
            [[unroll]] for (uint u = 0u; u < HEAD; u++) {                                                                            \
                float own = values[j * HEAD + u], other = subgroupShuffleXor(own, LAYOUT == 0u ? 4u : 1u);                           \
                values[j * HEAD + u] = own * cosine[u] + (second ? other : -other) * sine[u];                                        \
            }                                                                                                                        \
        }                                                                                                                            \
    }

#define PUT(buffer, at, value, l) buffer[at + l] = subgroupShuffle(value, l);
#define PUT8(buffer, at, value)                                                                                                      \
    PUT(buffer, at, value, 0u) PUT(buffer, at, value, 1u) PUT(buffer, at, value, 2u) PUT(buffer, at, value, 3u)                      \
    PUT(buffer, at, value, 4u) PUT(buffer, at, value, 5u) PUT(buffer, at, value, 6u) PUT(buffer, at, value, 7u)
#ifdef OB_F16
#define PUT_HALVES(buffer, at, word, l) buffer[at + l] = subgroupShuffle(word, 2u * l);
#define STORE_KV(buffer, values)                                                                                                     \
    [[unroll]] for (uint j = 0u; j < KV_HEADS; j++)                                                                                  \
        [[unroll]] for (uint u = 0u; u < HEAD; u++) {                                                                                \
            uint at = ((row_of_cache + HEAD_OF(j, KV_HEADS)) * SIZE + 8u * u) / 2u;                                                  \
            float own = values[j * HEAD + u];                                                                                        \
            uint word = ob_half_pair(own, subgroupShuffleXor(own, 1u));                                                              \
            PUT_HALVES(buffer, at, word, 0u) PUT_HALVES(buffer, at, word, 1u) PUT_HALVES(buffer, at, word, 2u)                       \
            PUT_HALVES(buffer, at, word, 3u)                                                                                         \
        }
#else
#define STORE_KV(buffer, values)                                                                                                     \
    [[unroll]] for (uint j = 0u; j < KV_HEADS; j++)                                                                                  \
        [[unroll]] for (uint u = 0u; u < HEAD; u++) {                                                                                \
            uint at = (row_of_cache + HEAD_OF(j, KV_HEADS)) * SIZE + 8u * u;                                                         \
            float value = values[j * HEAD + u];                                                                                      \
            PUT8(buffer, at, value)                                                                                                  \
        }
#endif

void main()
{
    uint64_t qkv_at = ob_address(push.qkv_low, push.qkv_high);
    uint token = MANY ? push.token + ob_digits(gl_WorkGroupID.x) : 0u;
    uint place = MANY ? push.position + token : position(qkv_at), heads;
    uint q_start = token * push.heads * SIZE, k_start = push.k_start + token * push.kv_heads * SIZE,
         v_start = push.v_start + token * push.kv_heads * SIZE;
    uint64_t table = ob_address(push.table_low, push.table_high) + uint64_t(place * SIZE) * 4ul;
    float q[32], k[32], v[32], cosine[32], sine[32];
    float q_pivot = uintBitsToFloat(ob_word(qkv_at, q_start)), k_pivot = uintBitsToFloat(ob_word(qkv_at, k_start)),
          v_pivot = uintBitsToFloat(ob_word(qkv_at, v_start));
    LOAD(q, HEADS, push.heads, q_start)
    LOAD(k, KV_HEADS, push.kv_heads, k_start)
    LOAD(v, KV_HEADS, push.kv_heads, v_start)
    if (OB_POST != 0u) {
        MOMENTS(0u, q, HEADS, push.heads, q_pivot)
        MOMENTS(1u, k, KV_HEADS, push.kv_heads, k_pivot)
        MOMENTS(2u, v, KV_HEADS, push.kv_heads, v_pivot)
    }
    barrier(); // no lane writes over what another has not read
    if (OB_POST != 0u) {
        NORM(0u, q, HEADS, push.heads, q_pivot)
        NORM(1u, k, KV_HEADS, push.kv_heads, k_pivot)
        NORM(2u, v, KV_HEADS, push.kv_heads, v_pivot)
    }

    // Cosines and sines alternate in the table.
    bool second = LAYOUT == 0u ? LANE >= 4u : (LANE & 1u) != 0u; // where a pair is in one eight
    if (LAYOUT == 0u && HEAD > 1u) {
        [[unroll]] for (uint u = 0u; u < HEAD / 2u; u++) {
            float t0 = ob_floats(table + uint64_t(64u * u)), t1 = ob_floats(table + uint64_t(64u * u + 32u));
            float c0 = subgroupShuffle(t0, LANE * 2u & 7u), c1 = subgroupShuffle(t1, LANE * 2u & 7u);
            float s0 = subgroupShuffle(t0, LANE * 2u & 7u | 1u), s1 = subgroupShuffle(t1, LANE * 2u & 7u | 1u);
            cosine[u] = LANE < 4u ? c0 : c1;
            sine[u] = LANE < 4u ? s0 : s1;
        }
    } else {
        [[unroll]] for (uint u = 0u; u < HEAD; u++) {
            float t = ob_floats(table + uint64_t(32u * u));
            uint pair = LAYOUT == 0u ? LANE & 3u : LANE >> 1;
            cosine[u] = subgroupShuffle(t, 2u * pair);
            sine[u] = subgroupShuffle(t, 2u * pair + 1u);
        }
    }
    TURN(q, HEADS)
    TURN(k, KV_HEADS)

    heads = push.heads;
    [[unroll]] for (uint j = 0u; j < HEADS; j++)
        [[unroll]] for (uint u = 0u; u < HEAD; u++) {
            uint at = q_start + HEAD_OF(j, HEADS) * SIZE + 8u * u;
            float value = q[j * HEAD + u];
            PUT8(qkv, at, value)
        }
    heads = push.kv_heads;
    uint row_of_cache = place * heads;
    STORE_KV(k_cache, k)
    STORE_KV(v_cache, v)
}

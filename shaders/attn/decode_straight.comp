#version 450
#extension GL_GOOGLE_include_directive : require
// Causal attention of one query, for software drivers (common/straight.glsl): attn/attend_fwd with count = 1.
//   out[h] = sum_p softmax_p(scale * q[h] . keys[p,h']) values[p,h'],  p <= position,  h' = h / (heads / kv_heads)
// b0 w out (heads, head_size); or, with SPLIT, parts (splits, heads, head_size + 2) for attn/combine_fwd
// q, keys and values are read by their addresses; keys and values (positions, kv_heads, head_size), f32 or (OB_F16) words of two halves
// push: obi_push_token_attend
// spec 0: workgroup, 8 * subgroups   1: subgroups, a power of two up to 64   2: SPLIT   3: PLACED   4: eights of words of a head
//    5: positions of a subgroup, a multiple of 8 up to 32
// grid: x the heads of a key head, y key heads, z splits of subgroups * positions each; x and y below 256, z up to 64   tiers: A
//
// A subgroup has some positions: their scores, lanes summing over a head; their weights, a position in each lane; their weighted sums.
// Positions past the query's are read as that one and weigh nothing. What the subgroups have is joined through shared memory.
#include "common/exp_log.glsl"
#include "common/push_token.h"
#define OB_PUSH obi_push_token_attend
#include "common/straight.glsl"

layout(constant_id = 1) const uint OB_SUBGROUPS = 1u;
layout(constant_id = 2) const uint SPLIT = 0u;
layout(constant_id = 3) const uint PLACED = 0u;
layout(constant_id = 4) const uint HEAD = 1u;
layout(constant_id = 5) const uint POSITIONS = 8u;

layout(set = 0, binding = 0) writeonly buffer Result { float result[]; };

#ifdef OB_F16
#define IN_WORD 2u
#else
#define IN_WORD 1u
#endif
#define SIZE (HEAD * 8u * IN_WORD) // of a head
#define SLOTS (OB_SUBGROUPS + 7u & ~7u)

shared float tops[SLOTS], totals[SLOTS], sums[OB_SUBGROUPS * SIZE];

float ob_floats(uint64_t address) { return uintBitsToFloat(ob_eight(address)); }

float ob_lanes_sum(float v)
{
    v += subgroupShuffleXor(v, 1u);
    v += subgroupShuffleXor(v, 2u);
    return v + subgroupShuffleXor(v, 4u);
}

float ob_lanes_max(float v)
{
    v = max(v, subgroupShuffleXor(v, 1u));
    v = max(v, subgroupShuffleXor(v, 2u));
    return max(v, subgroupShuffleXor(v, 4u));
}

// Sums over the lanes of eight values: lane i has that of value i.
float ob_lane_sums(float v[8])
{
#define FOLD(low, high, bit)                                                                                                         \
    ((LANE & bit) != 0u ? high : low) + subgroupShuffle((LANE & bit) != 0u ? low : high, LANE ^ bit)
    float a0 = FOLD(v[0], v[1], 1u), a1 = FOLD(v[2], v[3], 1u), a2 = FOLD(v[4], v[5], 1u), a3 = FOLD(v[6], v[7], 1u);
    float b0 = FOLD(a0, a1, 2u), b1 = FOLD(a2, a3, 2u);
    return FOLD(b0, b1, 4u);
}

#define SHARED_EIGHT(array, first)                                                                                                   \
    uintBitsToFloat(ob_choose(floatBitsToUint(array[first]), floatBitsToUint(array[first + 1u]), floatBitsToUint(array[first + 2u]), \
                              floatBitsToUint(array[first + 3u]), floatBitsToUint(array[first + 4u]),                                \
                              floatBitsToUint(array[first + 5u]), floatBitsToUint(array[first + 6u]),                                \
                              floatBitsToUint(array[first + 7u])))

// The push constants' digits make the position uniform for Mesa.
uint position(uint64_t q)
{
    if (PLACED == 0u) return push.position;
    uint p = uint(uintBitsToFloat(ob_word(q, push.position)));
    return ob_digits(p & 255u) | ob_digits(p >> 8 & 255u) << 8 | ob_digits(p >> 16 & 255u) << 16;
}

#define STORE_LANE(buffer, at, value, l) buffer[at + l] = subgroupShuffle(value, l);
#define STORE8(buffer, at, value)                                                                                                    \
    STORE_LANE(buffer, at, value, 0u) STORE_LANE(buffer, at, value, 1u) STORE_LANE(buffer, at, value, 2u)                            \
    STORE_LANE(buffer, at, value, 3u) STORE_LANE(buffer, at, value, 4u) STORE_LANE(buffer, at, value, 5u)                            \
    STORE_LANE(buffer, at, value, 6u) STORE_LANE(buffer, at, value, 7u)

void main()
{
    uint subgroup = ob_digits(gl_SubgroupID), kv_head = ob_digits(gl_WorkGroupID.y), split = ob_digits(gl_WorkGroupID.z);
    uint head = kv_head * push.group + ob_digits(gl_WorkGroupID.x);
    uint64_t q_all = ob_address(push.q_low, push.q_high), q_at = q_all + uint64_t(head * SIZE * 4u);
    uint last = position(q_all), first = (split * OB_SUBGROUPS + subgroup) * POSITIONS, row = push.kv_heads * HEAD * 8u;
    uint64_t keys = ob_address(push.k_low, push.k_high) + uint64_t(kv_head * HEAD * 32u);
    uint64_t values = ob_address(push.v_low, push.v_high) + uint64_t(kv_head * HEAD * 32u);

    // Of halves, the elements in low and in high halves of words.
#ifdef OB_F16
    float low[32], high[32];
    [[unroll]] for (uint u = 0u; u < HEAD; u++) {
        float q0 = ob_floats(q_at + uint64_t(64u * u)) * push.scale, q1 = ob_floats(q_at + uint64_t(64u * u + 32u)) * push.scale;
        low[u] = LANE < 4u ? subgroupShuffle(q0, 2u * LANE & 7u) : subgroupShuffle(q1, 2u * LANE & 7u);
        high[u] = LANE < 4u ? subgroupShuffle(q0, 2u * LANE + 1u & 7u) : subgroupShuffle(q1, 2u * LANE + 1u & 7u);
    }
#else
    float low[32];
    [[unroll]] for (uint u = 0u; u < HEAD; u++) low[u] = ob_floats(q_at + uint64_t(32u * u)) * push.scale;
#endif

    float score[4], top = OB_LOWEST, total = 0.0;
    [[unroll]] for (uint b = 0u; b < POSITIONS / 8u; b++) {
        float part[8];
        [[unroll]] for (uint l = 0u; l < 8u; l++) {
            uint64_t key = keys + uint64_t(min(first + 8u * b + l, last) * row) * 4ul;
            part[l] = 0.0;
            [[unroll]] for (uint u = 0u; u < HEAD; u++) {
#ifdef OB_F16
                uint word = ob_eight(key + uint64_t(32u * u));
                part[l] += unpackHalf2x16(word).x * low[u] + unpackHalf2x16(word).y * high[u];
#else
                part[l] += ob_floats(key + uint64_t(32u * u)) * low[u];
#endif
            }
        }
        float all_lanes = ob_lane_sums(part);
        score[b] = first + 8u * b + LANE <= last ? all_lanes : OB_LOWEST;
        top = max(top, score[b]);
    }
    top = ob_lanes_max(top);
    [[unroll]] for (uint b = 0u; b < POSITIONS / 8u; b++) {
        float weight = ob_exp_below(score[b] - top);
        score[b] = first + 8u * b + LANE <= last ? weight : 0.0;
        total += score[b];
    }
    total = ob_lanes_sum(total);

    float low_sum[32];
#ifdef OB_F16
    float high_sum[32];
#endif
    [[unroll]] for (uint u = 0u; u < HEAD; u++) {
        low_sum[u] = 0.0;
#ifdef OB_F16
        high_sum[u] = 0.0;
#endif
    }
    [[unroll]] for (uint b = 0u; b < POSITIONS / 8u; b++)
        [[unroll]] for (uint l = 0u; l < 8u; l++) {
            uint64_t value = values + uint64_t(min(first + 8u * b + l, last) * row) * 4ul;
            float weight = subgroupShuffle(score[b], l);
            [[unroll]] for (uint u = 0u; u < HEAD; u++) {
#ifdef OB_F16
                uint word = ob_eight(value + uint64_t(32u * u));
                low_sum[u] += unpackHalf2x16(word).x * weight;
                high_sum[u] += unpackHalf2x16(word).y * weight;
#else
                low_sum[u] += ob_floats(value + uint64_t(32u * u)) * weight;
#endif
            }
        }

    // Each subgroup leaves its sums, then makes eights subgroup, subgroup + OB_SUBGROUPS, ... of the result.
    [[unroll]] for (uint u = 0u; u < HEAD; u++) {
        uint at = subgroup * SIZE + 8u * IN_WORD * u;
#ifdef OB_F16
#define KEEP(l)                                                      \
    sums[at + 2u * l] = subgroupShuffle(low_sum[u], l);              \
    sums[at + 2u * l + 1u] = subgroupShuffle(high_sum[u], l);
        KEEP(0u) KEEP(1u) KEEP(2u) KEEP(3u) KEEP(4u) KEEP(5u) KEEP(6u) KEEP(7u)
#else
        STORE8(sums, at, low_sum[u])
#endif
    }
    tops[subgroup] = top;
    totals[subgroup] = total;
    barrier();

    float weights[8], most = OB_LOWEST, all = 0.0;
    [[unroll]] for (uint b = 0u; b < SLOTS / 8u; b++) {
        weights[b] = SHARED_EIGHT(tops, 8u * b);
        weights[b] = 8u * b + LANE < OB_SUBGROUPS ? weights[b] : OB_LOWEST;
        most = max(most, weights[b]);
    }
    most = ob_lanes_max(most);
    [[unroll]] for (uint b = 0u; b < SLOTS / 8u; b++) {
        weights[b] = ob_exp_below(weights[b] - most);
        float some = weights[b] * SHARED_EIGHT(totals, 8u * b);
        all += 8u * b + LANE < OB_SUBGROUPS ? some : 0.0;
    }
    all = ob_lanes_sum(all);
    float share = SPLIT != 0u ? 1.0 : 1.0 / all;
    uint to = SPLIT != 0u ? (split * push.kv_heads * push.group + head) * (SIZE + 2u) : head * SIZE;
    [[unroll]] for (uint r = 0u; r < (HEAD * IN_WORD + OB_SUBGROUPS - 1u) / OB_SUBGROUPS; r++) {
        uint eight = min(subgroup + r * OB_SUBGROUPS, HEAD * IN_WORD - 1u);
        float sum = 0.0;
        [[unroll]] for (uint b = 0u; b < SLOTS / 8u; b++)
            [[unroll]] for (uint l = 0u; l < min(OB_SUBGROUPS, 8u); l++)
                sum += subgroupShuffle(weights[b], l) * SHARED_EIGHT(sums, (8u * b + l) * SIZE + 8u * eight);
        sum *= share;
        STORE8(result, to + 8u * eight, sum)
    }
    if (SPLIT != 0u) {
        result[to + SIZE] = most;
        result[to + SIZE + 1u] = all;
    }
}

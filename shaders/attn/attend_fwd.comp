// Causal attention of one head, for one query (decode) or a tile of four (OB_TILE, prefill):
//   out[t,h] = sum_p softmax_p(scale * q[t,h] . keys[p,h']) values[p,h'],  p <= first_position + t,  h' = h / (heads / kv_heads)
// b0 w out (tokens, heads, head_size); or, with SPLIT, parts (splits, count, heads, head_size + 2): unnormalised sums, then the
//    largest score and the total weight of a split's positions, for attn/combine_fwd
// b1 r q (tokens, heads, head_size)
// b2 r keys (context, kv_heads, head_size)   b3 r values (context, kv_heads, head_size), f32, f16 (OB_F16) or bytes (OB_INT8, with which
//    there are no sequences: common/kv_int8.glsl)
// push: tokens, heads, kv_heads, head_size (even, <= 256 and <= 4 workgroups), first_position (with PLACED: where in b1 it is, as
//    a float), first_token, count, scale
// spec 0: workgroup size (<= 128)   1: the outputs of a lane, ceil(head_size / workgroup size); with OB_F16 and OB_INT8, whose lanes
//    take pairs, 2 ceil(head_size / 2 / workgroup size)   2: SPLIT   3: PLACED
// grid: x heads, y tiles of tokens [first_token, first_token + count), z with SPLIT the splits, else sequences, which lie one
//    after the other in every array, each with keys and values of its own
// shared: 1.5 KiB + reduce, 6 KiB + reduce with OB_TILE   tiers A B
//
// Positions are taken a workgroup at a time. First each lane has one position and makes its weight; then each lane has
// some columns of the output and adds up all weights. A running maximum keeps every exponent <= 0, and what was summed
// before is scaled whenever it rises, so memory does not grow with the context.
//
// A split takes an equal share of the positions that its tile sees, in whole rounds; the number of splits need not fit the
// context: one that has no positions writes zeros with the lowest score, which change no sum.
#version 450
#extension GL_GOOGLE_include_directive : require
#ifdef OB_TILE
#define OB_REDUCE_VEC4
#endif
#include "common/reduce.glsl"
#include "common/push_attn.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint SLOTS = 4;
layout(constant_id = 2) const uint SPLIT = 0;
layout(constant_id = 3) const uint PLACED = 0;

layout(set = 0, binding = 0) writeonly buffer Out { float result[]; };
layout(set = 0, binding = 1) readonly buffer Q { float q[]; };
#ifdef OB_INT8
#include "common/kv_int8.glsl"
layout(set = 0, binding = 2) readonly buffer Keys { uint keys[]; };
layout(set = 0, binding = 3) readonly buffer Values { uint values[]; };
#elif defined(OB_F16) // words of two halves
layout(set = 0, binding = 2) readonly buffer Keys { uint keys[]; };
layout(set = 0, binding = 3) readonly buffer Values { uint values[]; };
#define KEYS(i) unpackHalf2x16(keys[i])
#else
layout(set = 0, binding = 2) readonly buffer Keys { vec2 keys[]; };
layout(set = 0, binding = 3) readonly buffer Values { float values[]; };
#define KEYS(i) keys[i]
#endif
layout(push_constant) uniform Push { obi_push_attn_attend push; };

#define LOWEST -1.0e38
#define FAR -87.0 // exp below this is no normal float

#ifdef OB_TILE
#define TILE 4u
#define VALUE vec4
#define POSITIONS uvec4
#define SEEN(position, limit) lessThanEqual(uvec4(position), limit)
#define REDUCE_MAX ob_reduce_max4
#define IS_FAR(x) lessThan(x, vec4(FAR))
#define CHOICE bvec4
#else
#define TILE 1u
#define VALUE float
#define POSITIONS uint
#define SEEN(position, limit) ((position) <= (limit))
#define REDUCE_MAX ob_reduce_max
#define IS_FAR(x) ((x) < FAR)
#define CHOICE bool
#endif

shared VALUE query[256];
shared VALUE weights[128];

// For x <= 0. NaN stays NaN.
VALUE weight_of(VALUE x)
{
    CHOICE is_far = IS_FAR(x);
    return mix(exp(mix(x, VALUE(FAR), is_far)), VALUE(0.0), is_far);
}

void main()
{
    uint lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x;
    uint head = gl_WorkGroupID.x, first = push.first_token + gl_WorkGroupID.y * TILE, end = push.first_token + push.count;
    uint size = push.head_size, row = push.heads * size, kv_row = push.kv_heads * size;
    uint sequence = SPLIT != 0u ? 0u : gl_WorkGroupID.z, start_of_q = sequence * push.tokens * row + head * size;
    uint first_position = PLACED != 0u ? uint(q[push.first_position]) : push.first_position;
#ifdef OB_INT8
    kv_row = push.kv_heads * ob_kv_vector_words(size);
    uint kv_start = head / (push.heads / push.kv_heads) * ob_kv_vector_words(size);
#else
    uint kv_start = sequence * (first_position + push.tokens) * kv_row + head / (push.heads / push.kv_heads) * size;
#endif

    // Queries past the last token repeat it; they are computed and not written.
#ifdef OB_TILE
    uvec4 token = min(uvec4(first, first + 1u, first + 2u, first + 3u), uvec4(end - 1u));
    uint last = first_position + token.w;
    for (uint c = lane; c < size; c += lanes) {
        uvec4 at = token * row + start_of_q + c;
        query[c] = vec4(q[at.x], q[at.y], q[at.z], q[at.w]) * push.scale;
    }
#else
    uint token = first;
    uint last = first_position + token;
    for (uint c = lane; c < size; c += lanes) query[c] = q[token * row + start_of_q + c] * push.scale;
#endif
    POSITIONS limit = first_position + token;

    // The columns of the lane's outputs. Without a column of its own it reads an existing one and drops the result.
#if defined(OB_F16) || defined(OB_INT8)
    uint column0 = 2u * lane, column1 = column0 + 1u, column2 = 2u * (lane + lanes), column3 = column2 + 1u;
    uint from0 = min(column0, size - 2u) / 2u, from2 = min(column2, size - 2u) / 2u;
#else
    uint column0 = lane, column1 = lane + lanes, column2 = lane + 2u * lanes, column3 = lane + 3u * lanes;
    uint from0 = min(column0, size - 1u), from1 = min(column1, size - 1u);
    uint from2 = min(column2, size - 1u), from3 = min(column3, size - 1u);
#endif
    VALUE sum0 = VALUE(0.0), sum1 = VALUE(0.0), sum2 = VALUE(0.0), sum3 = VALUE(0.0);
    VALUE total = VALUE(0.0), top = VALUE(LOWEST);

    uint begin = 0u, behind = last + 1u; // the positions
    if (SPLIT != 0u) {
        uint share = (last / (gl_NumWorkGroups.z * lanes) + 1u) * lanes;
        begin = gl_WorkGroupID.z * share;
        behind = min(begin + share, behind);
    }
    for (uint start = begin; start < behind; start += lanes) {
        barrier(); // `query` is written; the weights of the round before have been read
        uint position = start + lane;
        VALUE score = VALUE(0.0);
        if (position <= last) {
            uint c = 0u;
#ifdef OB_INT8
            uint at = position * kv_row + kv_start;
            float scale = uintBitsToFloat(keys[at++]);
            for (; c + 4u <= size; c += 4u, at++) {
                uint word = keys[at];
                vec2 low = ob_kv_pair(word, 0u), high = ob_kv_pair(word, 2u);
                score += query[c] * low.x + query[c + 1u] * low.y + query[c + 2u] * high.x + query[c + 3u] * high.y;
            }
            if (c < size) {
                vec2 low = ob_kv_pair(keys[at], 0u);
                score += query[c] * low.x + query[c + 1u] * low.y;
            }
            score *= scale;
#else
            uint at = (position * kv_row + kv_start) / 2u;
            for (; c + 4u <= size; c += 4u, at += 2u) {
                vec2 low = KEYS(at), high = KEYS(at + 1u);
                score += query[c] * low.x + query[c + 1u] * low.y + query[c + 2u] * high.x + query[c + 3u] * high.y;
            }
            if (c < size) {
                vec2 low = KEYS(at);
                score += query[c] * low.x + query[c + 1u] * low.y;
            }
#endif
        }
        CHOICE seen = SEEN(position, limit);
        VALUE risen = max(top, REDUCE_MAX(mix(VALUE(LOWEST), score, seen)));
        VALUE keep = weight_of(top - risen);
        top = risen;
        weights[lane] = mix(VALUE(0.0), weight_of(score - top), seen);
        total *= keep;
        sum0 *= keep;
        sum1 *= keep;
        sum2 *= keep;
        sum3 *= keep;
        barrier();
#ifdef OB_INT8
#define ADD_POSITION(p, COUNTED)                                          \
        {                                                                 \
            VALUE weight = weights[p];                                    \
            uint at = (start + (p)) * kv_row + kv_start;                  \
            total += weight;                                              \
            weight *= uintBitsToFloat(values[at++]);                      \
            vec2 pair = ob_kv_pair(values[at + from0 / 2u], from0 % 2u * 2u); \
            sum0 += COUNTED(weight * pair.x);                             \
            sum1 += COUNTED(weight * pair.y);                             \
            if (SLOTS > 2u) {                                             \
                pair = ob_kv_pair(values[at + from2 / 2u], from2 % 2u * 2u); \
                sum2 += COUNTED(weight * pair.x);                         \
                sum3 += COUNTED(weight * pair.y);                         \
            }                                                             \
        }
#elif defined(OB_F16)
#define ADD_POSITION(p, COUNTED)                                          \
        {                                                                 \
            VALUE weight = weights[p];                                    \
            uint at = ((start + (p)) * kv_row + kv_start) / 2u;           \
            total += weight;                                              \
            vec2 pair = unpackHalf2x16(values[at + from0]);               \
            sum0 += COUNTED(weight * pair.x);                             \
            sum1 += COUNTED(weight * pair.y);                             \
            if (SLOTS > 2u) {                                             \
                pair = unpackHalf2x16(values[at + from2]);                \
                sum2 += COUNTED(weight * pair.x);                         \
                sum3 += COUNTED(weight * pair.y);                         \
            }                                                             \
        }
#else
#define ADD_POSITION(p, COUNTED)                                          \
        {                                                                 \
            VALUE weight = weights[p];                                    \
            uint at = (start + (p)) * kv_row + kv_start;                  \
            total += weight;                                              \
            sum0 += COUNTED(weight * values[at + from0]);                 \
            if (SLOTS > 1u) sum1 += COUNTED(weight * values[at + from1]); \
            if (SLOTS > 2u) sum2 += COUNTED(weight * values[at + from2]); \
            if (SLOTS > 3u) sum3 += COUNTED(weight * values[at + from3]); \
        }
#endif
        uint count = min(lanes, behind - start);
        uint p = 0u, by_all = count; // so many are seen by all queries of the tile
#ifdef OB_TILE
        by_all = limit.x < start ? 0u : min(limit.x - start + 1u, count);
#endif
#define ALWAYS(term) term
        for (; p + 4u <= by_all; p += 4u) {
            ADD_POSITION(p, ALWAYS)
            ADD_POSITION(p + 1u, ALWAYS)
            ADD_POSITION(p + 2u, ALWAYS)
            ADD_POSITION(p + 3u, ALWAYS)
        }
        for (; p < by_all; p++) ADD_POSITION(p, ALWAYS)
#ifdef OB_TILE // at most three more, whose values may not be finite: 0 times those is not 0
#define WHERE_SEEN(term) mix(VALUE(0.0), term, SEEN(start + p, limit))
        for (; p < count; p++) ADD_POSITION(p, WHERE_SEEN)
#endif
    }

    uint out_row = SPLIT != 0u ? push.heads * (size + 2u) : row;
    uint to = SPLIT != 0u ? (gl_WorkGroupID.z * push.count + first - push.first_token) * out_row + head * (size + 2u)
                          : first * row + start_of_q;
    VALUE share = SPLIT != 0u ? VALUE(1.0) : 1.0 / total;
    sum0 *= share;
    sum1 *= share;
    sum2 *= share;
    sum3 *= share;
#ifdef OB_TILE
#define WRITE(value, column)                                          \
    {                                                                 \
        uint at = to + (column);                                      \
        result[at] = value.x;                                         \
        if (first + 1u < end) result[at + out_row] = value.y;         \
        if (first + 2u < end) result[at + 2u * out_row] = value.z;    \
        if (first + 3u < end) result[at + 3u * out_row] = value.w;    \
    }
#else
#define WRITE(value, column) result[to + (column)] = value;
#endif
    if (column0 < size) WRITE(sum0, column0)
    if (SLOTS > 1u && column1 < size) WRITE(sum1, column1)
    if (SLOTS > 2u && column2 < size) WRITE(sum2, column2)
    if (SLOTS > 3u && column3 < size) WRITE(sum3, column3)
    if (SPLIT != 0u && lane == 0u) {
        WRITE(top, size)
        WRITE(total, size + 1u)
    }
}

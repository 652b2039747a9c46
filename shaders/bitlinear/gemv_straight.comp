#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// y[t,i] = h[i] * sum over j of S[i,j] * (g[j] * x[t,j]) for software drivers (common/straight.glsl), few tokens
//
// b0 rw y  (T,m) f32
// push: obi_push_bitlinear_gemv_straight: addresses of x, g, h and the signs of a row block in tiles (ops/tensor.h)
// spec 0: workgroup, 8 * stretches      spec 1: stretches of a row, 1..64      spec 2: words of a stretch, 1 to 32
// spec 3: careful: the stretches reach past k_count      spec 4: 1: y is added to
// spec 5: OB_GEMV_TOKENS: several tokens; _PARTS: a group of several; _WHOLE: every subgroup writes 8 rows for each 128 / 8 /
// stretches blocks that it adds up, none of them cut, and to fresh rows
// grid: x: tiles of 128 rows of all parts, at most 256; y: tokens, at most 16
// tiers: A
//
// A workgroup makes a tile of 128 rows: each subgroup sums a stretch of k for all of them, a lane rows {8i + lane}, and the
// sums of the stretches are added up in shared memory, in order. Three k's make eight signed sums, one in each lane; three
// bits of a row then choose one of them, by a shuffle: three additions in one.
#include "common/push_bitlinear.h"
#define OB_PUSH obi_push_bitlinear_gemv_straight
#include "common/straight.glsl"

layout(constant_id = 1) const uint OB_STRETCHES = 1u;
layout(constant_id = 2) const uint OB_WORDS = 4u;
layout(constant_id = 3) const uint OB_CAREFUL = 0u;
layout(constant_id = 4) const uint OB_ADD = 0u;
layout(constant_id = 5) const uint OB_PLAN = OB_GEMV_TOKENS | OB_GEMV_PARTS;

layout(set = 0, binding = 0) buffer Y { float y[]; };

shared float sums[OB_STRETCHES * 128u]; // [stretch][row of the tile]

#define CAREFUL (OB_CAREFUL != 0u)
#define TOKENS ((OB_PLAN & OB_GEMV_TOKENS) != 0u)
#define PARTS ((OB_PLAN & OB_GEMV_PARTS) != 0u)
#define WHOLE ((OB_PLAN & OB_GEMV_WHOLE) != 0u)

// Row first + LANE of the tile; first is a multiple of 8.
float ob_sum_of(uint stretch, uint first)
{
    uint at = stretch << 7 | first;
    return uintBitsToFloat(ob_choose(floatBitsToUint(sums[at]), floatBitsToUint(sums[at | 1u]), floatBitsToUint(sums[at | 2u]),
                                     floatBitsToUint(sums[at | 3u]), floatBitsToUint(sums[at | 4u]), floatBitsToUint(sums[at | 5u]),
                                     floatBitsToUint(sums[at | 6u]), floatBitsToUint(sums[at | 7u])));
}

// A table has the eight signed sums of three k's, one in each lane: where bit i of the lane is set, k i is subtracted.
uint ob_table(float k0, float k1, float k2)
{
    uint sign0 = (LANE & 1u) << 31, sign1 = (LANE & 2u) << 30, sign2 = (LANE & 4u) << 29;
    return floatBitsToUint((uintBitsToFloat(floatBitsToUint(k0) ^ sign0) + uintBitsToFloat(floatBitsToUint(k1) ^ sign1)) +
                           uintBitsToFloat(floatBitsToUint(k2) ^ sign2));
}

// Values 3 * LANE + i of 24.
float ob_third(float v0, float v1, float v2, uint i)
{
    uint at = 3u * LANE + i;
    float s0 = subgroupShuffle(v0, at & 7u), s1 = subgroupShuffle(v1, at & 7u), s2 = subgroupShuffle(v2, at & 7u);
    return at < 8u ? s0 : at < 16u ? s1 : s2;
}

// The tables of the first 24 of 32 values: those of eight threes at once, a three in each lane, then turned. The upper four
// lanes mirror the lower ones with the other sign.
void ob_tables(float v0, float v1, float v2, float v3, out uint table[11])
{
    float k0 = ob_third(v0, v1, v2, 0u), k1 = ob_third(v0, v1, v2, 1u), k2 = ob_third(v0, v1, v2, 2u);
    float sum = k0 + k1, difference = k1 - k0;
    float a0 = sum + k2, a1 = difference + k2, a2 = k2 - difference, a3 = k2 - sum; // lanes 0 to 3 of the tables

    bool odd = (LANE & 1u) != 0u, upper = (LANE & 2u) != 0u;
    float s0 = subgroupShuffle(a0, LANE ^ 1u), s1 = subgroupShuffle(a1, LANE ^ 1u), s2 = subgroupShuffle(a2, LANE ^ 1u),
          s3 = subgroupShuffle(a3, LANE ^ 1u);
    float b0 = odd ? s1 : a0, b1 = odd ? a1 : s0, b2 = odd ? s3 : a2, b3 = odd ? a3 : s2;
    float t0 = subgroupShuffle(b0, LANE ^ 2u), t1 = subgroupShuffle(b1, LANE ^ 2u), t2 = subgroupShuffle(b2, LANE ^ 2u),
          t3 = subgroupShuffle(b3, LANE ^ 2u);
    uint c0 = floatBitsToUint(upper ? t2 : b0), c1 = floatBitsToUint(upper ? t3 : b1), c2 = floatBitsToUint(upper ? b2 : t0),
         c3 = floatBitsToUint(upper ? b3 : t1);

    uint mirror = LANE < 4u ? LANE : 7u - LANE, sign = (LANE & 4u) << 29;
    table[0] = subgroupShuffle(c0, mirror) ^ sign;
    table[1] = subgroupShuffle(c1, mirror) ^ sign;
    table[2] = subgroupShuffle(c2, mirror) ^ sign;
    table[3] = subgroupShuffle(c3, mirror) ^ sign;
    table[4] = subgroupShuffle(c0, mirror + 4u) ^ sign;
    table[5] = subgroupShuffle(c1, mirror + 4u) ^ sign;
    table[6] = subgroupShuffle(c2, mirror + 4u) ^ sign;
    table[7] = subgroupShuffle(c3, mirror + 4u) ^ sign;
    table[8] = ob_table(subgroupShuffle(v3, 0u), subgroupShuffle(v3, 1u), subgroupShuffle(v3, 2u));
    table[9] = ob_table(subgroupShuffle(v3, 3u), subgroupShuffle(v3, 4u), subgroupShuffle(v3, 5u));
    table[10] = ob_table(subgroupShuffle(v3, 6u), subgroupShuffle(v3, 7u), 0.0);
}

// Words, as whole lines of 64. (A mask would make what follows from it count as different in each lane.)
uint lines_of(uint words) { return uint(ceil(float(words) * (1.0 / 64.0))) * 64u; }

void main()
{
    uint stretch = OB_STRETCHES > 16u ? ob_digits(gl_SubgroupID) : push.digit[gl_SubgroupID & 15u];
    uint tile = ob_digits(gl_WorkGroupID.x), token = TOKENS ? push.digit[gl_WorkGroupID.y & 15u] : 0u;

    // The part of a group: its tiles follow those of the one before, its scales and results begin at the next 64 words.
    uint tiles = (push.row_count + 127u) >> 7, other_tiles = (push.other_rows + 127u) >> 7;
    uint further = PARTS ? push.digit[uint(tile >= tiles)] : 0u, third = PARTS ? push.digit[uint(tile >= tiles + other_tiles)] : 0u;
    // These are 0 or 1. A choice instead of them, or a rounding, in what an address is made from makes its loads loops over the lanes.
    uint part_tile = tile - further * tiles - third * other_tiles;
    uint m = push.m + further * (push.other_rows - push.m), row_count = push.row_count + further * (push.other_rows - push.row_count);
    uint scales_before = further * push.scales_skip + third * push.other_scales_skip;
    uint tokens = TOKENS ? push.digit[gl_NumWorkGroups.y & 15u] + 16u * push.digit[gl_NumWorkGroups.y >> 4u] : 1u;
    uint y_before = further * lines_of(push.m * tokens) + third * lines_of(push.other_rows * tokens);
    uint k_first = stretch * OB_WORDS * 32u;
    uint64_t x = ob_address(push.x_low, push.x_high) + uint64_t(token * push.n) * 4ul;
    uint64_t g = ob_address(push.g_low, push.g_high) + uint64_t(scales_before) * 4ul;
    uint64_t h = g + uint64_t(push.h_skip) * 4ul;
    uint64_t bits = ob_address(push.bits_low, push.bits_high) + uint64_t(tile * push.tile_words) * 4ul;
    uint at = stretch * 128u, k_last = push.k_count - 1u;
    if (!CAREFUL) {
        x += uint64_t(k_first * 4u);
        g += uint64_t(k_first * 4u);
        bits += uint64_t(k_first * 16u);
    }

#define FAST(v)                                                                                                                      \
    (uintBitsToFloat(ob_eight(x + uint64_t(128u * j + 32u * v))) * uintBitsToFloat(ob_eight(g + uint64_t(128u * j + 32u * v))))
#define CUT(v)                                                                                                                       \
    (k_unit + 8u * v + LANE <= k_last                                                                                                \
         ? uintBitsToFloat(ob_eight_cut(x, k_unit + 8u * v, k_last)) * uintBitsToFloat(ob_eight_cut(g, k_unit + 8u * v, k_last))     \
         : 0.0)
#define INPUT(v) (CAREFUL ? CUT(v) : FAST(v))
#define LOOK(i) uintBitsToFloat(subgroupShuffle(table[i], word >> 3u * i & 7u))
    float sum[16];
    [[unroll]] for (uint r = 0u; r < 16u; r++) sum[r] = 0.0;
    [[unroll]] for (uint j = 0u; j < OB_WORDS; j++) {
        uint k_unit = k_first + 32u * j;
        uint64_t line = bits + (CAREFUL ? uint64_t(min(k_unit, k_last) / 32u * 512u) : uint64_t(512u * j));
        uint table[11];
        ob_tables(INPUT(0u), INPUT(1u), INPUT(2u), INPUT(3u), table);
        [[unroll]] for (uint r = 0u; r < 16u; r++) {
            uint word = ob_eight(line + uint64_t(32u * r));
            sum[r] += ((LOOK(0) + LOOK(1)) + (LOOK(2) + LOOK(3))) + ((LOOK(4) + LOOK(5)) + (LOOK(6) + LOOK(7))) +
                      ((LOOK(8) + LOOK(9)) + LOOK(10));
        }
    }

    // One scalar store after another: one with a place of its own for each lane would be a loop, four times as slow.
    [[unroll]] for (uint r = 0u; r < 16u; r++)
        [[unroll]] for (uint i = 0u; i < 8u; i++) sums[at + 8u * r + i] = subgroupShuffle(sum[r], i);
    barrier();

    // Unrolled by hand: Mesa does not unroll it all, and a load in a loop is a loop over the lanes.
#define ADD(i) if (OB_STRETCHES > i) total += ob_sum_of(i, first);
#define ADD2(i) ADD(i) ADD(i + 1u)
#define ADD4(i) ADD2(i) ADD2(i + 2u)
#define ADD8(i) ADD4(i) ADD4(i + 4u)
#define ADD16(i) ADD8(i) ADD8(i + 8u)
#define ADD64(i) ADD16(i) ADD16(i + 16u) ADD16(i + 32u) ADD16(i + 48u)
#define STORE(i) y[to + uint(i)] = subgroupShuffle(total, uint(i));
#define ROWS(b, ADD_ALL) /* ADD_ALL: as many as there are stretches at the most where a subgroup has more than b blocks of rows */   \
    if (b * OB_STRETCHES < 16u) {                                                                                                    \
        uint block = stretch + b * OB_STRETCHES, first = min(block, 15u) * 8u;                                                       \
        float total = 0.0;                                                                                                           \
        ADD_ALL(0u)                                                                                                                  \
        uint row = part_tile * 128u + first, last = row_count - 1u;                                                                  \
        float scale = uintBitsToFloat(ob_eight_cut(h, min(row, last), last));                                                        \
        uint to = y_before + token * m + push.first_row + row;                                                                       \
        total *= scale;                                                                                                              \
        if (WHOLE) {                                                                                                                 \
            EACH8(STORE)                                                                                                             \
        } else if (block < 16u && row + LANE <= last) {                                                                              \
            y[to + LANE] = OB_ADD != 0u ? y[to + LANE] + total : total;                                                              \
        }                                                                                                                            \
    }
    ROWS(0u, ADD64) ROWS(1u, ADD16) ROWS(2u, ADD8) ROWS(3u, ADD8)
    ROWS(4u, ADD4) ROWS(5u, ADD4) ROWS(6u, ADD4) ROWS(7u, ADD4)
    ROWS(8u, ADD) ROWS(9u, ADD) ROWS(10u, ADD) ROWS(11u, ADD) ROWS(12u, ADD) ROWS(13u, ADD) ROWS(14u, ADD) ROWS(15u, ADD)
}

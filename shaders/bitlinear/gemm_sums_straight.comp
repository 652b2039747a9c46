#version 450
#extension GL_GOOGLE_include_directive : require
// y[t,i] = h[i] * sum over j of S[i,j] * (g[j] * x[t,j]) for software drivers (common/straight.glsl), many tokens, from the
// signed sums of three products g x each, which bitlinear/sums_straight has made; with OB_INT8 from those of bytes, two tokens
// in a word, which bitlinear/sums_int8_straight has made
//
// A record is what the sums of a token are to one dispatch, or those of two tokens.
// b0 rw y  (T,m) f32, or the results of a group one behind the other, each from a multiple of 64 floats on
// push: obi_push_bitlinear_gemm_sums: addresses of the sums, of h and of the signs of a row block in tiles (ops/tensor.h)
// spec 0: workgroup, 8 * stretches      spec 1: stretches of a row, 1..32      spec 2: words of a stretch, 1 to 8
// spec 3: words by which the last stretch begins earlier, where it would reach past the row (their sums there are zeros)
// spec 4: 1: y is added to
// spec 5: careful: tiles are cut by the tokens or the rows
// grid: x: tiles of 4 records of a block, at most 64; y: tiles of 128 rows of all parts, at most 256; z: 4 * blocks: the quarters
//       of a row tile, for one block of records after the other; at most 1024
// tiers: A
//
// A workgroup makes 4 records x 32 rows: each subgroup sums a stretch of k for all of them, a lane rows {8i + lane}, and the
// sums of the stretches are added up in shared memory, in order. Three bits of a row choose one of eight sums, by a shuffle:
// three additions in one, and the three bits serve four records. Two tokens in a word: sums of at most 256 bytes stay within
// 16 bits, and what the lower half borrows from the upper one is given back when they are parted.
#include "common/push_bitlinear.h"
#define OB_PUSH obi_push_bitlinear_gemm_sums
#include "common/straight.glsl"

layout(constant_id = 1) const uint OB_STRETCHES = 1u;
layout(constant_id = 2) const uint OB_WORDS = 8u;
layout(constant_id = 3) const uint OB_EARLIER = 0u;
layout(constant_id = 4) const uint OB_ADD = 0u;
layout(constant_id = 5) const uint OB_CAREFUL = 0u;

layout(set = 0, binding = 0) buffer Y { float y[]; };

shared uvec4 partial[OB_STRETCHES * 32u]; // [stretch][record][row of the quarter]

#define CAREFUL (OB_CAREFUL != 0u)
#define TOKENS (push.tokens & 1023u)
#define RECORDS_PADDED (push.tokens >> 10 & 1023u)
#define BLOCK_TILES (push.tokens >> 20)
#define WORDS (push.first >> 16)
#define ROWS (push.rows & 0xffffu)
#define OTHER_ROWS (push.rows >> 16)

#ifdef OB_INT8
#define TOKENS_OF_RECORD 2u
#define STEP_WORDS 1u // of a record, behind its sums: two steps a stretch
#define SUM int
#define AS_SUM int
#define AS_WORD uint
#else
#define TOKENS_OF_RECORD 1u
#define STEP_WORDS 0u
#define SUM float
#define AS_SUM uintBitsToFloat
#define AS_WORD floatBitsToUint
#endif

// The stretch's sums of block `block`, of eight rows of a record.
SUM ob_partial(uint stretch, uint block)
{
    uvec4 low = partial[stretch * 32u + block * 2u], high = partial[stretch * 32u + block * 2u + 1u];
    return AS_SUM(ob_choose(low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w));
}

#ifdef OB_INT8
// The steps of a stretch, of which there are two pairs in four words.
vec2 ob_steps(uint64_t steps, uint stretch)
{
    uvec4 two = Fours(steps + uint64_t(stretch >> 1) * 16ul).at[0];
    return uintBitsToFloat((stretch & 1u) == 0u ? two.xy : two.zw);
}
#endif

void main()
{
    uint stretch = OB_STRETCHES > 16u ? ob_digits(gl_SubgroupID) : push.digit[gl_SubgroupID & 15u];
    uint tile = ob_digits(gl_WorkGroupID.y), quarter = push.digit[gl_WorkGroupID.z & 3u];
    uint record = (push.first & 0xffffu) + (ob_digits(gl_WorkGroupID.z >> 2) * BLOCK_TILES + ob_digits(gl_WorkGroupID.x)) * 4u;

    // The part of a group, as in gemv_straight. `further` and `third` are 0 or 1: a choice instead of them, or a rounding, in an
    // address makes its loads and stores loops over the lanes.
    uint tiles = (ROWS + 127u) >> 7, other_tiles = (OTHER_ROWS + 127u) >> 7;
    uint further = push.digit[uint(tile >= tiles)], third = push.digit[uint(tile >= tiles + other_tiles)];
    uint part_tile = tile - further * tiles - third * other_tiles;
    uint m = push.m + further * (OTHER_ROWS - push.m), last = ROWS + further * (OTHER_ROWS - ROWS) - 1u;
    uint scales_before = further * push.scales_skip + third * push.other_scales_skip;
    uint y_before = further * push.y_skip + third * push.other_y_skip;
    uint word_first = stretch * OB_WORDS;
    uint64_t records = ob_address(push.sums_low, push.sums_high) +
                       uint64_t(((further + third) * RECORDS_PADDED + record) * (WORDS + STEP_WORDS)) * 352ul;
    uint64_t sums = records + uint64_t(word_first * 352u);
    uint64_t h = ob_address(push.h_low, push.h_high) + uint64_t(scales_before) * 4ul;
    uint64_t bits = ob_address(push.bits_low, push.bits_high) + uint64_t(tile * push.tile_words + quarter * 32u) * 4ul;
    bits += uint64_t((word_first - push.digit[uint(stretch == OB_STRETCHES - 1u)] * OB_EARLIER) * 512u);

    uint64_t line[4];
    [[unroll]] for (uint t = 0u; t < 4u; t++) line[t] = sums + uint64_t(t * (WORDS + STEP_WORDS) * 352u);
    SUM sum[16];
    [[unroll]] for (uint b = 0u; b < 16u; b++) sum[b] = SUM(0);
    [[unroll]] for (uint j = 0u; j < OB_WORDS; j++) {
        uint word[4];
        [[unroll]] for (uint r = 0u; r < 4u; r++) word[r] = ob_eight(bits + uint64_t(512u * j + 32u * r));
        [[unroll]] for (uint i = 0u; i < 11u; i++) {
            uint index[4];
            [[unroll]] for (uint r = 0u; r < 4u; r++) index[r] = word[r] >> 3u * i & 7u;
            [[unroll]] for (uint t = 0u; t < 4u; t++) {
                uint table = ob_eight(line[t] + uint64_t(352u * j + 32u * i));
                [[unroll]] for (uint r = 0u; r < 4u; r++) sum[4u * t + r] += AS_SUM(subgroupShuffle(table, index[r]));
            }
        }
    }

    // One scalar store after another: one with a place of its own for each lane would be a loop, four times as slow.
    [[unroll]] for (uint b = 0u; b < 32u; b++)
        [[unroll]] for (uint i = 0u; i < 4u; i++)
            partial[stretch * 32u + b][i] = AS_WORD(subgroupShuffle(sum[b / 2u], 4u * (b & 1u) + i));
    barrier();

    // Unrolled by hand: Mesa does not unroll it all, and a load in a loop is a loop over the lanes.
#ifdef OB_INT8
#define ADD(i)                                                                                                                       \
    if (OB_STRETCHES > i) {                                                                                                          \
        int two = ob_partial(i, block);                                                                                              \
        vec2 step = ob_steps(steps, i);                                                                                              \
        total.x += float(two << 16 >> 16) * step.x;                                                                                  \
        total.y += float(two + 0x8000 >> 16) * step.y;                                                                               \
    }
#else
#define ADD(i) if (OB_STRETCHES > i) total.x += ob_partial(i, block);
#endif
#define ADD2(i) ADD(i) ADD(i + 1u)
#define ADD4(i) ADD2(i) ADD2(i + 2u)
#define ADD8(i) ADD4(i) ADD4(i + 4u)
#define ADD16(i) ADD8(i) ADD8(i + 8u)
#define ADD32(i) ADD16(i) ADD16(i + 16u)
#define STORE(i) y[to + uint(i)] = subgroupShuffle(result, uint(i));
#define TOKEN(b, t) /* of those of a record */                                                                                       \
    {                                                                                                                                \
        uint token = of_record * TOKENS_OF_RECORD + t, to = y_before + token * m + push.first_row + row;                             \
        float result = total[t] * scale;                                                                                             \
        if (CAREFUL || OB_ADD != 0u || (b + 1u) * OB_STRETCHES > 16u) {                                                              \
            bool inside = stretch + b * OB_STRETCHES < 16u && token < TOKENS && row + LANE <= last;                                  \
            if (inside) y[to + LANE] = OB_ADD != 0u ? y[to + LANE] + result : result;                                                \
        } else {                                                                                                                     \
            EACH8(STORE)                                                                                                             \
        }                                                                                                                            \
    }
#define BLOCK(b, ADD_ALL) /* ADD_ALL: as many as there are stretches at the most where a subgroup has more than b blocks */          \
    if (b * OB_STRETCHES < 16u) {                                                                                                    \
        uint block = push.digit[stretch + b * OB_STRETCHES & 15u], in_tile = push.digit[block >> 2u], of_record = record + in_tile;  \
        uint64_t steps = records + uint64_t((in_tile * (WORDS + STEP_WORDS) + WORDS) * 352u);                                        \
        vec2 total = vec2(0.0);                                                                                                      \
        ADD_ALL(0u)                                                                                                                  \
        uint row = part_tile * 128u + quarter * 32u + push.digit[block & 3u] * 8u;                                                   \
        float scale = uintBitsToFloat(CAREFUL ? ob_eight_cut(h, min(row, last), last) : ob_eight(h + uint64_t(row * 4u)));           \
        TOKEN(b, 0u)                                                                                                                 \
        if (TOKENS_OF_RECORD > 1u) TOKEN(b, 1u)                                                                                      \
    }
    BLOCK(0u, ADD32) BLOCK(1u, ADD16) BLOCK(2u, ADD8) BLOCK(3u, ADD8)
    BLOCK(4u, ADD4) BLOCK(5u, ADD4) BLOCK(6u, ADD4) BLOCK(7u, ADD4)
    BLOCK(8u, ADD) BLOCK(9u, ADD) BLOCK(10u, ADD) BLOCK(11u, ADD) BLOCK(12u, ADD) BLOCK(13u, ADD) BLOCK(14u, ADD) BLOCK(15u, ADD)
}

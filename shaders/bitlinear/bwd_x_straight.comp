#version 450
#extension GL_GOOGLE_include_directive : require
// du[p,q] (+)= sum over k of dv[p,k] * S[k,q]: bitlinear/bwd_x for software drivers, one stretch of k (common/straight.glsl).
// p: tokens, q: columns, k: rows of S.
//
// b0 w  du  f32
// push: obi_push_straight: a = dv (p,k), b = the words of S (k, words); q begins at a word
// spec 0: workgroup, 128      spec 1: careful      spec 2: threes of rows in the stretch, 8 (a unit) or 32
// grid: x = ceil(q_count / 64), y = ceil(p_count / 16), below 256 each
// tiers: A
//
// As bitlinear/gemm_straight: a subgroup makes 2 tokens x 32 columns, a lane columns {8i + lane}; three rows of a token
// make a table of eight signed sums. The bits of three rows that choose from it are put together for 32 columns at once.
#include "common/straight_tile.glsl"

layout(constant_id = 2) const uint OB_THREES = 32u;

void main()
{
    ob_tile tile = ob_find_tile(2u, 2u, 32u);
    uint64_t a = ob_address(push.a_low, push.a_high), b = ob_address(push.b_low, push.b_high) + uint64_t(tile.q / 32u) * 4ul;
    uint k_last = push.k_count - 1u;
    uint64_t b_step = uint64_t(push.b_stride) * 4ul;
    uint sign0 = (LANE & 1u) << 31, sign1 = (LANE & 2u) << 30, sign2 = (LANE & 4u) << 29;

#define V_ROW(t) uint64_t v##t = a + uint64_t((tile.p + (CAREFUL ? min(uint(t), tile.p_last) : uint(t))) * push.a_stride) * 4ul;
    EACH2(V_ROW)
#define DECLARE(r) float total##r##0 = ob_old(tile, 0u, 8u * r), total##r##1 = ob_old(tile, 1u, 8u * r), sum##r##0, sum##r##1;
    EACH4(DECLARE)

    uint table;
#define FAST_V(t, k) uintBitsToFloat(Words(v##t).at[k]
#define CUT_V(t, k) uintBitsToFloat((ob_word(v##t, min(k, k_last)) & (k <= k_last ? 0xffffffffu : 0u))
#define FAST_BITS(d) uint bits##d = ob_word(b, 0u); b += b_step;
#define CUT_BITS(d) uint bits##d = ob_word(b, 0u); b += k + d < k_last ? b_step : 0ul;
#define FAST_INDICES                                                                                                                 \
            uint all = (bits0 >> LANE & 0x01010101u) | (bits1 >> LANE & 0x01010101u) << 1 | (bits2 >> LANE & 0x01010101u) << 2;      \
            uint index0 = all & 7u, index1 = all >> 8 & 7u, index2 = all >> 16 & 7u, index3 = all >> 24;
#define CUT_INDEX(r)                                                                                                                 \
            uint column##r = min(8u * r + LANE, tile.q_last); /* columns past the last take its bits */                              \
            uint index##r = (bits0 >> column##r & 1u) | (bits1 >> column##r & 1u) << 1 | (bits2 >> column##r & 1u) << 2;
#define CUT_INDICES EACH4(CUT_INDEX)
#define LOOK(r, t) sum##r##t += uintBitsToFloat(subgroupShuffle(table, index##r));
#define TABLE(KIND, t)                                                                                                               \
            table = floatBitsToUint((KIND##_V(t, k) ^ sign0) + KIND##_V(t, k + 1u) ^ sign1)) + KIND##_V(t, k + 2u) ^ sign2));        \
            LOOK(0, t) LOOK(1, t) LOOK(2, t) LOOK(3, t)
#define THREE(KIND, k_)                                                                                                              \
        {                                                                                                                            \
            const uint k = k_;                                                                                                       \
            KIND##_BITS(0) KIND##_BITS(1) KIND##_BITS(2)                                                                             \
            KIND##_INDICES                                                                                                           \
            TABLE(KIND, 0) TABLE(KIND, 1)                                                                                            \
        }
#define BEGIN(r) sum##r##0 = 0.0; sum##r##1 = 0.0;
#define END(r) total##r##0 += sum##r##0; total##r##1 += sum##r##1;
#define UNIT(KIND, k)                                                                                                                \
        EACH4(BEGIN)                                                                                                                 \
        THREE(KIND, k) THREE(KIND, k + 3u) THREE(KIND, k + 6u) THREE(KIND, k + 9u)                                                   \
        THREE(KIND, k + 12u) THREE(KIND, k + 15u) THREE(KIND, k + 18u) THREE(KIND, k + 21u)                                          \
        EACH4(END)
    if (CAREFUL) {
        UNIT(CUT, 0u)
    } else {
        UNIT(FAST, 0u)
        if (OB_THREES > 8u) {
            UNIT(FAST, 24u)
            UNIT(FAST, 48u)
            UNIT(FAST, 72u)
        }
    }

#define STORES(r) ob_store(tile, 0u, 8u * r, total##r##0); ob_store(tile, 1u, 8u * r, total##r##1);
    EACH4(STORES)
}

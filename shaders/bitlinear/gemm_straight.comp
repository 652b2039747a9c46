#version 450
#extension GL_GOOGLE_include_directive : require
// y[p,q] (+)= h[q] * sum over k of S[q,k] * (g[k] * x[p,k]): bitlinear/gemm for software drivers, one stretch of k
// (common/straight.glsl). p: tokens, q: rows of S, k: columns. h multiplies in the last stretch only.
//
// b0 w  y  f32
// push: obi_push_straight: a = x (p,k), b = the words of S (q, words); k begins at a word
// spec 0: workgroup, 128      spec 1: careful      spec 2: words of the stretch, 1 (a unit), 2 or 4      spec 3: 0 = without g and h
// grid: x = ceil(q_count / 64), y = ceil(p_count / 16), below 256 each
// tiers: A
//
// A subgroup makes 2 tokens x 32 rows, a lane rows {8i + lane}. Three columns of a token make eight signed sums, one in
// each lane; three bits of a row then choose one of them, by a shuffle: three additions in one.
#include "common/straight_tile.glsl"

layout(constant_id = 2) const uint OB_WORDS = 4u;
layout(constant_id = 3) const uint OB_SCALED = 1u;

#define SCALED (OB_SCALED != 0u)

void main()
{
    ob_tile tile = ob_find_tile(2u, 2u, 32u);
    uint64_t a = ob_address(push.a_low, push.a_high), b = ob_address(push.b_low, push.b_high);
    uint64_t scales = ob_address(push.scales_low_or_a_skip, push.scales_high_or_b_skip);
    uint k_last = push.k_count - 1u;

    // The lane's sign of each of three columns.
    uint sign0 = (LANE & 1u) << 31, sign1 = (LANE & 2u) << 30, sign2 = (LANE & 4u) << 29;

#define X_ROW(t) uint64_t x##t = a + uint64_t((tile.p + (CAREFUL ? min(uint(t), tile.p_last) : uint(t))) * push.a_stride) * 4ul;
    EACH2(X_ROW)
#define S_ROW(r, i) (b + uint64_t((tile.q + (CAREFUL ? min(8u * r + i, tile.q_last) : 8u * r + i)) * push.b_stride) * 4ul)
#define S_ROWS(r) uint64_t row##r##0 = S_ROW(r, 0u), row##r##1 = S_ROW(r, 1u), row##r##2 = S_ROW(r, 2u), row##r##3 = S_ROW(r, 3u), \
                           row##r##4 = S_ROW(r, 4u), row##r##5 = S_ROW(r, 5u), row##r##6 = S_ROW(r, 6u), row##r##7 = S_ROW(r, 7u);
    EACH4(S_ROWS)
#define DECLARE(r) float total##r##0 = ob_old(tile, 0u, 8u * r), total##r##1 = ob_old(tile, 1u, 8u * r), sum##r##0, sum##r##1;
    EACH4(DECLARE)

    uint table;
#define FAST_X(t, k) Words(x##t).at[k]
#define FAST_G(k) Words(scales).at[k]
#define CUT_X(t, k) (ob_word(x##t, min(k, k_last)) & (k <= k_last ? 0xffffffffu : 0u))
#define CUT_G(k) ob_word(scales, min(k, k_last))
#define SIGNED(KIND, t, k, sign)                                                                                                     \
    uintBitsToFloat((SCALED ? floatBitsToUint(uintBitsToFloat(KIND##_X(t, k)) * uintBitsToFloat(KIND##_G(k))) : KIND##_X(t, k)) ^ sign)
#define LOOK(r, t) sum##r##t += uintBitsToFloat(subgroupShuffle(table, index##r));
#define LOOKS(t) LOOK(0, t) LOOK(1, t) LOOK(2, t) LOOK(3, t)
#define THREE(KIND, t)                                                                                                               \
            table = floatBitsToUint((SIGNED(KIND, t, k, sign0) + SIGNED(KIND, t, k + 1u, sign1)) + SIGNED(KIND, t, k + 2u, sign2));  \
            LOOKS(t)
#define TWO(KIND, t)                                                                                                                 \
            table = floatBitsToUint(SIGNED(KIND, t, k, sign0) + SIGNED(KIND, t, k + 1u, sign1));                                     \
            LOOKS(t)
#define INDEX(r) uint index##r = word##r >> (k & 31u) & 7u;
#define GROUP(TABLE, KIND, k_) { const uint k = k_; EACH4(INDEX) TABLE(KIND, 0) TABLE(KIND, 1) }
#define LOAD(r)                                                                                                                      \
            uint word##r = ob_choose(Words(row##r##0).at[j], Words(row##r##1).at[j], Words(row##r##2).at[j], Words(row##r##3).at[j], \
                                     Words(row##r##4).at[j], Words(row##r##5).at[j], Words(row##r##6).at[j], Words(row##r##7).at[j]);
#define BEGIN(r) sum##r##0 = 0.0; sum##r##1 = 0.0;
#define END(r) total##r##0 += sum##r##0; total##r##1 += sum##r##1;
#define UNIT(KIND, j_)                                                                                                               \
        {                                                                                                                            \
            const uint j = j_;                                                                                                       \
            EACH4(LOAD)                                                                                                              \
            EACH4(BEGIN)                                                                                                             \
            GROUP(THREE, KIND, 32u * j) GROUP(THREE, KIND, 32u * j + 3u) GROUP(THREE, KIND, 32u * j + 6u)                            \
            GROUP(THREE, KIND, 32u * j + 9u) GROUP(THREE, KIND, 32u * j + 12u) GROUP(THREE, KIND, 32u * j + 15u)                     \
            GROUP(THREE, KIND, 32u * j + 18u) GROUP(THREE, KIND, 32u * j + 21u) GROUP(THREE, KIND, 32u * j + 24u)                    \
            GROUP(THREE, KIND, 32u * j + 27u) GROUP(TWO, KIND, 32u * j + 30u)                                                        \
            EACH4(END)                                                                                                               \
        }
    if (CAREFUL) {
        UNIT(CUT, 0u)
    } else {
        UNIT(FAST, 0u)
        if (OB_WORDS > 1u) UNIT(FAST, 1u)
        if (OB_WORDS > 2u) {
            UNIT(FAST, 2u)
            UNIT(FAST, 3u)
        }
    }

#define SCALE(r)                                                                                                                     \
    if (SCALED) {                                                                                                                    \
        uint64_t h = scales + uint64_t(push.scales_skip_or_c_skip + tile.q) * 4ul;                                                             \
        uint of_row = CAREFUL ? ob_eight_cut(h, 8u * r, tile.q_last) : ob_eight(h + uint64_t(32u * r));                              \
        float scale = (push.flags & OB_STRAIGHT_LAST) != 0u ? uintBitsToFloat(of_row) : 1.0;                                         \
        total##r##0 *= scale;                                                                                                        \
        total##r##1 *= scale;                                                                                                        \
    }
    EACH4(SCALE)
#define STORES(r) ob_store(tile, 0u, 8u * r, total##r##0); ob_store(tile, 1u, 8u * r, total##r##1);
    EACH4(STORES)
}

#version 450
#extension GL_GOOGLE_include_directive : require
// y[p,q] (+)= h[q] * sum over k of S[q,k] * (g[k] * x[p,k]): both products with signs for software drivers, one stretch of k
// (common/straight.glsl). p: tokens. Forward (bitlinear/gemm) q are the rows of S and k its columns; backward (bitlinear/bwd_x)
// q are the columns and k the rows. h multiplies in the last stretch only.
//
// b0 w  y  f32
// push: obi_push_straight: a = x (p,k), b = words of 32 signs along k (word of k, q); k begins at a word
// spec 0: workgroup, 128      spec 1: careful      spec 2: words of the stretch, 1 (a unit), 2 or 4      spec 3: 0 = without g and h
// grid: x = ceil(q_count / 64), y = ceil(p_count / 16), below 256 each
// tiers: A
//
// A subgroup makes 2 tokens x 32 q's, a lane q's {8i + lane}. Three k's of a token make eight signed sums, one in each lane;
// three bits of a q then choose one of them, by a shuffle: three additions in one.
#include "common/straight_tile.glsl"

layout(constant_id = 2) const uint OB_WORDS = 4u;
layout(constant_id = 3) const uint OB_SCALED = 1u;

#define SCALED (OB_SCALED != 0u)

void main()
{
    ob_tile tile = ob_find_tile(2u, 2u, 32u);
    uint64_t a = ob_address(push.a_low, push.a_high), b = ob_address(push.b_low, push.b_high) + uint64_t(tile.q) * 4ul;
    uint64_t scales = ob_address(push.scales_low_or_a_skip, push.scales_high_or_b_skip);
    uint k_last = push.k_count - 1u;

    // The lane's sign of each of three k's.
    uint sign0 = (LANE & 1u) << 31, sign1 = (LANE & 2u) << 30, sign2 = (LANE & 4u) << 29;

#define X_ROW(t) uint64_t x##t = a + uint64_t((tile.p + (CAREFUL ? min(uint(t), tile.p_last) : uint(t))) * push.a_stride) * 4ul;
    EACH2(X_ROW)
#define DECLARE(r) float total##r##0 = ob_old(tile, 0u, 8u * r), total##r##1 = ob_old(tile, 1u, 8u * r), sum##r##0, sum##r##1;
    EACH4(DECLARE)

#define FAST_X(t, k) Words(x##t).at[k]
#define FAST_G(k) Words(scales).at[k]
#define FAST_S(r) ob_eight(line + uint64_t(32u * r))
#define CUT_X(t, k) (ob_word(x##t, min(k, k_last)) & (k <= k_last ? 0xffffffffu : 0u))
#define CUT_G(k) ob_word(scales, min(k, k_last))
#define CUT_S(r) ob_eight_cut(line, 8u * r, tile.q_last)
#define SIGNED(KIND, t, k, sign)                                                                                                     \
    uintBitsToFloat((SCALED ? floatBitsToUint(uintBitsToFloat(KIND##_X(t, k)) * uintBitsToFloat(KIND##_G(k))) : KIND##_X(t, k)) ^ sign)
#define TWO(KIND, t) floatBitsToUint(SIGNED(KIND, t, k, sign0) + SIGNED(KIND, t, k + 1u, sign1))
#define THREE(KIND, t) floatBitsToUint((SIGNED(KIND, t, k, sign0) + SIGNED(KIND, t, k + 1u, sign1)) + SIGNED(KIND, t, k + 2u, sign2))
#define LOOK(r)                                                                                                                      \
            {                                                                                                                        \
                uint index = word##r >> (k & 31u) & 7u;                                                                              \
                sum##r##0 += uintBitsToFloat(subgroupShuffle(table0, index));                                                        \
                sum##r##1 += uintBitsToFloat(subgroupShuffle(table1, index));                                                        \
            }
#define GROUP(TABLE, KIND, k_) { uint k = k_; uint table0 = TABLE(KIND, 0), table1 = TABLE(KIND, 1); EACH4(LOOK) }
#define LOAD(KIND, r) uint word##r = KIND##_S(r);
#define BEGIN(r) sum##r##0 = 0.0; sum##r##1 = 0.0;
#define END(r) total##r##0 += sum##r##0; total##r##1 += sum##r##1;
#define UNIT(KIND, j)                                                                                                                \
        {                                                                                                                            \
            ob_split(tile);                                                                                                          \
            uint64_t line = b + uint64_t((j) * push.b_stride) * 4ul;                                                                 \
            LOAD(KIND, 0) LOAD(KIND, 1) LOAD(KIND, 2) LOAD(KIND, 3)                                                                  \
            EACH4(BEGIN)                                                                                                             \
            [[unroll]] for (uint three = 0u; three < 10u; three++) GROUP(THREE, KIND, 32u * (j) + 3u * three)                        \
            GROUP(TWO, KIND, 32u * (j) + 30u)                                                                                        \
            EACH4(END)                                                                                                               \
        }
    if (CAREFUL) {
        UNIT(CUT, 0u)
    } else {
        [[unroll]] for (uint j = 0u; j < OB_WORDS; j++) UNIT(FAST, j)
    }

#define SCALE(r)                                                                                                                     \
    if (SCALED) {                                                                                                                    \
        uint64_t h = scales + uint64_t(push.scales_skip_or_c_skip + tile.q) * 4ul;                                                   \
        uint of_row = CAREFUL ? ob_eight_cut(h, 8u * r, tile.q_last) : ob_eight(h + uint64_t(32u * r));                              \
        float scale = (push.flags & OB_STRAIGHT_LAST) != 0u ? uintBitsToFloat(of_row) : 1.0;                                         \
        total##r##0 *= scale;                                                                                                        \
        total##r##1 *= scale;                                                                                                        \
    }
    EACH4(SCALE)
#define STORES(r) ob_store(tile, 0u, 8u * r, total##r##0); ob_store(tile, 1u, 8u * r, total##r##1);
    EACH4(STORES)
}

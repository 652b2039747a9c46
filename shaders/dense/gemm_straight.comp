#version 450
#extension GL_GOOGLE_include_directive : require
// c[p,q] (+)= sum over k of a[p,k] * b[k,q]: dense/gemm for software drivers, one stretch of k (common/straight.glsl)
//
// b0 w  c  f32
// push: obi_push_straight; a is [p][k], or [k][p] with OB_A_ACROSS; b is [q][k], or [k][q] with OB_B_ACROSS; with OB_F16
//       b has two halves a word, and q begins at an even one
// spec 0: workgroup, 128      spec 1: careful      spec 2: k's of the stretch, 32 (a unit), 64 or 128
// grid: x = ceil(q_count / 32), y = ceil(p_count / 32), or / 64 with OB_A_ACROSS, z = products of a batch; below 256 each
// tiers: A
//
// A subgroup makes 8 p's (16 with OB_A_ACROSS) x 8 q's, a lane one q: each value of a is multiplied into eight q's of b.
// The four k's of a step are loaded before they are used, so that a row's address is taken up once for them.
#include "common/straight_tile.glsl"

layout(constant_id = 2) const uint OB_DEPTH = 128u;

#ifdef OB_A_ACROSS
#define TILE_P 16u // takes the whole of a's cache lines
#define EACH_P EACH16
#else
#define TILE_P 8u
#define EACH_P EACH8
#endif

// What is read of a and b: FAST_ where all of it is there, CUT_ where it may end before. d: 0..3 after k.
#ifdef OB_A_ACROSS
#define FAST_A(i, d) Words(a##d).at[i]
#define CUT_A(i, d) ob_word(a##d, min(uint(i), tile.p_last))
#define FAST_A_PLACE(d) uint64_t a##d = a_row; a_row += a_step;
#define CUT_A_PLACE(d) uint64_t a##d = a_row; a_row += k + d < k_last ? a_step : 0ul;
#else
#define FAST_A(i, d) Words(a_row##i).at[k + d]
#define CUT_A(i, d) ob_word(a_row##i, min(k + d, k_last))
#define FAST_A_PLACE(d)
#define CUT_A_PLACE(d)
#endif

#ifdef OB_B_ACROSS
#define FAST_B_STEP(d) b_row += b_step;
#define CUT_B_STEP(d) b_row += k + d < k_last ? b_step : 0ul;
#ifdef OB_F16
#define FAST_B_WORD(i, d) Words(b_row).at[i / 2]
#define CUT_B_WORD(i, d) ob_word(b_row, min(uint(i), tile.q_last) / 2u)
#define B_VALUE(d) unpackHalf2x16(word##d >> half_shift).x
#else
#define FAST_B_WORD(i, d) Words(b_row).at[i]
#define CUT_B_WORD(i, d) ob_word(b_row, min(uint(i), tile.q_last))
#define B_VALUE(d) uintBitsToFloat(word##d)
#endif
#else
#define FAST_B_STEP(d)
#define CUT_B_STEP(d)
#ifdef OB_F16
#define FAST_B_WORD(i, d) Words(b_row##i).at[(k + d) / 2u]
#define CUT_B_WORD(i, d) ob_word(b_row##i, min(k + d, k_last) / 2u)
#define B_VALUE(d) ((d & 1) == 0 ? unpackHalf2x16(word##d).x : unpackHalf2x16(word##d).y)
#else
#define FAST_B_WORD(i, d) Words(b_row##i).at[k + d]
#define CUT_B_WORD(i, d) ob_word(b_row##i, min(k + d, k_last))
#define B_VALUE(d) uintBitsToFloat(word##d)
#endif
#endif

#define FAST_PRODUCT(d) product
#define CUT_PRODUCT(d) (k + d <= k_last ? product : 0.0)

// Four k's.
#define TAKE(KIND, d)                                                                                                                \
            KIND##_A_PLACE(d)                                                                                                        \
            uint word##d = ob_choose(KIND##_B_WORD(0, d), KIND##_B_WORD(1, d), KIND##_B_WORD(2, d), KIND##_B_WORD(3, d),             \
                                     KIND##_B_WORD(4, d), KIND##_B_WORD(5, d), KIND##_B_WORD(6, d), KIND##_B_WORD(7, d));            \
            float value##d = B_VALUE(d);                                                                                             \
            KIND##_B_STEP(d)
#define MADD(KIND, i, d)                                                                                                             \
            product = uintBitsToFloat(KIND##_A(i, d)) * value##d;                                                                    \
            sum##i += KIND##_PRODUCT(d);
#define FAST_MADDS(i) MADD(FAST, i, 0) MADD(FAST, i, 1) MADD(FAST, i, 2) MADD(FAST, i, 3)
#define CUT_MADDS(i) MADD(CUT, i, 0) MADD(CUT, i, 1) MADD(CUT, i, 2) MADD(CUT, i, 3)
#define BEGIN(i) sum##i = 0.0;
#define END(i) total##i += sum##i;
#define UNIT(KIND, first)                                                                                                            \
        EACH_P(BEGIN)                                                                                                                \
        [[unroll]] for (uint step = 0u; step < 8u; step++) {                                                                         \
            uint k = (first) + 4u * step;                                                                                            \
            float product;                                                                                                           \
            TAKE(KIND, 0) TAKE(KIND, 1) TAKE(KIND, 2) TAKE(KIND, 3)                                                                  \
            EACH_P(KIND##_MADDS)                                                                                                     \
        }                                                                                                                            \
        EACH_P(END)

void main()
{
    ob_tile tile = ob_find_tile(4u, TILE_P, 8u);
    uint64_t a = ob_address(push.a_low, push.a_high), b = ob_address(push.b_low, push.b_high);
    a += uint64_t(ob_before(OB_STRAIGHT_ROWS_A, push.a_stride, push.scales_low_or_a_skip)) * 4ul;
    b += uint64_t(ob_before(OB_STRAIGHT_ROWS_B, push.b_stride, push.scales_high_or_b_skip)) * 4ul;
    tile.c_skip = ob_before(OB_STRAIGHT_ROWS_C, push.c_stride, push.scales_skip_or_c_skip);
    uint k_last = push.k_count - 1u;
    uint64_t a_step = uint64_t(push.a_stride) * 4ul, b_step = uint64_t(push.b_stride) * 4ul;

#ifdef OB_A_ACROSS
    uint64_t a_row = a + uint64_t(tile.p) * 4ul; // of the next k
#else
#define A_ROW(i) uint64_t a_row##i = a + uint64_t(tile.p + (CAREFUL ? min(uint(i), tile.p_last) : uint(i))) * a_step;
    EACH_P(A_ROW)
#endif
#if defined(OB_B_ACROSS) && defined(OB_F16)
    uint64_t b_row = b + uint64_t(tile.q / 2u) * 4ul;
    uint half_shift = (CAREFUL ? min(LANE, tile.q_last) & 1u : LANE & 1u) * 16u;
#elif defined(OB_B_ACROSS)
    uint64_t b_row = b + uint64_t(tile.q) * 4ul;
#else
#define B_ROW(i) uint64_t b_row##i = b + uint64_t(tile.q + (CAREFUL ? min(uint(i), tile.q_last) : uint(i))) * b_step;
    EACH8(B_ROW)
#endif

#define DECLARE(i) float total##i = ob_old(tile, uint(i), 0u), sum##i;
    EACH_P(DECLARE)
    if (CAREFUL) {
        UNIT(CUT, 0u)
    } else {
        [[unroll]] for (uint unit = 0u; unit < OB_DEPTH / 32u; unit++) {
            UNIT(FAST, 32u * unit)
        }
    }
#define STORE(i) ob_store(tile, uint(i), 0u, total##i);
    EACH_P(STORE)
}

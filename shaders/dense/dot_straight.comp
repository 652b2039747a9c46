#version 450
#extension GL_GOOGLE_include_directive : require
// c[p,q] (+)= sum over k of a[p,k] * b[q,k]: dense/gemm for software drivers where k is the inner index of both, one stretch
// of k (common/straight.glsl)
//
// b0 w  c  f32
// push: obi_push_straight
// spec 0: workgroup, 128      spec 1: careful      spec 2: k's of the stretch, a multiple of 8 up to 256
// spec 3: 1 = a product whose a is 0 counts as 0, whatever b is: weights of attention, and values that a token does not see
// grid: x = ceil(q_count / 8), y = ceil(p_count / 64), z = products of a batch; below 256 each
// tiers: A
//
// A subgroup makes 4 p's x 8 q's, two p's after the other two. Its lanes are eight k's, so that both inputs are whole vectors
// as they lie in memory; in the end the eight sums of a row are added up over the lanes, and lane q gets the q-th.
#include "common/straight_tile.glsl"

layout(constant_id = 2) const uint OB_DEPTH = 128u;
layout(constant_id = 3) const uint OB_UNLESS_ZERO = 0u;

// Sum over the lanes of a where `bit` of the lane is 0, of b where it is 1, as far as that bit tells them apart.
float fold(float a, float b, uint bit)
{
    bool odd = (LANE & bit) != 0u;
    return (odd ? b : a) + subgroupShuffleXor(odd ? a : b, bit);
}

float fold8(float s0, float s1, float s2, float s3, float s4, float s5, float s6, float s7)
{
    return fold(fold(fold(s0, s1, 1u), fold(s2, s3, 1u), 2u), fold(fold(s4, s5, 1u), fold(s6, s7, 1u), 2u), 4u);
}

// Past k_last both inputs are 0. (The choice is made behind the load: inside it the load would be a loop over the lanes.)
float take(uint64_t row, uint k, uint k_last)
{
    uint word = CAREFUL ? ob_eight_cut(row, k, k_last) : ob_eight(row + uint64_t(k * 4u));
    if (CAREFUL) word = LANE + k <= k_last ? word : 0u;
    return uintBitsToFloat(word);
}

// Bits of b that count beside this a. (Of words: no compiler may turn the choice back into a product.)
uint counted(float a) { return OB_UNLESS_ZERO != 0u && floatBitsToUint(a) << 1 == 0u ? 0u : 0xffffffffu; }

void main()
{
    ob_tile tile = ob_find_tile(1u, 4u, 8u);
    uint b_row = push.b_stride + (1u - push.b_stride) * (push.flags >> 5 & 1u); // OB_STRAIGHT_WORDS_B: 1. A choice would make loads loops.
    uint64_t a = ob_address(push.a_low, push.a_high) +
                 uint64_t(ob_before(OB_STRAIGHT_ROWS_A, push.a_stride, push.scales_low_or_a_skip)) * 4ul;
    uint64_t b = ob_address(push.b_low, push.b_high) +
                 uint64_t(ob_before(OB_STRAIGHT_ROWS_B, b_row, push.scales_high_or_b_skip)) * 4ul;
    uint64_t a_step = uint64_t(push.a_stride) * 4ul, b_step = uint64_t(push.b_stride) * 4ul;
    uint k_last = push.k_count - 1u;
    tile.c_skip = ob_before(OB_STRAIGHT_ROWS_C, push.c_stride, push.scales_skip_or_c_skip);

#define A_ROW(i) uint64_t a_row##i = a + uint64_t(tile.p + (CAREFUL ? min(uint(i), tile.p_last) : uint(i))) * a_step;
#define B_ROW(i) uint64_t b_row##i = b + uint64_t(tile.q + (CAREFUL ? min(uint(i), tile.q_last) : uint(i))) * b_step;
#define DECLARE(i) float first##i, second##i;
    EACH4(A_ROW)
    EACH8(B_ROW)
    EACH8(DECLARE)

#define BEGIN(i) first##i = second##i = 0.0;
#define MADD(i)                                                           \
            {                                                             \
                uint value = floatBitsToUint(take(b_row##i, k, k_last));  \
                first##i += left * uintBitsToFloat(value & left_bits);    \
                second##i += right * uintBitsToFloat(value & right_bits); \
            }
#define TWO_ROWS(i, j)                                                                                                       \
    {                                                                                                                        \
        float old##i = ob_old(tile, uint(i), 0u), old##j = ob_old(tile, uint(j), 0u);                                        \
        EACH8(BEGIN)                                                                                                         \
        [[unroll]] for (uint step = 0u; step < OB_DEPTH / 8u; step++) {                                                      \
            uint k = step * 8u;                                                                                              \
            float left = take(a_row##i, k, k_last), right = take(a_row##j, k, k_last);                                       \
            uint left_bits = counted(left), right_bits = counted(right);                                                     \
            EACH8(MADD)                                                                                                      \
        }                                                                                                                    \
        ob_store(tile, uint(i), 0u, old##i + fold8(first0, first1, first2, first3, first4, first5, first6, first7));         \
        ob_store(tile, uint(j), 0u, old##j + fold8(second0, second1, second2, second3, second4, second5, second6, second7)); \
    }
    TWO_ROWS(0, 1)

    // The same rows of b once more, at addresses that no compiler knows to be the same: it would keep what it can of the first
    // time, and load the rest word by word.
#define AGAIN(i) b_row##i += uint64_t(push.digit[0]);
    EACH8(AGAIN)
    TWO_ROWS(2, 3)
}

#version 450
#extension GL_GOOGLE_include_directive : require
// c[p,q] (+)= sum over k of a[p,k] * b[q,k]: dense/gemm for software drivers where k is the inner index of both, one stretch
// of k (common/straight.glsl)
//
// b0 w  c  f32
// push: obi_push_straight
// spec 0: workgroup, 128      spec 1: careful      spec 2: k's of the stretch, 32, 64, 128 or 256
// grid: x = ceil(q_count / 8), y = ceil(p_count / 32), z = products of a batch; below 256 each
// tiers: A
//
// A subgroup makes 2 p's x 8 q's. Its lanes are eight k's, so that both inputs are whole vectors as they lie in memory; in
// the end the eight sums of a row are added up over the lanes, and lane q gets the q-th.
#include "common/straight_tile.glsl"

layout(constant_id = 2) const uint OB_DEPTH = 128u;

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

void main()
{
    ob_tile tile = ob_find_tile(1u, 2u, 8u);
    uint product_index = ob_digits(gl_WorkGroupID.z);
    uint64_t a = ob_address(push.a_low, push.a_high) + uint64_t(product_index * push.scales_low_or_a_skip) * 4ul;
    uint64_t b = ob_address(push.b_low, push.b_high) + uint64_t(product_index * push.scales_high_or_b_skip) * 4ul;
    uint64_t a_step = uint64_t(push.a_stride) * 4ul, b_step = uint64_t(push.b_stride) * 4ul;
    uint k_last = push.k_count - 1u;
    tile.c_skip = product_index * push.scales_skip_or_c_skip;

#define A_ROW(i) uint64_t a_row##i = a + uint64_t(tile.p + (CAREFUL ? min(uint(i), tile.p_last) : uint(i))) * a_step; float old##i = ob_old(tile, uint(i), 0u);
#define B_ROW(i) uint64_t b_row##i = b + uint64_t(tile.q + (CAREFUL ? min(uint(i), tile.q_last) : uint(i))) * b_step; float first##i = 0.0, second##i = 0.0;
    EACH2(A_ROW)
    EACH8(B_ROW)

#define MADD(i)                                        \
            {                                          \
                float value = take(b_row##i, k, k_last);       \
                first##i += left * value;              \
                second##i += right * value;            \
            }
#define STEP(k_)                                                                \
        {                                                                       \
            const uint k = (k_);                                                \
            float left = take(a_row0, k, k_last), right = take(a_row1, k, k_last);              \
            EACH8(MADD)                                                         \
        }
#define STEPS32(k) STEP(k) STEP((k) + 8u) STEP((k) + 16u) STEP((k) + 24u)
#define STEPS128(k) STEPS32(k) STEPS32((k) + 32u) STEPS32((k) + 64u) STEPS32((k) + 96u)
    STEPS32(0u)
    if (OB_DEPTH > 32u) {
        STEPS32(32u)
    }
    if (OB_DEPTH > 64u) {
        STEPS32(64u)
        STEPS32(96u)
    }
    if (OB_DEPTH > 128u) {
        STEPS128(128u)
    }
    ob_store(tile, 0u, 0u, old0 + fold8(first0, first1, first2, first3, first4, first5, first6, first7));
    ob_store(tile, 1u, 0u, old1 + fold8(second0, second1, second2, second3, second4, second5, second6, second7));
}

#version 450
#extension GL_GOOGLE_include_directive : require
// The signed sums that bitlinear/gemm_sums_straight chooses from, for software drivers (common/straight.glsl): of every three
// values v = g[k] * x[t,k] the eight +-v0 +-v1 +-v2, bit i of the sum's number set where v i is subtracted. A word of 32 k's
// has eleven such tables, the last of two values. Past k_count the values are 0.
//
// With OB_INT8 two tokens are one record: v = q + (q' << 16), q the byte of the first token's g[k] * x[t,k] and q' that of the
// second's, rounded as in bitlinear/quantise, but in blocks of a stretch each, of at most 256 columns. Where there is no second
// one, its bytes are anything. Behind the words of a record: two 1 / scale for each stretch, as f32.
//
// b0 w  sums  (parts, records_padded, words, 11, 8) f32; with OB_INT8 (parts, records_padded, words + 1, 11, 8) int
// push: obi_push_bitlinear_sums
// spec 0: workgroup, 8 * stretches      spec 1: words of a stretch, 1 to 8      spec 2: careful: k_count is no multiple of 32
// spec 3: words by which the last stretch begins earlier, so as to end where the k's do; there they have been counted already
// grid: y: records (tokens, or pairs of them), at most 256; z: parts, at most 3
// tiers: A
//
// A workgroup has a record, a subgroup a stretch of its words. Eight tables are made at once, one in each lane.
#include "common/push_bitlinear.h"
#define OB_PUSH obi_push_bitlinear_sums
#ifdef OB_INT8
#define OB_SUM int
#define TOKENS_OF_RECORD 2u
#define STEP_WORDS 1u
#include "common/byte_scale.glsl"
#else
#define OB_SUM float
#define TOKENS_OF_RECORD 1u
#define STEP_WORDS 0u
#endif
#include "common/sign_sums.glsl"

layout(constant_id = 1) const uint OB_WORDS = 4u;
layout(constant_id = 2) const uint OB_CAREFUL = 0u;
layout(constant_id = 3) const uint OB_EARLIER = 0u;

layout(set = 0, binding = 0) writeonly buffer Sums { OB_SUM sums[]; };

#define CAREFUL (OB_CAREFUL != 0u)

#ifdef OB_INT8
// The greatest of the lanes' values.
uint ob_lanes_max(uint v)
{
    v = max(v, subgroupShuffleXor(v, 1u));
    v = max(v, subgroupShuffleXor(v, 2u));
    return max(v, subgroupShuffleXor(v, 4u));
}
#endif

void main()
{
    uint part = push.digit[gl_WorkGroupID.z & 15u], record = ob_digits(gl_WorkGroupID.y), stretch = ob_digits(gl_SubgroupID);
    uint word = stretch * OB_WORDS, k_last = push.k_count - 1u;
    uint g_before = push.digit[uint(gl_WorkGroupID.z > 0u)] * push.scales_skip +
                    push.digit[uint(gl_WorkGroupID.z > 1u)] * push.other_scales_skip;
    uint64_t x = ob_address(push.x_low, push.x_high) + uint64_t(record * TOKENS_OF_RECORD * push.n) * 4ul;
    uint64_t g = ob_address(push.g_low, push.g_high) + uint64_t(g_before) * 4ul;
    uint at_record = (part * push.records_padded + record) * (push.words + STEP_WORDS) * 88u, at = at_record + word * 88u;
    uint earlier = push.digit[uint(gl_SubgroupID == gl_NumSubgroups - 1u)] * OB_EARLIER, k_first = (word - earlier) * 32u;
    if (!CAREFUL) {
        x += uint64_t(k_first * 4u);
        g += uint64_t(k_first * 4u);
    }

#define FAST(v)                                                                                                                      \
    (uintBitsToFloat(ob_eight(x + uint64_t(128u * j + 32u * v))) * uintBitsToFloat(ob_eight(g + uint64_t(128u * j + 32u * v))))
#define CUT(v)                                                                                                                       \
    (k_unit + 8u * v + LANE <= k_last                                                                                                \
         ? uintBitsToFloat(ob_eight_cut(x, k_unit + 8u * v, k_last)) * uintBitsToFloat(ob_eight_cut(g, k_unit + 8u * v, k_last))     \
         : 0.0)
#define INPUT(v) (j < earlier ? 0.0 : CAREFUL ? CUT(v) : FAST(v))
#ifdef OB_INT8
    // 0 where there is no second token: then it is made of the first one's values.
    uint second = push.digit[uint(record * 2u + 1u < push.tokens)];
    int bytes[4u * OB_WORDS];
    [[unroll]] for (uint i = 0u; i < 4u * OB_WORDS; i++) bytes[i] = 0;
    [[unroll]] for (uint t = 0u; t < 2u; t++) {
        float u[4u * OB_WORDS];
        uint top = 0u;
        [[unroll]] for (uint j = 0u; j < OB_WORDS; j++) {
            uint k_unit = k_first + 32u * j;
            u[4u * j] = INPUT(0u);
            u[4u * j + 1u] = INPUT(1u);
            u[4u * j + 2u] = INPUT(2u);
            u[4u * j + 3u] = INPUT(3u);
            [[unroll]] for (uint v = 0u; v < 4u; v++) top = max(top, floatBitsToUint(abs(u[4u * j + v]))); // a NaN is above all
        }
        top = ob_lanes_max(top);
        // Neither a NaN nor an infinity may reach the other token's half of a word.
        bool finite = top < 0x7f800000u, some = finite && top >= OB_BYTE_TOP_MIN;
        float scale = byte_scale(some ? top : OB_BYTE_TOP_MIN);
        [[unroll]] for (uint i = 0u; i < 4u * OB_WORDS; i++) bytes[i] += (some ? int(roundEven(u[i] * scale)) : 0) << 16u * t;
        float inverse = some ? 1.0 / scale : finite ? 0.0 : uintBitsToFloat(0x7fc00000u);
        sums[at_record + push.words * 88u + 2u * stretch + t] = floatBitsToInt(inverse);
        x += uint64_t(second * push.n) * 4ul;
    }
#endif
    [[unroll]] for (uint j = 0u; j < OB_WORDS; j++) {
#ifdef OB_INT8
        int v0 = bytes[4u * j], v1 = bytes[4u * j + 1u], v2 = bytes[4u * j + 2u], v3 = bytes[4u * j + 3u];
#else
        uint k_unit = k_first + 32u * j;
        float v0 = INPUT(0u), v1 = INPUT(1u), v2 = INPUT(2u), v3 = INPUT(3u);
#endif
        OB_WORD_SUMS(at + 88u * j, v0, v1, v2, v3)
    }
}

#version 450
#extension GL_GOOGLE_include_directive : require
// Softmax and its gradient over the rows of attention's matrices, for software drivers (common/straight.glsl): one chunk of
// columns of each row. In row t the columns p <= t are seen.
//   step 0  stats = top, sum of exp(scale s[p] - top), over this chunk and, unless fresh, the chunks before
//   step 1  weights s[p] -> w[p] = exp(scale s[p] - top) / sum, 0 where not seen
//   step 2  stats.z = sum of w[p] dw[p], likewise
//   step 3  slopes dw[p] -> ds[p] = scale w[p] (dw[p] - stats.z)
//   step 4  steps 0 and 1 where the chunk is the whole row; step 5  steps 2 and 3 likewise
//
// b0 w  what the step writes: stats (heads, tokens, 4), weights or slopes (heads, tokens, tokens)
// push: obi_push_attn_rows; first_row and first_column multiples of 32, tokens too
// spec 0: workgroup, 128      spec 1: step      spec 2: columns of the chunk, 256, 128 or 32
// grid: x = rows / 16, y = heads, below 256 each
// tiers: A
//
// A subgroup has a row.
#include "common/exp_log.glsl"
#include "common/push_attn.h"
#define OB_PUSH obi_push_attn_rows
#include "common/straight.glsl"

layout(constant_id = 1) const uint OB_STEP = 0u;
layout(constant_id = 2) const uint OB_COLUMNS = 128u;
layout(set = 0, binding = 0) writeonly buffer Result { float result[]; };

#define TOP 0u
#define SUM 1u
#define SLOPE 2u

// Over the lanes, always in the same order.
float lanes_max(float v)
{
    float m = subgroupShuffle(v, 0u);
#define TAKE(i) m = max(m, subgroupShuffle(v, uint(i)));
    TAKE(1) TAKE(2) TAKE(3) TAKE(4) TAKE(5) TAKE(6) TAKE(7)
#undef TAKE
    return m;
}

float lanes_sum(float v)
{
    float s = subgroupShuffle(v, 0u);
#define TAKE(i) s += subgroupShuffle(v, uint(i));
    TAKE(1) TAKE(2) TAKE(3) TAKE(4) TAKE(5) TAKE(6) TAKE(7)
#undef TAKE
    return s;
}

void main()
{
    uint row = push.first_row + ob_digits(gl_WorkGroupID.x) * 16u + push.digit[gl_SubgroupID & 15u];
    uint line = ob_digits(gl_WorkGroupID.y) * push.tokens + row, at = line * push.tokens + push.first_column;
    uint64_t weights = ob_address(push.weights_low, push.weights_high) + uint64_t(at) * 4ul;
    uint64_t slopes = ob_address(push.slopes_low, push.slopes_high) + uint64_t(at) * 4ul;
    uint64_t stats = ob_address(push.stats_low, push.stats_high) + uint64_t(line) * 16ul;
    uint column = push.first_column + LANE;
    float top = uintBitsToFloat(ob_word(stats, TOP)), sum = uintBitsToFloat(ob_word(stats, SUM));
    float slope = uintBitsToFloat(ob_word(stats, SLOPE));

#define WEIGHT float w = uintBitsToFloat(ob_eight(weights + uint64_t(i * 32u)));
// Past the diagonal nobody may have written the slopes.
#define SLOPE_OF float d = uintBitsToFloat(ob_eight(slopes + uint64_t(i * 32u))); d = column + i * 8u <= row ? d : 0.0;
#define SCORE WEIGHT w = column + i * 8u <= row ? w * push.scale : OB_LOWEST;
#define STORE_LANE(l) result[at + place + uint(l)] = subgroupShuffle(value, uint(l));
#define STORE(word) { uint place = i * 8u; float value = word; EACH8(STORE_LANE) }
#define CHUNK [[unroll]] for (uint i = 0u; i < OB_COLUMNS / 8u; i++)

    bool whole = OB_STEP >= 4u, fresh = whole || push.fresh != 0u;
    if (OB_STEP == 0u || OB_STEP == 4u) {
        float largest = fresh ? OB_LOWEST : top, total = 0.0;
        float before = largest;
        CHUNK { SCORE largest = max(largest, w); }
        largest = lanes_max(largest);
        CHUNK { SCORE total += ob_exp_below(w - largest); }
        total = lanes_sum(total);
        total += fresh ? 0.0 : sum * ob_exp_below(before - largest);
        top = largest;
        sum = total;
        if (!whole) {
            result[line * 4u + TOP] = top;
            result[line * 4u + SUM] = sum;
        }
    }
    if (OB_STEP == 1u || OB_STEP == 4u) {
        float share = 1.0 / sum;
        CHUNK { SCORE STORE(ob_exp_below(w - top) * share) }
    }
    if (OB_STEP == 2u || OB_STEP == 5u) {
        float total = 0.0;
        CHUNK { WEIGHT SLOPE_OF total += w * d; }
        slope = (fresh ? 0.0 : slope) + lanes_sum(total);
        if (!whole) result[line * 4u + SLOPE] = slope;
    }
    if (OB_STEP == 3u || OB_STEP == 5u) {
        CHUNK { WEIGHT SLOPE_OF STORE(push.scale * w * (d - slope)) }
    }
}

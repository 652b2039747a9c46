#version 450
#extension GL_GOOGLE_include_directive : require
// Softmax over the rows of a prompt's scores, for software drivers (common/straight.glsl): row t sees the positions up to
// first_position + t. A row is cut into chunks of positions, all of which are done at once.
//   step 0  of each chunk: top = the largest scale s[p], and the sum of exp(scale s[p] - top)
//   step 1  s[p] -> w[p] = exp(scale s[p] - top) / sum with those of the whole row, 0 where not seen
//   step 2  both where a row is one chunk
//
// b0 rw  step 0: stats (heads, rows, 2, 8 * vectors), tops before sums; else scores (heads, rows, stride)
// push: obi_push_attn_prompt_rows
// spec 0: workgroup, 32      spec 1: step      spec 2: positions of a chunk, a multiple of 8 up to 256
// spec 3: vectors, of eight chunks, 1 to 32
// grid: x = rows / 4, y = heads, z = chunks; 255, 255, and 256 at most
// tiers: A
//
// A subgroup has a chunk of a row.
#include "common/exp_log.glsl"
#include "common/push_attn.h"
#define OB_PUSH obi_push_attn_prompt_rows
#include "common/straight.glsl"

layout(constant_id = 1) const uint OB_STEP = 0u;
layout(constant_id = 2) const uint OB_COLUMNS = 256u;
layout(constant_id = 3) const uint OB_VECTORS = 1u;
layout(set = 0, binding = 0) writeonly buffer Result { float result[]; };

// Over the lanes, always in the same order.
float lanes_max(float v)
{
    float m = subgroupShuffle(v, 0u);
    [[unroll]] for (uint i = 1u; i < 8u; i++) m = max(m, subgroupShuffle(v, i));
    return m;
}

float lanes_sum(float v)
{
    float s = subgroupShuffle(v, 0u);
    [[unroll]] for (uint i = 1u; i < 8u; i++) s += subgroupShuffle(v, i);
    return s;
}

void main()
{
    uint row = ob_digits(gl_WorkGroupID.x) * 4u + push.digit[gl_SubgroupID & 15u], chunk = ob_digits(gl_WorkGroupID.z);
    uint line = ob_digits(gl_WorkGroupID.y) * push.rows + row, at = line * push.stride + chunk * OB_COLUMNS;
    uint stats_at = line * (16u * OB_VECTORS);
    uint64_t scores = ob_address(push.scores_low, push.scores_high) + uint64_t(at) * 4ul;
    uint64_t stats = ob_address(push.stats_low, push.stats_high) + uint64_t(stats_at) * 4ul;
    uint column = chunk * OB_COLUMNS + LANE, last = push.first_position + row;

    // The choice is made behind the load: inside it the load would be a loop over the lanes.
#define SCORE(i) float s = uintBitsToFloat(ob_eight(scores + uint64_t(i * 32u))); s = column + i * 8u <= last ? s * push.scale : OB_LOWEST;
#define CHUNK [[unroll]] for (uint i = 0u; i < OB_COLUMNS / 8u; i++)

    float top = OB_LOWEST, sum = 0.0;
    if (OB_STEP == 1u) {
        [[unroll]] for (uint v = 0u; v < OB_VECTORS; v++) {
            float of_chunk = uintBitsToFloat(ob_eight(stats + uint64_t(v * 32u)));
            top = max(top, v * 8u + LANE < push.chunks ? of_chunk : OB_LOWEST);
        }
        top = lanes_max(top);
        [[unroll]] for (uint v = 0u; v < OB_VECTORS; v++) {
            float of_chunk = uintBitsToFloat(ob_eight(stats + uint64_t(v * 32u)));
            float part = uintBitsToFloat(ob_eight(stats + uint64_t((OB_VECTORS + v) * 32u))) * ob_exp_below(of_chunk - top);
            sum += v * 8u + LANE < push.chunks ? part : 0.0;
        }
    } else {
        CHUNK { SCORE(i) top = max(top, s); }
        top = lanes_max(top);
        CHUNK { SCORE(i) sum += ob_exp_below(s - top); }
    }
    sum = lanes_sum(sum);

    if (OB_STEP == 0u) {
        result[stats_at + chunk] = top;
        result[stats_at + 8u * OB_VECTORS + chunk] = sum;
    } else {
        float share = 1.0 / sum;
#define STORE(l) result[at + i * 8u + uint(l)] = subgroupShuffle(w, uint(l));
        CHUNK {
            SCORE(i)
            float w = ob_exp_below(s - top) * share;
            EACH8(STORE)
        }
    }
}

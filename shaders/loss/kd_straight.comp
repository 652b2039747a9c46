#version 450
#extension GL_GOOGLE_include_directive : require
// loss/kd_xent for software drivers (common/straight.glsl): one chunk of columns of each row.
//   step 0  stats.xy = the largest logit of student and teacher
//   step 1  stats 2..5 = sums of the student's powers, of the teacher's, those weighted by t - s, and by t; loss from them, what
//           the last chunk leaves there
//   step 2  the gradient, over the student's logits
// a: the student; b: the teacher (T, V); w: mask (T); formulas as in loss/kd_xent
//
// b0 w  stats (T, 8) or student (T, V)      b1 w  loss (T, 2), step 1 only
// push: obi_push_rows, eps: the gradient's scale
// spec 0: workgroup, 128      spec 1: step      spec 2: columns of the chunk, a multiple of 8 up to 256
// grid: x = rows / 16, y = chunks side by side (1 in a step that makes stats); below 256 each
// tiers: A
#include "common/exp_log.glsl"
#include "common/rows_straight.glsl"

layout(set = 0, binding = 0) writeonly buffer Result { float result[]; };
layout(set = 0, binding = 1) writeonly buffer Loss { float loss[]; };

float lanes_max(float v)
{
    v = max(v, subgroupShuffleXor(v, 1u));
    v = max(v, subgroupShuffleXor(v, 2u));
    return max(v, subgroupShuffleXor(v, 4u));
}

void main()
{
    uint row = ob_row(), column = ob_first_column(), at = row * push.columns + column;
    uint64_t student = ob_address(push.a_low, push.a_high) + uint64_t(at) * 4ul;
    uint64_t teacher = ob_address(push.b_low, push.b_high) + uint64_t(at) * 4ul;
    uint64_t stats = ob_address(push.stats_low, push.stats_high) + uint64_t(row) * 32ul;
    bool masked = ob_word(ob_address(push.w_low, push.w_high), row) == 0xffffffffu, fresh = (push.flags & OB_ROWS_FRESH) != 0u;
#define STAT(i) uintBitsToFloat(ob_word(stats, i))
    float s_top = STAT(0u), t_top = STAT(1u), s_sum = STAT(2u), t_sum = STAT(3u);

    if (OB_STEP == 0u) {
        if (fresh) s_top = t_top = OB_LOWEST;
        OB_CHUNK {
            s_top = max(s_top, OB_EIGHT(student, i));
            t_top = max(t_top, OB_EIGHT(teacher, i));
        }
        result[row * 8u] = lanes_max(s_top);
        result[row * 8u + 1u] = lanes_max(t_top);
    }
    if (OB_STEP == 1u) {
        float s_powers = 0.0, t_powers = 0.0, aparts = 0.0, heights = 0.0;
        OB_CHUNK {
            float s = OB_EIGHT(student, i) - s_top, t = OB_EIGHT(teacher, i) - t_top;
            float t_power = ob_exp_below(t);
            s_powers += ob_exp_below(s);
            t_powers += t_power;
            aparts += t_power * (t - s);
            heights += t_power * t;
        }
        s_powers = ob_lanes_sum(s_powers) + (fresh ? 0.0 : s_sum);
        t_powers = ob_lanes_sum(t_powers) + (fresh ? 0.0 : t_sum);
        aparts = ob_lanes_sum(aparts) + (fresh ? 0.0 : STAT(4u));
        heights = ob_lanes_sum(heights) + (fresh ? 0.0 : STAT(5u));
        result[row * 8u + 2u] = s_powers;
        result[row * 8u + 3u] = t_powers;
        result[row * 8u + 4u] = aparts;
        result[row * 8u + 5u] = heights;
        float quotient = s_powers == t_powers ? 0.0 : ob_log(s_powers / t_powers);
        loss[row * 2u] = masked ? 0.0 : aparts / t_powers + quotient;
        loss[row * 2u + 1u] = masked ? 0.0 : ob_log(t_powers) - heights / t_powers;
    }
    if (OB_STEP == 2u) {
        float s_share = push.eps / s_sum, t_share = push.eps / t_sum;
#define STORE_LANE(l) result[at + place + uint(l)] = subgroupShuffle(value, uint(l));
        OB_CHUNK {
            uint place = i * 8u;
            precise float s = ob_exp_below(OB_EIGHT(student, i) - s_top) * s_share;
            precise float difference = s - ob_exp_below(OB_EIGHT(teacher, i) - t_top) * t_share;
            float value = masked ? 0.0 : difference;
            EACH8(STORE_LANE)
        }
    }
}

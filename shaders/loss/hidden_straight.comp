#version 450
#extension GL_GOOGLE_include_directive : require
// loss/hidden for software drivers (common/straight.glsl): one chunk of columns of each row.
//   step 0  stats.xy = sums of the student's and the teacher's squares; KIND 0 only
//   step 1  stats.z = sum of the squared differences; loss = stats.z, what the last chunk leaves there
//   step 2  the gradient, added to dh
// a: the student; b: the teacher (T, D); w: loss, with the sum of all teacher elements squared at T for KIND 1
//
// b0 w  stats (T, 8) or dh (T, D)      b1 w  loss (T + 1), step 1 only
// push: obi_push_rows, eps: the gradient's scale
// spec 0: workgroup, 128      spec 1: step      spec 2: columns of the chunk, a multiple of 8 up to 256      spec 3: KIND
// grid: x = rows / 16, y = chunks side by side (1 in a step that makes stats); below 256 each
// tiers: A
#include "common/rows_straight.glsl"

layout(constant_id = 3) const uint KIND = 0u;
layout(set = 0, binding = 0) writeonly buffer Result { float result[]; };
layout(set = 0, binding = 1) writeonly buffer Loss { float loss[]; };

#define NO_DIRECTION 1.0e-30

// Rounded alike for both, without fused operations: equal rows differ by exactly 0.
float compared(float student, float teacher, float s_share, float t_share)
{
    precise float s = student * s_share, t = teacher * t_share;
    return KIND == 0u ? s - t : (student - teacher) * s_share;
}

void main()
{
    uint row = ob_row(), column = ob_first_column(), at = row * push.columns + column;
    uint64_t student = ob_address(push.a_low, push.a_high) + uint64_t(at) * 4ul;
    uint64_t teacher = ob_address(push.b_low, push.b_high) + uint64_t(at) * 4ul;
    uint64_t before = ob_address(push.out_low, push.out_high) + uint64_t(at) * 4ul;
    uint64_t stats = ob_address(push.stats_low, push.stats_high) + uint64_t(row) * 32ul;
    float x = uintBitsToFloat(ob_word(stats, 0u)), y = uintBitsToFloat(ob_word(stats, 1u)), z = uintBitsToFloat(ob_word(stats, 2u));
    bool fresh = (push.flags & OB_ROWS_FRESH) != 0u;

    if (OB_STEP == 0u) {
        float s_squares = 0.0, t_squares = 0.0;
        OB_CHUNK {
            float s = OB_EIGHT(student, i), t = OB_EIGHT(teacher, i);
            s_squares += s * s;
            t_squares += t * t;
        }
        s_squares = ob_lanes_sum(s_squares);
        t_squares = ob_lanes_sum(t_squares);
        result[row * 8u] = fresh ? s_squares : x + s_squares;
        result[row * 8u + 1u] = fresh ? t_squares : y + t_squares;
        return;
    }
    float s_share, t_share; // what student and teacher are multiplied by before they are compared
    bool none;
    if (KIND == 0u) {
        none = x < NO_DIRECTION || y < NO_DIRECTION;
        s_share = 1.0 / sqrt(x);
        t_share = 1.0 / sqrt(y);
    } else {
        float power = uintBitsToFloat(ob_word(ob_address(push.w_low, push.w_high), push.rows)) / float(push.rows);
        none = power < NO_DIRECTION;
        s_share = t_share = 1.0 / sqrt(power);
    }
    if (OB_STEP == 1u) {
        float sum = 0.0;
        OB_CHUNK {
            float d = compared(OB_EIGHT(student, i), OB_EIGHT(teacher, i), s_share, t_share);
            sum += d * d;
        }
        sum = ob_lanes_sum(sum);
        sum = fresh ? sum : z + sum;
        result[row * 8u + 2u] = sum;
        loss[row] = none ? 0.0 : sum;
    } else {
        float back = KIND == 0u ? 0.5 * z : 0.0, factor = 2.0 * push.eps * s_share;
#define STORE_LANE(l) result[at + place + uint(l)] = subgroupShuffle(value, uint(l));
        OB_CHUNK {
            uint place = i * 8u;
            float s = OB_EIGHT(student, i), t = OB_EIGHT(teacher, i), old = OB_EIGHT(before, i);
            float more = factor * (compared(s, t, s_share, t_share) - back * (s * s_share));
            float value = none ? old : old + more;
            EACH8(STORE_LANE)
        }
    }
}

// The difference of two hidden states of a token, and its gradient for the student's, one workgroup a row r.
// KIND 0, by direction: s, t = rows divided by their norms; loss[r] = |s - t|^2 = 2 - 2 cos,
//         dh[r] += -2 scale (t - (t.s) s) / |student row|; 0 where a squared norm is below 1e-30
// KIND 1, by distance: loss[r] = |student - teacher|^2 / M, dh[r] += 2 scale (student - teacher) / M, M = loss[T] / T;
//         0 where M is below 1e-30
// b0 rw loss (T), or (T + 1) for KIND 1 with the sum of all teacher elements squared last   b1 rw dh (T, D)
// b2 r student (T, D)   b3 r teacher (T, D)
// push: rows = T, columns = D, scale   spec 0: workgroup size   1: KIND   grid: a workgroup a row, folded   tiers A B
//
// The loss is a sum of squared differences rather than 2 - 2 cos, which would lose all digits of a small one.
#version 450
#extension GL_GOOGLE_include_directive : require
#define OB_REDUCE_VEC4
#include "common/reduce.glsl"
#include "common/grid.glsl"
#include "common/push_loss.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint KIND = 0;

layout(set = 0, binding = 0) buffer Loss { float loss[]; };
layout(set = 0, binding = 1) buffer Gradient { float dh[]; };
layout(set = 0, binding = 2) readonly buffer Student { float student[]; };
layout(set = 0, binding = 3) readonly buffer Teacher { float teacher[]; };
layout(push_constant) uniform Push { obi_push_loss_rows push; };

#define NO_DIRECTION 1.0e-30

// Rounded alike for both, without fused operations: equal rows differ by exactly 0.
float compared(uint at, float s_share, float t_share)
{
    precise float s = student[at] * s_share, t = teacher[at] * t_share;
    return KIND == 0u ? s - t : (student[at] - teacher[at]) * s_share;
}

void main()
{
    uint row = ob_group();
    if (row >= push.rows) return; // the whole workgroup
    uint lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x;
    uint base = row * push.columns;
    float s_share, t_share; // what student and teacher are multiplied by before they are compared
    bool none;
    if (KIND == 0u) {
        vec4 squares = vec4(0.0);
        for (uint i = lane; i < push.columns; i += lanes) {
            float s = student[base + i], t = teacher[base + i];
            squares.xy += vec2(s * s, t * t);
        }
        squares = ob_reduce_add4(squares);
        none = squares.x < NO_DIRECTION || squares.y < NO_DIRECTION;
        s_share = 1.0 / sqrt(squares.x);
        t_share = 1.0 / sqrt(squares.y);
    } else {
        float power = loss[push.rows] / float(push.rows);
        none = power < NO_DIRECTION;
        s_share = t_share = 1.0 / sqrt(power);
    }
    if (none) { // alike for all lanes
        if (lane == 0u) loss[row] = 0.0;
        return;
    }
    float sum = 0.0;
    for (uint i = lane; i < push.columns; i += lanes) {
        float difference = compared(base + i, s_share, t_share);
        sum += difference * difference;
    }
    float distance = ob_reduce_add(sum);
    // 1 - cos = distance / 2, so t - cos s = (t - s) + distance / 2 * s
    float back = KIND == 0u ? 0.5 * distance : 0.0, factor = 2.0 * push.scale * s_share;
    for (uint i = lane; i < push.columns; i += lanes) {
        float difference = compared(base + i, s_share, t_share);
        dh[base + i] += factor * (difference - back * (student[base + i] * s_share));
    }
    if (lane == 0u) loss[row] = distance;
}

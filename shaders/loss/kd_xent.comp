// With p = softmax(teacher[t]) and q = softmax(student[t]):
// loss[t] = { sum p (log p - log q), -sum p log p };  student[t] becomes (q - p) * scale
// b0 w loss (T, 2)   b1 rw student (T, V): in logits, out their gradient   b2 r teacher (T, V) logits
// b3 r mask (T) u32; 0xFFFFFFFF: all 0 for this row
// push: rows = T, columns = V, scale   spec 0: workgroup size   grid: one workgroup a row, folded over x and y   tiers A B
//
// The divergence is summed over differences of logits, with the logarithm of a quotient of sums, so that a student equal
// to its teacher gives exactly 0 and small divergences keep their digits.
#version 450
#extension GL_GOOGLE_include_directive : require
#define OB_REDUCE_VEC4
#include "common/reduce.glsl"
#include "common/grid.glsl"
#include "common/exp_log.glsl"
#include "common/push_loss.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Loss { vec2 loss[]; };
layout(set = 0, binding = 1) buffer Student { float student[]; };
layout(set = 0, binding = 2) readonly buffer Teacher { float teacher[]; };
layout(set = 0, binding = 3) readonly buffer Mask { uint mask[]; };
layout(push_constant) uniform Push { obi_push_loss_rows push; };

void main()
{
    uint row = ob_group();
    if (row >= push.rows) return; // the whole workgroup
    uint lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x;
    uint base = row * push.columns;
    if (mask[row] == 0xffffffffu) {
        for (uint i = lane; i < push.columns; i += lanes) student[base + i] = 0.0;
        if (lane == 0u) loss[row] = vec2(0.0);
        return;
    }
    float s_top = OB_LOWEST, t_top = OB_LOWEST;
    for (uint i = lane; i < push.columns; i += lanes) {
        s_top = max(s_top, student[base + i]);
        t_top = max(t_top, teacher[base + i]);
    }
    s_top = ob_reduce_max(s_top);
    t_top = ob_reduce_max(t_top);
    vec4 sums = vec4(0.0); // of the student's powers, of the teacher's, those weighted by t - s, and by t
    for (uint i = lane; i < push.columns; i += lanes) {
        float s = student[base + i] - s_top, t = teacher[base + i] - t_top;
        float s_power = ob_exp_below(s), t_power = ob_exp_below(t);
        sums += vec4(s_power, t_power, t_power * (t - s), t_power * t);
        student[base + i] = s_power;
    }
    sums = ob_reduce_add4(sums);
    float s_share = push.scale / sums.x, t_share = push.scale / sums.y;
    for (uint i = lane; i < push.columns; i += lanes) {
        precise float difference = student[base + i] * s_share - ob_exp_below(teacher[base + i] - t_top) * t_share;
        student[base + i] = difference;
    }
    if (lane == 0u) {
        float quotient = sums.x == sums.y ? 0.0 : ob_log(sums.x / sums.y);
        loss[row] = vec2(sums.z / sums.y + quotient, ob_log(sums.y) - sums.w / sums.y);
    }
}

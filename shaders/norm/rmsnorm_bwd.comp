// With r = 1 / sqrt(mean x^2 + eps) of the row: dx[i] = r (w[i] dy[i] - x[i] r^2 mean_j(w[j] dy[j] x[j])), or added to dx
// b0 rw dx (rows, columns)   b1 r dy (rows, columns)   b2 r x (rows, columns)   b3 r w (columns)
// push: rows, columns, eps   spec 0: workgroup size   1: ACCUMULATE, 1 adds to dx
// grid: one workgroup a row, folded over x and y   tiers A B
#version 450
#extension GL_GOOGLE_include_directive : require
#define OB_REDUCE_VEC4
#include "common/reduce.glsl"
#include "common/grid.glsl"
#include "common/push_norm.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint ACCUMULATE = 0;

layout(set = 0, binding = 0) buffer DX { float dx[]; };
layout(set = 0, binding = 1) readonly buffer DY { float dy[]; };
layout(set = 0, binding = 2) readonly buffer X { float x[]; };
layout(set = 0, binding = 3) readonly buffer W { float w[]; };
layout(push_constant) uniform Push { obi_push_norm_rmsnorm push; };

void main()
{
    uint row = ob_group();
    if (row >= push.rows) return; // the whole workgroup
    uint base = row * push.columns;
    vec4 sums = vec4(0.0); // of x^2, of w dy x
    for (uint i = gl_LocalInvocationIndex; i < push.columns; i += gl_WorkGroupSize.x) {
        float value = x[base + i];
        sums.xy += vec2(value * value, w[i] * dy[base + i] * value);
    }
    sums = ob_reduce_add4(sums) / float(push.columns);
    float scale = 1.0 / sqrt(sums.x + push.eps);
    float pull = sums.y * scale * scale;
    for (uint i = gl_LocalInvocationIndex; i < push.columns; i += gl_WorkGroupSize.x) {
        float value = scale * (w[i] * dy[base + i] - x[base + i] * pull);
        dx[base + i] = ACCUMULATE != 0u ? dx[base + i] + value : value;
    }
}

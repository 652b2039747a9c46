// scale[r] = 1 / sqrt(mean_i(x[r,i]^2) + eps)
// b0 w scale (rows)   b1 r x (rows, columns)
// push: rows, columns, eps   spec 0: workgroup size   grid: one workgroup a row, folded over x and y   tiers A B
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/reduce.glsl"
#include "common/grid.glsl"
#include "common/push_norm.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Scale { float scale[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(push_constant) uniform Push { obi_push_norm_rmsnorm push; };

void main()
{
    uint row = ob_group();
    if (row >= push.rows) return; // the whole workgroup
    uint base = row * push.columns;
    float sum = 0.0;
    for (uint i = gl_LocalInvocationIndex; i < push.columns; i += gl_WorkGroupSize.x) {
        float value = x[base + i];
        sum += value * value;
    }
    sum = ob_reduce_add(sum);
    if (gl_LocalInvocationIndex == 0u) scale[row] = 1.0 / sqrt(sum / float(push.columns) + push.eps);
}

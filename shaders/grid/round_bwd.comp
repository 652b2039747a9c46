// dD of round_fwd by the straight-through estimator: d[row, group] = sum over the group's columns of dy q, where
//     q = round(w / D) - w / D   if round(w / D) + z lies in 0 .. top    (round passes the gradient as it is)
//     q = -z or top - z          where it was clamped
//
// dy of what was clamped becomes 0, so that it is the gradient of w as far as w does not decide D.
//
// b0 w  d (m,groups)      b1 rw dy, a row block      b2 r  w, the same of W      b3 r  grids (m,groups,2) D and z
// push: obi_push_grid_round      spec 0: workgroup size      grid: a workgroup a row and group, folded over x and y
// tiers: A shared memory, B subgroup sums
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/reduce.glsl"
#include "common/push_grid.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer D { float d[]; };
layout(set = 0, binding = 1) buffer DY { float dy[]; };
layout(set = 0, binding = 2) readonly buffer W { float w[]; };
layout(set = 0, binding = 3) readonly buffer Grids { vec2 grids[]; };
layout(push_constant) uniform Push { obi_push_grid_round push; };

void main()
{
    uint i = ob_group();
    if (i >= push.count) return;
    uint row = i / push.groups, group = i - row * push.groups;
    uint first = group * push.group, end = min(first + push.group, push.n), base = row * push.n;
    vec2 grid = grids[push.first_row * push.groups + i];
    float sum = 0.0;
    for (uint j = first + gl_LocalInvocationIndex; j < end; j += gl_WorkGroupSize.x) {
        float quotient = w[base + j] / grid.x, level = roundEven(quotient);
        float code = level + grid.y, kept = clamp(code, 0.0, push.top);
        bool inside = kept == code;
        sum += dy[base + j] * (inside ? level - quotient : kept - grid.y);
        if (!inside) dy[base + j] = 0.0;
    }
    float total = ob_reduce_add(sum);
    if (gl_LocalInvocationIndex == 0u) d[push.first_row * push.groups + i] = total;
}

// gate[r,i] = silu(N(gate[r,i])) * N(up[r,i]), silu(a) = a / (1 + exp(-a)): what follows the projections gate and up.
// N is OneBit's norm (common/post_norm.glsl).
// b0 rw gate (rows, columns)   b1 r up (rows, columns)
// push: rows, columns, post_eps   spec 0: workgroup size   1: 1 with N   grid: one workgroup a row, folded over x and y   tiers A B
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/reduce.glsl"
#include "common/grid.glsl"
#include "common/push_post_norm.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint POST = 1;
#define OB_POST_NORM (POST != 0u)
#include "common/post_norm.glsl"

layout(set = 0, binding = 0) buffer Gate { float gate[]; };
layout(set = 0, binding = 1) readonly buffer Up { float up[]; };
layout(push_constant) uniform Push { obi_push_post_norm_swiglu push; };

void main()
{
    uint row = ob_group();
    if (row >= push.rows) return; // the whole workgroup
    uint base = row * push.columns;
    ob_post gate_post, up_post;
#define READ_GATE(i) gate[base + i]
#define READ_UP(i) up[base + i]
    OB_POST_STATS(gate_post, READ_GATE, push.columns, push.post_eps) // its sums are over before a lane writes
    OB_POST_STATS(up_post, READ_UP, push.columns, push.post_eps)
    for (uint i = gl_LocalInvocationIndex; i < push.columns; i += gl_WorkGroupSize.x) {
        float a = ob_post_value(gate_post, gate[base + i]);
        // Beyond 87 exp leaves the range of normal floats; the result is 0 to far below any tolerance there.
        gate[base + i] = a / (1.0 + exp(clamp(-a, -87.0, 87.0))) * ob_post_value(up_post, up[base + i]);
    }
}

// gate[r,i] = silu(N(gate[r,i])) * N(up[r,i]), silu(a) = a / (1 + exp(-a)): what follows the projections gate and up.
// N is OneBit's norm (common/post_norm.glsl). The work is common/post_swiglu.glsl.
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

uint base;
#define OB_GATE(i) gate[base + (i)]
#define OB_UP(i) up[base + (i)]
#include "common/post_swiglu.glsl"

void main()
{
    uint row = ob_group();
    if (row >= push.rows) return; // the whole workgroup
    base = row * push.columns;
    ob_post_swiglu(push.columns, push.post_eps);
}

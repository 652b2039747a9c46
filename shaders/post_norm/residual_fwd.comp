// x[r,i] += N(p[r,i]); normed[r,i] = x[r,i] * w[i] / sqrt(mean_i(x[r,i]^2) + eps): what follows the projections o and down.
// N is OneBit's norm (common/post_norm.glsl), or nothing. The work is common/post_residual.glsl.
// b0 w normed (rows, columns)   b1 rw x (rows, columns)   b2 r p (rows, columns)   b3 r w (columns)
// push: rows, columns, post_eps, eps   spec 0: workgroup size   1: 1 with N   grid: one workgroup a row, folded over x and y   tiers A B
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/reduce.glsl"
#include "common/grid.glsl"
#include "common/push_post_norm.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint POST = 1;
#define OB_POST_NORM (POST != 0u)
#include "common/post_norm.glsl"

layout(set = 0, binding = 0) writeonly buffer Normed { float normed[]; };
layout(set = 0, binding = 1) buffer X { float x[]; };
layout(set = 0, binding = 2) readonly buffer P { float p[]; };
layout(set = 0, binding = 3) readonly buffer W { float w[]; };
layout(push_constant) uniform Push { obi_push_post_norm_residual push; };

uint base;
#define OB_P(i) p[base + (i)]
#define OB_X(i) x[base + (i)]
#define OB_NORMED(i) normed[base + (i)]
#define OB_W(i) w[i]
#include "common/post_residual.glsl"

void main()
{
    uint row = ob_group();
    if (row >= push.rows) return; // the whole workgroup
    base = row * push.columns;
    ob_post_residual(push.columns, push.post_eps, push.eps);
}

// With z = (x - mean) r, r = 1 / sqrt(variance + eps) of the row: dx = r (dz - mean(dz) - z mean(dz z))
// b0 w dx (rows, columns)   b1 r dz (rows, columns); may be the same range as dx   b2 r x (rows, columns), before the norm
// push: rows, columns, eps   spec 0: workgroup size   grid: one workgroup a row, folded over x and y   tiers A B
//
// In place is safe: the last loop reads and writes a lane's own elements, after reductions that wait for all lanes.
#version 450
#extension GL_GOOGLE_include_directive : require
#define OB_REDUCE_VEC4
#include "common/reduce.glsl"
#include "common/grid.glsl"
#include "common/push_norm.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer DX { float dx[]; };
layout(set = 0, binding = 1) readonly buffer DZ { float dz[]; };
layout(set = 0, binding = 2) readonly buffer X { float x[]; };
layout(push_constant) uniform Push { obi_push_norm_layernorm push; };

void main()
{
    uint row = ob_group();
    if (row >= push.rows) return; // the whole workgroup
    uint base = row * push.columns;
    float pivot = x[base]; // as in layernorm_fwd
    vec4 sums = vec4(0.0);
    for (uint i = gl_LocalInvocationIndex; i < push.columns; i += gl_WorkGroupSize.x) sums.xy += vec2(x[base + i] - pivot, dz[base + i]);
    sums = ob_reduce_add4(sums) / float(push.columns);
    float mean = sums.x, dz_mean = sums.y;
    sums = vec4(0.0);
    for (uint i = gl_LocalInvocationIndex; i < push.columns; i += gl_WorkGroupSize.x) {
        float d = (x[base + i] - pivot) - mean;
        sums.xy += vec2(d * d, d * (dz[base + i] - dz_mean));
    }
    sums = ob_reduce_add4(sums) / float(push.columns);
    float scale = 1.0 / sqrt(sums.x + push.eps);
    float along = sums.y * scale * scale;
    for (uint i = gl_LocalInvocationIndex; i < push.columns; i += gl_WorkGroupSize.x)
        dx[base + i] = scale * ((dz[base + i] - dz_mean) - ((x[base + i] - pivot) - mean) * along);
}

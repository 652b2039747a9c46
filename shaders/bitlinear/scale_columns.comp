#version 450
#extension GL_GOOGLE_include_directive : require
// y[t,j] = x[t,j] * s[j], or that added to y
//
// b0 rw y  (T,n) f32
// b1 r  x  (T,n) f32; may be y's own range
// b2 r  s  (n) f32
// push: obi_push_bitlinear_scale_columns      spec 0: workgroup
// grid: a lane an element, folded over x and y
// tiers: A
#include "common/grid.glsl"
#include "common/push_bitlinear.h"

layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 2) readonly buffer S { float s[]; };
layout(push_constant) uniform Push { obi_push_bitlinear_scale_columns push; };

void main()
{
    uint i = ob_element();
    if (i >= push.count) return;
    float value = x[i] * s[i % push.n];
    y[i] = push.accumulate != 0u ? y[i] + value : value;
}

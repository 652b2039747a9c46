// out[i] = sum over 12 chains c of x_c, where x_c starts as (i mod 256) / 256 + c and becomes factor * x_c + term, 4 times a turn:
// what a device can do when nothing but arithmetic is asked of it. Each step needs the one before it; the chains are independent,
// enough of them to cover the latency of an addition and few enough for the 16 vector registers of a CPU.
// b0 w out (count)
// push: count, turns, factor, term   spec 0: workgroup size   grid: a lane an element, folded over x and y   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_rate.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Out { float result[]; };
layout(push_constant) uniform Push { obi_push_rate_multiply_add push; };

void main()
{
    uint i = ob_element();
    if (i >= push.count) return;
    vec4 a = vec4(push.factor), b = vec4(push.term);
    vec4 x0 = vec4(float(i & 255u) / 256.0) + vec4(0, 1, 2, 3);
    vec4 x1 = x0 + 4.0, x2 = x0 + 8.0;
#define STEP            \
    x0 = fma(x0, a, b); \
    x1 = fma(x1, a, b); \
    x2 = fma(x2, a, b);
    for (uint turn = 0; turn < push.turns; turn++) { STEP STEP STEP STEP }
    vec4 sum = (x0 + x1) + x2;
    result[i] = (sum.x + sum.y) + (sum.z + sum.w);
}

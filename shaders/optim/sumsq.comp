// partial[g] = { sum of x[i]^2 over the finite x of chunk g, as bits; how many of them are infinite or NaN }
// b0 w partial (groups, 2) words   b1 r x (count) as its bits
// push: count, chunk: elements of a workgroup, a multiple of its size   spec 0: workgroup size
// grid: x one workgroup a chunk   tiers A B   optim/sumsq_fold adds the chunks
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/reduce.glsl"
#include "common/push_optim.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Partial { uvec2 partial[]; };
layout(set = 0, binding = 1) readonly buffer X { uint x[]; };
layout(push_constant) uniform Push { obi_push_optim_sumsq push; };

void main()
{
    uint begin = gl_WorkGroupID.x * push.chunk, end = min(begin + push.chunk, push.count);
    float sum = 0.0, bad = 0.0; // a chunk has fewer than 2^24 elements, so floats count exactly
    for (uint i = begin + gl_LocalInvocationIndex; i < end; i += gl_WorkGroupSize.x) {
        uint bits = x[i];
        bool finite = (bits & 0x7f800000u) != 0x7f800000u;
        float value = uintBitsToFloat(finite ? bits : 0u);
        sum += value * value;
        bad += finite ? 0.0 : 1.0;
    }
    sum = ob_reduce_add(sum);
    bad = ob_reduce_add(bad);
    if (gl_LocalInvocationIndex == 0u) partial[gl_WorkGroupID.x] = uvec2(floatBitsToUint(sum), uint(bad));
}

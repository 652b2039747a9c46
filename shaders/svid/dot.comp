#version 450
#extension GL_GOOGLE_include_directive : require
// out = sum over i of v[i] * v[i]
//
// b0 w  sum  one f32
// b1 r  v    (count) f32
// push: obi_push_svid_dot      spec 0: workgroup, at most 128      grid: 1      tiers: A shared memory, B subgroup sums
#include "common/push_svid.h"

layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Sum { float total; };
layout(set = 0, binding = 1) readonly buffer V { float v[]; };
layout(push_constant) uniform Push { obi_push_svid_dot push; };

#include "common/reduce.glsl"

void main()
{
    float sum = 0.0;
    for (uint i = gl_LocalInvocationIndex; i < push.count; i += gl_WorkGroupSize.x) sum += v[i] * v[i];
    sum = ob_reduce_add(sum);
    if (gl_LocalInvocationIndex == 0u) total = sum;
}

// x[i] = the sum of all x: the gradient of one parameter that stands `count` times
// b0 rw x (count)   push: count   spec 0: workgroup size   grid: one workgroup   tiers A B
//
// Every lane gets the same sum, so that copies which were alike stay alike to the bit.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/reduce.glsl"
#include "common/push_optim.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer X { float x[]; };
layout(push_constant) uniform Push { obi_push_optim_tie push; };

void main()
{
    float sum = 0.0;
    for (uint i = gl_LocalInvocationIndex; i < push.count; i += gl_WorkGroupSize.x) sum += x[i];
    sum = ob_reduce_add(sum); // a lane writes only where it alone has read
    for (uint i = gl_LocalInvocationIndex; i < push.count; i += gl_WorkGroupSize.x) x[i] = sum;
}

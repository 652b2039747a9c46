// result = { sum of partial[g].x as floats, sum of partial[g].y }, added to what it holds when `accumulate`
// b0 rw result (2) words: f32 bits, count   b1 r partial (groups, 2) words
// push: groups, accumulate   spec 0: workgroup size   grid: one workgroup   tiers A B
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/reduce.glsl"
#include "common/push_optim.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer Result { uvec2 result; };
layout(set = 0, binding = 1) readonly buffer Partial { uvec2 partial[]; };
layout(push_constant) uniform Push { obi_push_optim_sumsq_fold push; };

void main()
{
    float sum = 0.0;
    for (uint g = gl_LocalInvocationIndex; g < push.groups; g += gl_WorkGroupSize.x) sum += uintBitsToFloat(partial[g].x);
    sum = ob_reduce_add(sum);
    if (gl_LocalInvocationIndex != 0u) return;
    uint bad = 0u;
    for (uint g = 0u; g < push.groups; g++) bad += partial[g].y; // floats would not count this far
    if (push.accumulate != 0u) {
        sum += uintBitsToFloat(result.x);
        bad += result.y;
    }
    result = uvec2(floatBitsToUint(sum), bad);
}

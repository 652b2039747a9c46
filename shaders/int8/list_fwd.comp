// list[0] = how many flags are set; list[1 + k] = the k-th column whose flag is set, in rising order
// b0 w list (1 + n)   b1 r flags (n)
// push: n   spec 0: workgroup size, at most 128   grid: one workgroup   tier A
// A lane has a run of columns: it counts, finds how many the lanes before it have, and writes its own.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/push_int8.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer List { uint list[]; };
layout(set = 0, binding = 1) readonly buffer Flags { uint flags[]; };
layout(push_constant) uniform Push { obi_push_int8_list push; };

shared uint counts[128];

void main()
{
    uint lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x;
    uint run = (push.n + lanes - 1u) / lanes, first = min(lane * run, push.n), end = min(first + run, push.n);
    uint count = 0u;
    for (uint j = first; j < end; j++) count += flags[j];
    counts[lane] = count;
    barrier();
    uint before = 0u;
    for (uint i = 0u; i < lane; i++) before += counts[i];
    if (lane == lanes - 1u) list[0] = before + count;
    for (uint j = first; j < end; j++)
        if (flags[j] != 0u) list[1u + before++] = j;
}

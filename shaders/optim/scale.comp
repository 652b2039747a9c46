// x[i] = x[i] * factor
// b0 rw x (count)   push: count, factor   spec 0: workgroup size   grid: a lane an element, folded over x and y   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_optim.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer X { float x[]; };
layout(push_constant) uniform Push { obi_push_optim_scale push; };

void main()
{
    uint i = ob_element();
    if (i < push.count) x[i] *= push.factor;
}

// dx[i] = x[i] > 0 ? dy[i] : 0
// b0 w dx   b1 r dy; may be the same range as dx   b2 r x   (count each)
// push: count   spec 0: workgroup size   grid: a lane an element, folded over x and y   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_act.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer DX { float dx[]; };
layout(set = 0, binding = 1) readonly buffer DY { float dy[]; };
layout(set = 0, binding = 2) readonly buffer X { float x[]; };
layout(push_constant) uniform Push { obi_push_act_elements push; };

void main()
{
    uint i = ob_element();
    if (i < push.count) dx[i] = x[i] > 0.0 ? dy[i] : 0.0;
}

// out[i] = a[i] + b[i]
// b0 w out   b1 r a; may be the same range as out   b2 r b   (count each)
// push: count   spec 0: workgroup size   grid: a lane an element, folded over x and y   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_act.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer Out { float result[]; };
layout(set = 0, binding = 1) readonly buffer A { float a[]; };
layout(set = 0, binding = 2) readonly buffer B { float b[]; };
layout(push_constant) uniform Push { obi_push_act_elements push; };

void main()
{
    uint i = ob_element();
    if (i < push.count) result[i] = a[i] + b[i];
}

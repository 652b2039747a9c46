// out[i] = x[i] < 0 ? 0 : x[i] (NaN stays NaN)
// b0 w out   b1 r x   (count each)
// push: count   spec 0: workgroup size   grid: a lane an element, folded over x and y   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_act.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Out { float result[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(push_constant) uniform Push { obi_push_act_elements push; };

void main()
{
    uint i = ob_element();
    if (i >= push.count) return;
    float value = x[i];
    result[i] = value < 0.0 ? 0.0 : value;
}

// out[i] = gate[i] / (1 + exp(-gate[i])) * up[i]
// b0 w out   b1 r gate   b2 r up   (count each)
// push: count   spec 0: workgroup size   grid: a lane an element, folded over x and y   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_act.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Out { float result[]; };
layout(set = 0, binding = 1) readonly buffer Gate { float gate[]; };
layout(set = 0, binding = 2) readonly buffer Up { float up[]; };
layout(push_constant) uniform Push { obi_push_act_elements push; };

void main()
{
    uint i = ob_element();
    if (i >= push.count) return;
    float g = gate[i];
    // Beyond 87 exp leaves the range of normal floats; the result is 0 to far below any tolerance there.
    result[i] = g / (1.0 + exp(clamp(-g, -87.0, 87.0))) * up[i];
}

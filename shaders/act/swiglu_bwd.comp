// For y = gate s up, s = 1 / (1 + exp(-gate)): gate becomes dy up s (1 + gate (1 - s)), up becomes dy gate s
// b0 rw gate   b1 rw up   b2 r dy   (count each)
// push: count   spec 0: workgroup size   grid: a lane an element, folded over x and y   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_act.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer Gate { float gate[]; };
layout(set = 0, binding = 1) buffer Up { float up[]; };
layout(set = 0, binding = 2) readonly buffer DY { float dy[]; };
layout(push_constant) uniform Push { obi_push_act_elements push; };

void main()
{
    uint i = ob_element();
    if (i >= push.count) return;
    float g = gate[i], d = dy[i];
    float near = clamp(g, -87.0, 87.0); // beyond, exp leaves the range of normal floats, as in swiglu_fwd
    float power = exp(-near);
    float s = 1.0 / (1.0 + power);
    float rest = power * s; // 1 - s, without cancellation
    gate[i] = d * up[i] * (s * (1.0 + near * rest));
    up[i] = d * (g * s);
}

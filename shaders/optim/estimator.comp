// dw[i] = dw[i] * e(w[i]), e of common/estimator.glsl: from the gradient of sign(w) to that of w
// b0 rw dw (count)   b1 r w (count)
// push: count, kind, alpha   spec 0: workgroup size   grid: a lane an element, folded over x and y   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/estimator.glsl"
#include "common/push_optim.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer DW { float dw[]; };
layout(set = 0, binding = 1) readonly buffer W { float w[]; };
layout(push_constant) uniform Push { obi_push_optim_estimator push; };

void main()
{
    uint i = ob_element();
    if (i < push.count) dw[i] *= ob_estimator(w[i], push.kind, push.alpha);
}

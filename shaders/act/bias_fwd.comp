// s = x[r,i] + b[i]; THEN 0: y = s   1: y = s < 0 ? 0 : s (NaN stays NaN)   2: y = y + s
// b0 w y, rw with THEN 2   b1 r x; may be the same range as y   (rows, columns each)   b2 r b (columns)
// push: count = rows * columns, columns   spec 0: workgroup size   1: THEN   grid: a lane an element, folded over x and y   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_act.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint THEN = 0;

layout(set = 0, binding = 0) buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 2) readonly buffer B { float b[]; };
layout(push_constant) uniform Push { obi_push_act_bias push; };

void main()
{
    uint i = ob_element();
    if (i >= push.count) return;
    float s = x[i] + b[i % push.columns];
    if (THEN == 1u) s = s < 0.0 ? 0.0 : s;
    if (THEN == 2u) s = y[i] + s;
    y[i] = s;
}

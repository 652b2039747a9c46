// y[t,i] = sum over planes p of stack[t, p m + i], and with an offset + c[i] * stack[t, planes m]: a linear's outputs from the products of
// its sign planes, which are the rows of one matrix (docs/format.md); its last row, all +, gives the sum of the inputs
// b0 w y (T,m)   b1 r stack (T,rows)   b2 r c (m); any view without an offset
// push: m, rows, planes, count   spec 0: workgroup size, 1: with an offset   grid: a lane an element of y, folded over x and y   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_bitlinear.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const bool OFFSET = false;

layout(set = 0, binding = 0) writeonly buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly buffer Stack { float stack[]; };
layout(set = 0, binding = 2) readonly buffer C { float c[]; };
layout(push_constant) uniform Push { obi_push_bitlinear_planes push; };

void main()
{
    uint element = ob_element();
    if (element >= push.count) return;
    uint t = element / push.m, i = element % push.m, row = t * push.rows;
    float sum = stack[row + i];
    for (uint p = 1; p < push.planes; p++) sum += stack[row + p * push.m + i];
    if (OFFSET) sum += c[i] * stack[row + push.planes * push.m];
    y[element] = sum;
}

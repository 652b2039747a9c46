// y[t,i] = sum over planes p of stack[t, p m + i], and with an offset + c[i] * stack[t, planes m]: a linear's outputs from the products of
// its sign planes, which are the rows of one matrix (docs/format.md); its last row, all +, gives the sum of the inputs. For up to three
// linears at once, each with an m and places of its own.
// b0 w y (T,m)   b1 r stack (T, planes m), one more a token with an offset   b2 r c (m); any view without an offset
// push: obi_push_bitlinear_planes   spec 0: workgroup size, 1: with an offset   grid: a lane an element of y, folded over x and y   tier A
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
    uint first = 0u, m = push.m[0], y_at = push.y_at[0], stack_at = push.stack_at[0], c_at = push.c_at[0];
    for (uint part = 1u; part < push.parts; part++) {
        if (element < push.end[part - 1u]) break;
        first = push.end[part - 1u];
        m = push.m[part];
        y_at = push.y_at[part];
        stack_at = push.stack_at[part];
        c_at = push.c_at[part];
    }
    element -= first;
    uint t = element / m, i = element % m, row = stack_at + t * (push.planes * m + (OFFSET ? 1u : 0u));
    float sum = stack[row + i];
    for (uint p = 1u; p < push.planes; p++) sum += stack[row + p * m + i];
    if (OFFSET) sum += c[c_at + i] * stack[row + push.planes * m];
    y[y_at + element] = sum;
}

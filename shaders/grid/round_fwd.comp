// y = D (clamp(round(w / D) + z, 0, top) - z) with D and z of the element's row and group of columns: uniform quantisation, as numbers
//
// b0 w  y      a row block of W^, f32      b1 r  w  the same of W      b2 r  grids (m,groups,2) D and z
// push: obi_push_grid_round      spec 0: workgroup size      grid: a lane an element, folded over x and y      tier A
//
// A quotient that lies within its rounding of the middle between two levels may go to the other one than the host's.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_grid.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly buffer W { float w[]; };
layout(set = 0, binding = 2) readonly buffer Grids { vec2 grids[]; };
layout(push_constant) uniform Push { obi_push_grid_round push; };

void main()
{
    uint i = ob_element();
    if (i >= push.count) return;
    uint row = i / push.n, column = i - row * push.n;
    vec2 grid = grids[(push.first_row + row) * push.groups + column / push.group];
    y[i] = grid.x * (clamp(roundEven(w[i] / grid.x) + grid.y, 0.0, push.top) - grid.y);
}

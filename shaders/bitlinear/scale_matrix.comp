#version 450
#extension GL_GOOGLE_include_directive : require
// out[i,j] = w[i,j] * (h[i] * g[j])
//
// b0 w  out (rows of a block, n) f32
// b1 r  w   likewise
// b2 r  h   (m) f32
// b3 r  g   (n) f32
// push: obi_push_bitlinear_scale_matrix      spec 0: workgroup
// grid: a lane an element, folded over x and y
// tiers: A
#include "common/grid.glsl"
#include "common/push_bitlinear.h"

layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Scaled { float scaled[]; };
layout(set = 0, binding = 1) readonly buffer W { float w[]; };
layout(set = 0, binding = 2) readonly buffer H { float h[]; };
layout(set = 0, binding = 3) readonly buffer G { float g[]; };
layout(push_constant) uniform Push { obi_push_bitlinear_scale_matrix push; };

void main()
{
    uint i = ob_element();
    if (i >= push.count) return;
    uint row = i / push.n;
    scaled[i] = w[i] * (h[push.first_row + row] * g[i - row * push.n]);
}

#version 450
#extension GL_GOOGLE_include_directive : require
// b[j] = (sum over c of partial[c,j]) / aa; 0 where aa is 0
//
// b0 w  b        (n) f32
// b1 r  partial  (chunks,n) f32
// b2 r  aa       one f32: a . a
// push: obi_push_svid_fold      spec 0: workgroup      grid: x = ceil(n / workgroup)      tiers: A
#include "common/push_svid.h"

layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer B { float b[]; };
layout(set = 0, binding = 1) readonly buffer Partial { float partial[]; };
layout(set = 0, binding = 2) readonly buffer AA { float aa; };
layout(push_constant) uniform Push { obi_push_svid_fold push; };

void main()
{
    uint j = gl_GlobalInvocationID.x;
    if (j >= push.n) return;
    float sum = 0.0;
    for (uint c = 0u; c < push.chunks; c++) sum += partial[c * push.n + j];
    b[j] = aa > 0.0 ? sum / aa : 0.0;
}

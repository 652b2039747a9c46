// dw[i] += sum over c of partial[c,i]
// b0 rw dw (columns)   b1 r partial (chunks, columns)
// push: chunks, columns   spec 0: workgroup size   grid: x ceil(columns / workgroup)   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/push_norm.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer DW { float dw[]; };
layout(set = 0, binding = 1) readonly buffer Partial { float partial[]; };
layout(push_constant) uniform Push { obi_push_norm_fold push; };

void main()
{
    uint i = gl_GlobalInvocationID.x;
    if (i >= push.columns) return;
    float sum = 0.0;
    for (uint c = 0u; c < push.chunks; c++) sum += partial[c * push.columns + i];
    dw[i] += sum;
}

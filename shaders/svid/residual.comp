#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// partial[group] = sum over the rows i of the group and all j of (V[i,j] - a[i] * b[j])^2,  V = |W| or W
//
// b0 w  partial  one f32 for each group of all blocks
// b1 r  a        (m) f32
// b2 r  w        a row block of W, f32
// b3 r  b        (n) f32
// push: obi_push_svid_residual      spec 0: workgroup, at most 128      spec 1: rows a workgroup, 1..16
// grid: (x, y) folded over ceil(row_count / rows)
// tiers: A shared memory, B subgroup sums
#include "common/push_svid.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint OB_ROWS = 4u;

layout(set = 0, binding = 0) writeonly buffer Partial { float partial[]; };
layout(set = 0, binding = 1) readonly buffer A { float a[]; };
layout(set = 0, binding = 2) readonly buffer W { float w[]; };
layout(set = 0, binding = 3) readonly buffer B { float b[]; };
layout(push_constant) uniform Push { obi_push_svid_residual push; };

#include "common/reduce.glsl"

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint first = group * OB_ROWS;
    bool absolute = push.absolute != 0u;
    float sum = 0.0;
    for (uint j = gl_LocalInvocationIndex; j < push.n; j += gl_WorkGroupSize.x) {
        float value = b[j];
        [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) {
            if (first + r < push.row_count) {
                float weight = w[(first + r) * push.n + j];
                float difference = (absolute ? abs(weight) : weight) - a[push.first_row + first + r] * value;
                sum += difference * difference;
            }
        }
    }
    sum = ob_reduce_add(sum);
    if (gl_LocalInvocationIndex == 0u && first < push.row_count) partial[push.group_first + group] = sum;
}

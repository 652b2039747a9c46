#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// a[i] = (sum over j of V[i,j] * b[j]) / bb,  V = |W| or W; 0 where bb is 0
//
// b0 w  a   (m) f32
// b1 r  b   (n) f32
// b2 r  w   a row block of W, f32
// b3 r  bb  one f32: b . b
// push: obi_push_svid_rows      spec 0: workgroup, at most 64 lanes      spec 1: rows a workgroup, 1..16
// grid: (x, y) folded over ceil(row_count / rows)
// tiers: A shared memory, B subgroup sums
#include "common/push_svid.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint OB_ROWS = 4u;

#define LANES_MAX 64

layout(set = 0, binding = 0) writeonly buffer A { float a[]; };
layout(set = 0, binding = 1) readonly buffer B { float b[]; };
layout(set = 0, binding = 2) readonly buffer W { float w[]; };
layout(set = 0, binding = 3) readonly buffer BB { float bb; };
layout(push_constant) uniform Push { obi_push_svid_rows push; };

shared float row_sums[16 * (LANES_MAX + 1)];
#define OB_ROWS_SCRATCH row_sums
#include "common/reduce_rows.glsl"

void main()
{
    uint lane = gl_LocalInvocationIndex;
    uint first = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * OB_ROWS;
    bool absolute = push.absolute != 0u;
    float sum[OB_ROWS_MAX];
    uint row_base[OB_ROWS_MAX];
    [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) {
        sum[r] = 0.0;
        row_base[r] = min(first + r, push.row_count - 1u) * push.n; // rows past the end repeat the last one
    }
    for (uint j = lane; j < push.n; j += gl_WorkGroupSize.x) {
        float value = b[j];
        [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) {
            float weight = w[row_base[r] + j];
            sum[r] += (absolute ? abs(weight) : weight) * value;
        }
    }
    float total = ob_reduce_rows(sum);
    uint row = first + lane;
    if (lane < OB_ROWS && row < push.row_count) a[push.first_row + row] = bb > 0.0 ? total / bb : 0.0;
}

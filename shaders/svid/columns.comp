#version 450
#extension GL_GOOGLE_include_directive : require
// partial[c,j] = sum over the rows i of chunk c of V[i,j] * a[i],  V = |W| or W
//
// b0 w  partial  (chunks,n) f32
// b1 r  a        (m) f32
// b2 r  w        a row block of W, f32
// push: obi_push_svid_columns      spec 0: workgroup
// grid: x = ceil(n / workgroup), y = ceil(row_count / chunk_rows)
// tiers: A
//
// A lane sums one column of one chunk, so loads of W are coalesced and no two lanes add to the same place; svid/fold
// then adds the chunks in order: the same bits every time.
#include "common/push_svid.h"

layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Partial { float partial[]; };
layout(set = 0, binding = 1) readonly buffer A { float a[]; };
layout(set = 0, binding = 2) readonly buffer W { float w[]; };
layout(push_constant) uniform Push { obi_push_svid_columns push; };

void main()
{
    uint j = gl_GlobalInvocationID.x;
    if (j >= push.n) return;
    bool absolute = push.absolute != 0u;
    uint begin = gl_WorkGroupID.y * push.chunk_rows;
    uint end = min(begin + push.chunk_rows, push.row_count);
    float sum = 0.0;
    uint i = begin;
    for (; i + 4u <= end; i += 4u) {
        uint at = i * push.n + j, from = push.first_row + i;
        vec4 weight = vec4(w[at], w[at + push.n], w[at + 2u * push.n], w[at + 3u * push.n]);
        sum += dot(absolute ? abs(weight) : weight, vec4(a[from], a[from + 1u], a[from + 2u], a[from + 3u]));
    }
    for (; i < end; i++) {
        float weight = w[i * push.n + j];
        sum += (absolute ? abs(weight) : weight) * a[push.first_row + i];
    }
    partial[(push.chunk_first + gl_WorkGroupID.y) * push.n + j] = sum;
}

// partial[c,i] = sum over the rows r of chunk c of dy[r,i] x[r,i] scale[r]
// b0 w partial (chunks, columns)   b1 r dy (rows, columns)   b2 r x (rows, columns)   b3 r scale (rows): norm/rms_scale
// push: rows, columns, chunk_rows   spec 0: workgroup size   grid: x ceil(columns / workgroup), y chunks   tier A
//
// A lane sums one column of one chunk, and norm/fold_bwd the chunks, each in order: the same bits every time.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/push_norm.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Partial { float partial[]; };
layout(set = 0, binding = 1) readonly buffer DY { float dy[]; };
layout(set = 0, binding = 2) readonly buffer X { float x[]; };
layout(set = 0, binding = 3) readonly buffer Scale { float scale[]; };
layout(push_constant) uniform Push { obi_push_norm_columns push; };

void main()
{
    uint i = gl_GlobalInvocationID.x;
    if (i >= push.columns) return;
    uint begin = gl_WorkGroupID.y * push.chunk_rows, end = min(begin + push.chunk_rows, push.rows);
    float sum = 0.0;
    for (uint r = begin; r < end; r++) {
        uint at = r * push.columns + i;
        sum += dy[at] * x[at] * scale[r];
    }
    partial[gl_WorkGroupID.y * push.columns + i] = sum;
}

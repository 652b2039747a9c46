// dtable[id] += sum of dx[t] over the tokens t of that id, for the ids whose row lies in the row block bound
// b0 rw the block of dtable: row_count rows of `columns` f32   b1 r dx (tokens, columns)
// b2 r plan, u32: the tokens sorted by id (tokens), where each distinct id begins and the end (tokens + 1), the ids (tokens)
// push: tokens, columns, distinct, column_groups = ceil(columns / workgroup), first_row, row_count
// spec 0: workgroup size   grid: column_groups workgroups a distinct id, folded over x and y   tier A
//
// A lane adds the rows of one id in one column, in the order of the tokens: the same bits every time.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_embed.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer DTable { float dtable[]; };
layout(set = 0, binding = 1) readonly buffer DX { float dx[]; };
layout(set = 0, binding = 2) readonly buffer Plan { uint plan[]; };
layout(push_constant) uniform Push { obi_push_embed_scatter push; };

void main()
{
    uint group = ob_group(), index = group / push.column_groups;
    if (index >= push.distinct) return;
    uint column = group % push.column_groups * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
    uint row = plan[2u * push.tokens + 1u + index] - push.first_row; // wraps to a large number below the block
    if (row >= push.row_count || column >= push.columns) return;
    uint i = plan[push.tokens + index], end = plan[push.tokens + index + 1u];
    float sum = 0.0;
    for (; i + 4u <= end; i += 4u) {
        vec4 part = vec4(dx[plan[i] * push.columns + column], dx[plan[i + 1u] * push.columns + column],
                         dx[plan[i + 2u] * push.columns + column], dx[plan[i + 3u] * push.columns + column]);
        sum += part.x + part.y + part.z + part.w;
    }
    for (; i < end; i++) sum += dx[plan[i] * push.columns + column];
    dtable[row * push.columns + column] += sum;
}

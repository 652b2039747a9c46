// The least and the largest weight of each row's groups of columns, and the first columns that have them.
//
// b0 w  out (m,groups,4): least and largest as floats, then their columns, as words      b1 r  w, a row block
// push: obi_push_grid_round      spec 0: workgroup size, at most 128      grid: a workgroup a row and group, folded over x and y      tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_grid.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Out { uvec4 extremes[]; };
layout(set = 0, binding = 1) readonly buffer W { float w[]; };
layout(push_constant) uniform Push { obi_push_grid_round push; };

shared vec2 values[128];   // least, largest
shared uvec2 columns[128];

void main()
{
    uint i = ob_group(), lane = gl_LocalInvocationIndex;
    if (i >= push.count) return; // the whole workgroup
    uint row = i / push.groups, group = i - row * push.groups;
    uint first = group * push.group, end = min(first + push.group, push.n), base = row * push.n;
    vec2 value = vec2(w[base + first]);
    uvec2 column = uvec2(first);
    for (uint j = first + lane; j < end; j += gl_WorkGroupSize.x) {
        float at = w[base + j];
        if (at < value.x) { value.x = at; column.x = j; }
        if (at > value.y) { value.y = at; column.y = j; }
    }
    values[lane] = value;
    columns[lane] = column;
    barrier();
    for (uint width = gl_WorkGroupSize.x; width > 1u;) {
        uint half_width = (width + 1u) / 2u;
        if (lane + half_width < width) {
            vec2 other = values[lane + half_width];
            uvec2 there = columns[lane + half_width];
            if (other.x < values[lane].x || (other.x == values[lane].x && there.x < columns[lane].x)) {
                values[lane].x = other.x;
                columns[lane].x = there.x;
            }
            if (other.y > values[lane].y || (other.y == values[lane].y && there.y < columns[lane].y)) {
                values[lane].y = other.y;
                columns[lane].y = there.y;
            }
        }
        barrier();
        width = half_width;
    }
    if (lane == 0u) extremes[push.first_row * push.groups + i] = uvec4(floatBitsToUint(values[0]), columns[0]);
}

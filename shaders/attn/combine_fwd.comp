// Joins what the splits of attn/attend_fwd have left for some rows (a token's head each):
//   out[r] = sum_s w_s sum_s[r] / sum_s w_s total_s,  w_s = exp(top_s - max_s top_s)
// b0 w out (rows of all tokens, head_size), from row `first`   b1 r parts (splits, rows, head_size + 2): sums, top, total
// push: rows, first, head_size, splits   spec 0: workgroup size   grid: one workgroup a row, folded over x and y   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_attn.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Out { float result[]; };
layout(set = 0, binding = 1) readonly buffer Parts { float parts[]; };
layout(push_constant) uniform Push { obi_push_attn_combine push; };

#define FAR -87.0 // exp below this is no normal float

void main()
{
    uint row = ob_group(), size = push.head_size;
    if (row >= push.rows) return;
    uint from = row * (size + 2u), step = push.rows * (size + 2u);
    float top = parts[from + size]; // NaN, if any, is in the sums too
    for (uint s = 1u; s < push.splits; s++) top = max(top, parts[from + s * step + size]);
    for (uint c = gl_LocalInvocationIndex; c < size; c += gl_WorkGroupSize.x) {
        float sum = 0.0, total = 0.0;
        for (uint s = 0u, at = from; s < push.splits; s++, at += step) {
            float below = parts[at + size] - top;
            float weight = below < FAR ? 0.0 : exp(below);
            sum += weight * parts[at + c];
            total += weight * parts[at + size + 1u];
        }
        result[(push.first + row) * size + c] = sum / total;
    }
}

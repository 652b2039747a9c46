// q[i,j] = the level nearest to w[i,j], steps[i] = s of row i; LLM-QAT's forms, ref_optim_fake_quant has the equations
//     min-max   s = max |w| / (2^(bits-1) - 1), q = round(w / s) s
//     by mean   1 bit: s = mean |w|, q = s sign(w); 2 bits: s = 2 mean |w|, q = (round(2 clamp(w / s) - 1/2) + 1/2) / 2 s
// b0 w q (rows, columns) of a block   b1 w steps (all rows)   b2 r w (rows, columns) of the block
// push: rows, columns, first_row of the block, by_mean, bits   spec 0: workgroup size
// grid: one workgroup a row, folded over x and y   tiers A B
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/reduce.glsl"
#include "common/grid.glsl"
#include "common/push_optim.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Q { float q[]; };
layout(set = 0, binding = 1) writeonly buffer Steps { float steps[]; };
layout(set = 0, binding = 2) readonly buffer W { float w[]; };
layout(push_constant) uniform Push { obi_push_optim_fake_quant push; };

float level(float weight, float s)
{
    if (push.by_mean != 0u && push.bits == 1u) return weight < 0.0 ? -s : s;
    if (s == 0.0) return 0.0;
    float x = weight / s;
    if (push.by_mean == 0u) return roundEven(x) * s;
    return (roundEven(2.0 * clamp(x, -0.99, 0.99) - 0.5) + 0.5) * 0.5 * s;
}

void main()
{
    uint row = ob_group();
    if (row >= push.rows) return; // the whole workgroup
    uint base = row * push.columns;
    float most = 0.0, sum = 0.0;
    for (uint j = gl_LocalInvocationIndex; j < push.columns; j += gl_WorkGroupSize.x) {
        float size = abs(w[base + j]);
        most = max(most, size);
        sum += size;
    }
    float s;
    if (push.by_mean != 0u) s = ob_reduce_add(sum) / float(push.columns) * (push.bits == 1u ? 1.0 : 2.0);
    else s = ob_reduce_max(most) / float((1u << (push.bits - 1u)) - 1u);
    for (uint j = gl_LocalInvocationIndex; j < push.columns; j += gl_WorkGroupSize.x) q[base + j] = level(w[base + j], s);
    if (gl_LocalInvocationIndex == 0u) steps[push.first_row + row] = s;
}

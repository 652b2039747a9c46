// q[i,j] = the level nearest to w[i,j], steps[i] = D of row i; LLM-QAT's forms, ref_optim_fake_quant has the equations
//     min-max   D = max |w| / (2^(bits-1) - 1), q = round(w / D) D
//     by mean   1 bit: D = 2 mean |w|, q = sign(w) D / 2; 2 bits: D = mean |w|, q = (round(clamp(w / D) - 1/2) + 1/2) D
// with D rounded to what two halves, D and D / 2, hold
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

float round_step(float d)
{
    uint bits = floatBitsToUint(clamp(d, 1.1920928955078125e-7, 16376.0));
    bits = (bits + 0xfffu + ((bits >> 13) & 1u)) & ~0x1fffu; // 11 digits, ties to even
    return d < 1.220703125e-4 ? max(roundEven(d * 8388608.0), 1.0) / 8388608.0 : uintBitsToFloat(bits);
}

float level(float weight, float d)
{
    if (push.by_mean != 0u && push.bits == 1u) return weight < 0.0 ? -0.5 * d : 0.5 * d;
    float x = weight / d;
    if (push.by_mean == 0u) return roundEven(x) * d;
    return (roundEven(clamp(x, -1.98, 1.98) - 0.5) + 0.5) * d;
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
    float d;
    if (push.by_mean != 0u) d = ob_reduce_add(sum) / float(push.columns) * (push.bits == 1u ? 2.0 : 1.0);
    else d = ob_reduce_max(most) / float((1u << (push.bits - 1u)) - 1u);
    d = round_step(d);
    for (uint j = gl_LocalInvocationIndex; j < push.columns; j += gl_WorkGroupSize.x) q[base + j] = level(w[base + j], d);
    if (gl_LocalInvocationIndex == 0u) steps[push.first_row + row] = d;
}

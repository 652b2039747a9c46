// loss[t] = -log softmax(logits[t])[targets[t]];  logits[t] becomes (softmax(logits[t]) - onehot(targets[t])) * scale
// b0 w loss (T)   b1 rw logits (T, V): in logits, out their gradient   b2 r targets (T) u32; >= V: no target, all 0
// push: rows = T, columns = V, scale   spec 0: workgroup size   grid: one workgroup a row, folded over x and y   tiers A B
//
// The lane that has the target's column keeps its logit, and in the end writes the loss. exp is computed once: the row
// holds the powers until their sum is known.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/reduce.glsl"
#include "common/grid.glsl"
#include "common/exp_log.glsl"
#include "common/push_loss.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Loss { float loss[]; };
layout(set = 0, binding = 1) buffer Logits { float logits[]; };
layout(set = 0, binding = 2) readonly buffer Targets { uint targets[]; };
layout(push_constant) uniform Push { obi_push_loss_rows push; };

void main()
{
    uint row = ob_group();
    if (row >= push.rows) return; // the whole workgroup
    uint lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x;
    uint base = row * push.columns, target = targets[row];
    if (target >= push.columns) {
        for (uint i = lane; i < push.columns; i += lanes) logits[base + i] = 0.0;
        if (lane == 0u) loss[row] = 0.0;
        return;
    }
    float top = OB_LOWEST;
    for (uint i = lane; i < push.columns; i += lanes) top = max(top, logits[base + i]);
    top = ob_reduce_max(top);
    float total = 0.0, chosen = 0.0;
    for (uint i = lane; i < push.columns; i += lanes) {
        float below = logits[base + i] - top;
        float power = ob_exp_below(below);
        if (i == target) chosen = below;
        logits[base + i] = power;
        total += power;
    }
    total = ob_reduce_add(total);
    float share = push.scale / total;
    for (uint i = lane; i < push.columns; i += lanes)
        logits[base + i] = logits[base + i] * share - (i == target ? push.scale : 0.0);
    if (lane == target % lanes) loss[row] = ob_log(total) - chosen;
}

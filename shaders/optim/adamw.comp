// AdamW (Loshchilov and Hutter 2019) with g = grad_scale * dw:
//   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  w = w - lr weight_decay w - lr (m / c1) / (sqrt(v / c2) + eps)
// b0 rw w   b1 r dw   b2 rw m   b3 rw v   (count each)
// push: count, lr, beta1, beta2, eps, weight_decay, c1, c2, grad_scale
// spec 0: workgroup size   grid: a lane an element, folded over x and y   tier A
//
// `precise`: a step repeated after a restart, by whatever compiler the driver brings, is the same bits.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_optim.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer W { float w[]; };
layout(set = 0, binding = 1) readonly buffer DW { float dw[]; };
layout(set = 0, binding = 2) buffer M { float m[]; };
layout(set = 0, binding = 3) buffer Variance { float v[]; };
layout(push_constant) uniform Push { obi_push_optim_adamw push; };

void main()
{
    uint i = ob_element();
    if (i >= push.count) return;
    precise float g = dw[i] * push.grad_scale;
    precise float first = push.beta1 * m[i] + (1.0 - push.beta1) * g;
    precise float second = push.beta2 * v[i] + (1.0 - push.beta2) * g * g;
    m[i] = first;
    v[i] = second;
    precise float weight = w[i];
    precise float step_size = push.lr * (first / push.c1) / (sqrt(second / push.c2) + push.eps);
    w[i] = (weight - push.lr * push.weight_decay * weight) - step_size;
}

#version 450
#extension GL_GOOGLE_include_directive : require
// optim/adamw for software drivers (common/straight.glsl): 64 elements a subgroup, the same bits.
//
// b0 w  w   b1 w  m   b2 w  v   b3 r dw, read by its address as the others too
// push: obi_push_optim_adamw_straight      spec 0: workgroup, 128
// grid: x, y = elements / 1024, see common/flat_straight.glsl
// tiers: A
#include "common/push_optim.h"
#define OB_PUSH obi_push_optim_adamw_straight
#include "common/flat_straight.glsl"

layout(set = 0, binding = 0) writeonly buffer W { float w[]; };
layout(set = 0, binding = 1) writeonly buffer M { float m[]; };
layout(set = 0, binding = 2) writeonly buffer Variance { float v[]; };

void main()
{
    uint begin = ob_block() * 64u;
    uint64_t skip = uint64_t(begin) * 4ul;
    uint64_t w_from = ob_address(push.w_low, push.w_high) + skip, dw_from = ob_address(push.dw_low, push.dw_high) + skip;
    uint64_t m_from = ob_address(push.m_low, push.m_high) + skip, v_from = ob_address(push.v_low, push.v_high) + skip;

#define STORE_W(l) w[at + uint(l)] = subgroupShuffle(now, uint(l));
#define STORE_M(l) m[at + uint(l)] = subgroupShuffle(first, uint(l));
#define STORE_V(l) v[at + uint(l)] = subgroupShuffle(second, uint(l));
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        uint at = begin + i * 8u;
        precise float g = OB_EIGHT(dw_from, i) * push.grad_scale;
        precise float first = push.beta1 * OB_EIGHT(m_from, i) + (1.0 - push.beta1) * g;
        precise float second = push.beta2 * OB_EIGHT(v_from, i) + (1.0 - push.beta2) * g * g;
        precise float weight = OB_EIGHT(w_from, i);
        precise float step_size = push.lr * (first / push.c1) / (sqrt(second / push.c2) + push.eps);
        precise float now = (weight - push.lr_decay * weight) - step_size;
        EACH8(STORE_W) EACH8(STORE_M) EACH8(STORE_V)
    }
}

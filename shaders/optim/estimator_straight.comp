#version 450
#extension GL_GOOGLE_include_directive : require
// optim/estimator for software drivers (common/straight.glsl): 64 elements a subgroup.
//
// b0 w  dw, read by its address as w too
// push: obi_push_optim_estimator_straight      spec 0: workgroup, 128      spec 1: kind
// grid: x, y = elements / 1024, see common/flat_straight.glsl
// tiers: A
#include "common/estimator.glsl"
#include "common/push_optim.h"
#define OB_PUSH obi_push_optim_estimator_straight
#include "common/flat_straight.glsl"

layout(constant_id = 1) const uint KIND = 0u;
layout(set = 0, binding = 0) writeonly buffer DW { float dw[]; };

void main()
{
    uint begin = ob_block() * 64u;
    uint64_t dw_from = ob_address(push.dw_low, push.dw_high) + uint64_t(begin) * 4ul;
    uint64_t w_from = ob_address(push.w_low, push.w_high) + uint64_t(begin) * 4ul;
#define STORE(l) dw[at + uint(l)] = subgroupShuffle(value, uint(l));
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        uint at = begin + i * 8u;
        float value = OB_EIGHT(dw_from, i) * ob_estimator(OB_EIGHT(w_from, i), KIND, push.alpha);
        EACH8(STORE)
    }
}

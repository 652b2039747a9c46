#version 450
#extension GL_GOOGLE_include_directive : require
// post_norm/residual_fwd for software drivers (common/straight.glsl):
//   x[i] += N(p[i]); normed[i] = x[i] * w[i] / sqrt(mean_i(x[i]^2) + eps)
// b0 w normed (rows, columns)   b1 w x (rows, columns), read by its address
// push: obi_push_token_row: a = p, b = x, w
// spec 0: workgroup, 8 * subgroups   1: subgroups, at most 64   2: 1 with N   3: eights of a subgroup, at most 32   4: 1: they reach past
//    the row's end   5: 1: several rows
// grid: x: rows, at most 256   tiers: A
#define OB_ROWS 1u
#include "common/token_row_straight.glsl"

layout(set = 0, binding = 0) writeonly buffer Normed { float normed[]; };
layout(set = 0, binding = 1) writeonly buffer X { float x[]; };

void main()
{
    uint64_t p_row = ob_row(push.a_low, push.a_high), x_row = ob_row(push.b_low, push.b_high);
    uint64_t w_row = ob_address(push.w_low, push.w_high);
    float value[32], pivot = uintBitsToFloat(ob_word(p_row, 0u));
    OB_EACH value[i] = ob_input(p_row, i);
    ob_post post = ob_post(0.0, 0.0, 1.0);
    if (OB_POST != 0u) {
        OB_LEAVE_MOMENTS(0u, value, pivot)
        barrier();
        post = ob_join(0u, pivot, push.columns, OB_CHUNK, push.post_eps);
    }
    float squares = 0.0;
    OB_EACH {
        value[i] = ob_input(x_row, i) + ob_post_value(post, value[i]);
        float counted = ob_counted(value[i], i);
        squares += counted * counted;
    }
    float scale = 1.0 / sqrt(ob_row_sum(ob_lanes_sum(squares)) / float(push.columns) + push.eps);
    OB_EACH {
        float result = value[i] * scale * ob_input(w_row, i);
        OB_STORE(x, value[i])
        OB_STORE(normed, result)
    }
}

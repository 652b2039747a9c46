#version 450
#extension GL_GOOGLE_include_directive : require
// post_norm/swiglu_fwd for software drivers (common/straight.glsl):
//   gate[i] = silu(N(gate[i])) * N(up[i]), silu(a) = a / (1 + exp(-a))
// b0 w gate (rows, columns), read by its address
// push: obi_push_token_row: a = gate, b = up
// spec and grid as of residual_straight   tiers: A
#define OB_ROWS 2u
#include "common/token_row_straight.glsl"

layout(set = 0, binding = 0) writeonly buffer Gate { float gate[]; };

void main()
{
    uint64_t gate_row = ob_row(push.a_low, push.a_high), up_row = ob_row(push.b_low, push.b_high);
    float a[32], b[32], a_pivot = uintBitsToFloat(ob_word(gate_row, 0u)), b_pivot = uintBitsToFloat(ob_word(up_row, 0u));
    OB_EACH {
        a[i] = ob_input(gate_row, i);
        b[i] = ob_input(up_row, i);
    }
    ob_post a_post = ob_post(0.0, 0.0, 1.0), b_post = a_post;
    if (OB_POST != 0u) {
        OB_LEAVE_MOMENTS(0u, a, a_pivot)
        OB_LEAVE_MOMENTS(1u, b, b_pivot)
    }
    barrier(); // no lane writes over what another has not read
    if (OB_POST != 0u) {
        a_post = ob_join(0u, a_pivot, push.columns, OB_CHUNK, push.post_eps);
        b_post = ob_join(1u, b_pivot, push.columns, OB_CHUNK, push.post_eps);
    }
    OB_EACH {
        float x = ob_post_value(a_post, a[i]);
        // Beyond 87 exp leaves the range of normal floats; the result is 0 to far below any tolerance there.
        float result = x / (1.0 + exp(clamp(-x, -87.0, 87.0))) * ob_post_value(b_post, b[i]);
        OB_STORE(gate, result)
    }
}

// post_swiglu: what follows the projections gate and up, of one row by one workgroup: gate = silu(N(gate)) * N(up),
// silu(a) = a / (1 + exp(-a)).
// The source includes common/post_norm.glsl and defines OB_GATE(i) and OB_UP(i), element i of the row.
#ifndef OB_POST_SWIGLU_GLSL
#define OB_POST_SWIGLU_GLSL

void ob_post_swiglu(uint columns, float post_eps)
{
    ob_post gate_post, up_post;
    OB_POST_STATS(gate_post, OB_GATE, columns, post_eps) // its sums are over before a lane writes
    OB_POST_STATS(up_post, OB_UP, columns, post_eps)
    for (uint i = gl_LocalInvocationIndex; i < columns; i += gl_WorkGroupSize.x) {
        float a = ob_post_value(gate_post, OB_GATE(i));
        // Beyond 87 exp leaves the range of normal floats; the result is 0 to far below any tolerance there.
        OB_GATE(i) = a / (1.0 + exp(clamp(-a, -87.0, 87.0))) * ob_post_value(up_post, OB_UP(i));
    }
}

#endif

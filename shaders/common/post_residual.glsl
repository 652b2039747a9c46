// post_residual: what follows the projections o and down, of one row by one workgroup: x += N(p), normed = x * w / sqrt(mean(x^2) + eps).
// The source includes common/post_norm.glsl and defines OB_P(i), OB_X(i), OB_NORMED(i) and OB_W(i), element i of the row.
#ifndef OB_POST_RESIDUAL_GLSL
#define OB_POST_RESIDUAL_GLSL

void ob_post_residual(uint columns, float post_eps, float eps)
{
    ob_post post;
    OB_POST_STATS(post, OB_P, columns, post_eps)
    precise float squares = 0.0;
    for (uint i = gl_LocalInvocationIndex; i < columns; i += gl_WorkGroupSize.x) {
        float value = OB_X(i) + ob_post_value(post, OB_P(i));
        OB_X(i) = value; // read again below by the same lane
        squares += value * value;
    }
    precise float mean = ob_reduce_add(squares) / float(columns) + eps;
    float scale = 1.0 / sqrt(mean);
    for (uint i = gl_LocalInvocationIndex; i < columns; i += gl_WorkGroupSize.x) OB_NORMED(i) = OB_X(i) * scale * OB_W(i);
}

#endif

// post_norm: OneBit's norm of a projection, (x - mean) / sqrt(variance + eps), for kernels that go on with it. The source
// includes common/reduce.glsl, defines OB_POST_NORM (false: the values stay as they are), and calls OB_POST_STATS with every
// lane of the workgroup, all of which have the row's first element and its length.
//
// What is `precise` here and in the files that go on (post_residual, post_swiglu, post_qkv) no compiler may join to multiply-adds: the
// same text is compiled into several kernels, which must give the same bits.
#ifndef OB_POST_NORM_GLSL
#define OB_POST_NORM_GLSL

struct ob_post { float pivot, mean, scale; };

// Measured from the row's first element, a row far from zero loses no digits, and a constant row gives exact zeros.
// READ(i): element i.
#define OB_POST_STATS(post, READ, columns, eps)                                                                            \
    post.pivot = 0.0;                                                                                                      \
    post.mean = 0.0;                                                                                                       \
    post.scale = 1.0;                                                                                                      \
    if (OB_POST_NORM) {                                                                                                    \
        post.pivot = READ(0u);                                                                                             \
        barrier(); /* every lane has it before lane 0 may write over it */                                                 \
        precise float part = 0.0;                                                                                          \
        for (uint i = gl_LocalInvocationIndex; i < columns; i += gl_WorkGroupSize.x) part += READ(i) - post.pivot;         \
        post.mean = ob_reduce_add(part) / float(columns);                                                                  \
        part = 0.0;                                                                                                        \
        for (uint i = gl_LocalInvocationIndex; i < columns; i += gl_WorkGroupSize.x) {                                     \
            float d = (READ(i) - post.pivot) - post.mean;                                                                  \
            part += d * d;                                                                                                 \
        }                                                                                                                  \
        post.scale = 1.0 / sqrt(ob_reduce_add(part) / float(columns) + eps);                                               \
    }

float ob_post_value(ob_post post, float x)
{
    precise float y = ((x - post.pivot) - post.mean) * post.scale;
    return OB_POST_NORM ? y : x;
}

#endif

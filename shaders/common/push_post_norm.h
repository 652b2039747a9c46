#ifndef OB_PUSH_POST_NORM_H
#define OB_PUSH_POST_NORM_H
#include "push.h"

struct obi_push_post_norm_residual {
    OB_U32 rows, columns;
    OB_F32 post_eps, eps;
};
struct obi_push_post_norm_swiglu {
    OB_U32 rows, columns;
    OB_F32 post_eps;
};
struct obi_push_post_norm_qkv {
    OB_U32 tokens, heads, kv_heads, head_size, rotated, first_position;
    OB_U32 k_start, v_start; /* where keys and values begin in q|k|v, in floats */
    OB_F32 post_eps;
};

#endif

/* push_token: push constants of the kernels for what a token's rows need on software drivers, read by C and by GLSL. */
#ifndef OB_PUSH_TOKEN_H
#define OB_PUSH_TOKEN_H

#include "push.h"

/* post_norm/residual_straight, post_norm/swiglu_straight. */
struct obi_push_token_row {
    OB_U32 a_low, a_high, b_low, b_high, w_low, w_high; /* addresses of inputs, of the first row of this dispatch, halves of 64 bits */
    OB_U32 first; /* where its results begin in the bound views */
    OB_U32 columns;
    OB_F32 post_eps, eps;
    OB_U32 digit[16]; /* 0, 1, 2, ...: straight.glsl says why */
};

/* post_norm/qkv_straight. */
struct obi_push_token_qkv {
    OB_U32 qkv_low, qkv_high, table_low, table_high; /* addresses, halves of 64 bits */
    OB_U32 heads, kv_heads;
    OB_U32 k_start, v_start; /* where k and v begin in q|k|v, in floats */
    OB_U32 token;            /* the first of this dispatch */
    OB_U32 position;         /* of token 0; with PLACED: where in q|k|v it is, as a float */
    OB_F32 post_eps;
    OB_U32 digit[16];        /* 0, 1, 2, ...: straight.glsl says why */
};

/* attn/decode_straight. */
struct obi_push_token_attend {
    OB_U32 q_low, q_high, k_low, k_high, v_low, v_high; /* addresses, halves of 64 bits */
    OB_U32 kv_heads, group; /* and how many heads each of these serves */
    OB_U32 position;        /* with PLACED: where behind q it is, as a float */
    OB_F32 scale;
    OB_U32 digit[16];       /* 0, 1, 2, ...: straight.glsl says why */
};

#endif

/* push_int8: push constants of shaders/int8, read by C and by GLSL. Places are in words from the beginning of the binding. */
#ifndef OB_PUSH_INT8_H
#define OB_PUSH_INT8_H

#include "push.h"

struct obi_push_int8_flags {
    OB_U32 n;         /* columns */
    OB_U32 tokens;
    OB_F32 threshold;
};

struct obi_push_int8_list {
    OB_U32 n;
};

struct obi_push_int8_quantise {
    OB_U32 n;
    OB_U32 words;     /* ceil(n / 4): of a token's bytes */
    OB_U32 bytes_at;  /* where the bytes begin, behind the steps */
};

struct obi_push_int8_products {
    OB_U32 m;         /* rows of the whole matrix: distance between two tokens of y */
    OB_U32 n;         /* columns: distance between two tokens of x */
    OB_U32 words;     /* ceil(n / 4) */
    OB_U32 first_row; /* of the bound block */
    OB_U32 row_count; /* of the bound block */
    OB_U32 tokens;
    OB_U32 steps_at, bytes_at;
};

struct obi_push_int8_gemv_straight {
    OB_U32 q_low, q_high, w_low, w_high; /* addresses of the bytes of the first token and of the first row, halves of 64 bits */
    OB_U32 m, n, words;                  /* as above */
    OB_U32 first_row;                    /* of y */
    OB_U32 row_count;                    /* of this dispatch; the bound rows begin with its first */
    OB_U32 first_token;                  /* of this dispatch */
    OB_U32 steps_at;
    OB_U32 digit[16];                    /* 0, 1, 2, ...: straight.glsl says why */
};

#endif

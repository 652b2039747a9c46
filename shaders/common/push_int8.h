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

#endif

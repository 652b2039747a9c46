/* push_dense: push constants of shaders/dense, read by C and by GLSL. */
#ifndef OB_PUSH_DENSE_H
#define OB_PUSH_DENSE_H

#include "push.h"

struct obi_push_dense_gemv {
    OB_U32 m;         /* rows of the whole matrix: distance between two tokens of y */
    OB_U32 n;         /* columns */
    OB_U32 row_words; /* 32-bit words of a row: n for f32, ceil(n / 2) for f16 */
    OB_U32 first_row; /* of the bound block */
    OB_U32 row_count; /* of the bound block */
};

struct obi_push_dense_gemm {
    OB_U32 m, n, row_words, first_row, row_count; /* as above */
    OB_U32 tokens;
};

#endif

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

struct obi_push_dense_gemv_straight {
    OB_U32 x_low, x_high, w_low, w_high; /* addresses of x and of the first row, halves of 64 bits */
    OB_U32 m, n, row_words;              /* as above */
    OB_U32 first_row, row_count;         /* of this dispatch */
    OB_U32 digit[16];                    /* 0, 1, 2, ...: straight.glsl says why */
};

/* c[p,q] = sum over k of a[p,k] * b[q,k] for p < p_count, q < q_count, k < k_count; which of the two indices of a and b
 * is the contiguous one is a property of the kernel (shaders/dense/gemm.comp). All counts and places in floats, those of
 * b in words. */
struct obi_push_dense_gemm {
    OB_U32 p_count, q_count, k_count;
    OB_U32 a_first, a_stride; /* where a begins, and the distance between its rows (p's, or k's where p is contiguous) */
    OB_U32 b_first, b_stride; /* the same of b */
    OB_U32 c_first, c_stride; /* the same of c, whose rows are p's */
    OB_U32 accumulate;        /* 1: c is added to */
};

#endif

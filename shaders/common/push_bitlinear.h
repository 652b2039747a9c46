/* push_bitlinear: push constants of shaders/bitlinear, read by C and by GLSL. */
#ifndef OB_PUSH_BITLINEAR_H
#define OB_PUSH_BITLINEAR_H

#include "push.h"

struct obi_push_bitlinear_gemv {
    OB_U32 m;         /* rows of the whole matrix: distance between two tokens of y */
    OB_U32 n;         /* columns */
    OB_U32 row_words; /* ceil(n / 32) */
    OB_U32 first_row; /* of the bound block */
    OB_U32 row_count; /* of the bound block */
    OB_U32 h_offset;  /* where h begins in the scales, in floats */
    /* bitlinear/gemv alone: of a group (obi_op_bitlinear_group_fwd), else the first is beyond the grid: workgroups of the first part and
     * of each further one; rows of each of these; words from the bits of the first part to the second's, and of the second to the third's;
     * the same of their scales. */
    OB_U32 first_groups, other_groups, other_rows, bits_skip, other_bits_skip, scales_skip, other_scales_skip;
};

struct obi_push_bitlinear_quantise {
    OB_U32 n;         /* columns */
    OB_U32 row_words; /* ceil(n / 32) */
};

/* Its specialisation constant 5. */
#define OB_GEMV_TOKENS 1u
#define OB_GEMV_PARTS 2u
#define OB_GEMV_WHOLE 4u

struct obi_push_bitlinear_gemv_straight {
    OB_U32 x_low, x_high, g_low, g_high, bits_low, bits_high; /* addresses, halves of 64 bits */
    OB_U32 m;          /* rows of the whole matrix */
    OB_U32 n;          /* columns of the whole matrix: distance between two tokens of x */
    OB_U32 k_count;    /* columns of this dispatch; the addresses are those of the first of them */
    OB_U32 tile_words; /* from a tile of the signs to the next */
    OB_U32 first_row, row_count; /* of the row block */
    OB_U32 h_skip;     /* words from the address of g to that of h of first_row */
    /* of a group (obi_op_bitlinear_group_fwd), else of no effect: rows of each further part; words from the scales of the first part
     * to the second's, and of the second to the third's. (To compute them here makes their loads loops over the lanes.) */
    OB_U32 other_rows, scales_skip, other_scales_skip;
    OB_U32 digit[16];  /* 0, 1, 2, ...: straight.glsl says why */
};

struct obi_push_bitlinear_sums {
    OB_U32 x_low, x_high, g_low, g_high; /* addresses, halves of 64 bits, of the first column of this dispatch */
    OB_U32 n;          /* columns of the whole matrix: distance between two tokens of x */
    OB_U32 k_count;    /* columns of this dispatch */
    OB_U32 tokens;     /* of this dispatch */
    OB_U32 records_padded; /* that a part has room for; a record is a token, or two (OB_INT8) */
    OB_U32 words;      /* of a record's sums: of its stretches */
    OB_U32 scales_skip, other_scales_skip; /* of a group: as for gemv_straight */
    OB_U32 digit[16];  /* 0, 1, 2, ...: straight.glsl says why */
};

struct obi_push_bitlinear_gemm_sums {
    OB_U32 sums_low, sums_high, bits_low, bits_high, h_low, h_high; /* addresses; bits: of the first word of this dispatch */
    OB_U32 m;          /* rows of the whole matrix */
    OB_U32 tokens;     /* of y; the records that a part of the sums has room for, << 10; tiles of a block of records, << 20 */
    OB_U32 first;      /* record of this dispatch; and words of a record's sums << 16 */
    OB_U32 tile_words; /* from a tile of the signs to the next */
    OB_U32 first_row;  /* of y */
    OB_U32 rows;       /* of the row block; and << 16, of a group, of each further part */
    OB_U32 scales_skip, other_scales_skip; /* of a group: as for gemv_straight */
    OB_U32 y_skip, other_y_skip; /* words from the results of the first part to the second's, and from those to the third's */
    OB_U32 digit[16];
};

struct obi_push_bitlinear_gemm {
    OB_U32 m, n, row_words, first_row, row_count, h_offset; /* as above */
    OB_U32 tokens;
};

#define OB_PLANES_PARTS 3u

struct obi_push_bitlinear_planes {
    OB_U32 planes;                     /* of each part */
    OB_U32 count;                      /* elements of y of all parts */
    OB_U32 parts;                      /* 1 to OB_PLANES_PARTS */
    OB_U32 m[OB_PLANES_PARTS];         /* outputs of a token */
    OB_U32 end[OB_PLANES_PARTS];       /* elements of y of this part and those before it */
    OB_U32 y_at[OB_PLANES_PARTS], stack_at[OB_PLANES_PARTS], c_at[OB_PLANES_PARTS]; /* where it begins, in floats */
};

struct obi_push_bitlinear_bwd_x {
    OB_U32 m, n, row_words; /* as above */
    OB_U32 first_row;       /* of the whole matrix: where in a token of dv the rows below begin */
    OB_U32 block_row;       /* the first row in the bound block */
    OB_U32 row_count;       /* how many to sum over */
    OB_U32 tokens;
    OB_U32 accumulate;      /* 1: du is added to */
};

struct obi_push_bitlinear_scale_columns {
    OB_U32 n;          /* columns */
    OB_U32 count;      /* elements */
    OB_U32 accumulate; /* 1: y is added to */
};

struct obi_push_bitlinear_scale_matrix {
    OB_U32 n;         /* columns */
    OB_U32 count;     /* elements of the bound block */
    OB_U32 first_row; /* of the bound block */
};

struct obi_push_bitlinear_column_dot {
    OB_U32 n;          /* columns */
    OB_U32 rows;       /* tokens, or in the second pass chunks */
    OB_U32 chunk_rows; /* rows that one lane sums */
};

struct obi_push_bitlinear_column_dot_straight {
    OB_U32 a_low, a_high, b_low, b_high; /* addresses of the first row and column, halves of 64 bits; b: of out in the second pass */
    OB_U32 n;
    OB_U32 out_first;  /* in the bound view */
    OB_U32 last_block; /* of columns */
    OB_U32 digit[16];  /* 0, 1, 2, ...: straight.glsl says why */
};

#endif

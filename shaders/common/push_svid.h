/* push_svid: push constants of shaders/svid, read by C and by GLSL. */
#ifndef OB_PUSH_SVID_H
#define OB_PUSH_SVID_H

#include "push.h"

struct obi_push_svid_rows {
    OB_U32 n;         /* columns */
    OB_U32 first_row; /* of the bound block */
    OB_U32 row_count; /* of the bound block */
    OB_U32 absolute;  /* 1: |W|, 0: W */
};

struct obi_push_svid_columns {
    OB_U32 n, first_row, row_count, absolute; /* as above */
    OB_U32 chunk_rows;  /* rows that one partial sum covers */
    OB_U32 chunk_first; /* number of the block's first chunk */
};

struct obi_push_svid_fold {
    OB_U32 n;
    OB_U32 chunks;
};

struct obi_push_svid_dot {
    OB_U32 count;
};

struct obi_push_svid_residual {
    OB_U32 n, first_row, row_count, absolute; /* as above */
    OB_U32 group_first; /* where the block's partial sums begin */
};

struct obi_push_svid_stats {
    OB_U32 n, first_row, row_count;
};

struct obi_push_svid_sign_pack {
    OB_U32 n;
    OB_U32 row_words;  /* of the packed rows: ceil(n / 32) */
    OB_U32 word_count; /* row_count * row_words */
};

struct obi_push_svid_sign_pack_straight {
    OB_U32 w_low, w_high; /* address, halves of 64 bits */
    OB_U32 digit[16];     /* 0, 1, 2, ...: straight.glsl says why */
};

#endif

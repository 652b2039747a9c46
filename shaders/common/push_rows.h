/* push_rows: push constants of the kernels that go over rows on software drivers, read by C and by GLSL. */
#ifndef OB_PUSH_ROWS_H
#define OB_PUSH_ROWS_H

#include "push.h"

#define OB_ROWS_FRESH 1u      /* stats begin with this chunk */
#define OB_ROWS_ACCUMULATE 2u /* the result is added to */

/* A chunk of columns of each of some rows: norm/rows_straight, act/rows_straight, loss/hidden_straight, loss/kd_straight. */
struct obi_push_rows {
    OB_U32 a_low, a_high, b_low, b_high;         /* addresses of two inputs (rows, columns), halves of 64 bits */
    OB_U32 w_low, w_high;                        /* of an input (columns), (rows) or (rows, columns) */
    OB_U32 out_low, out_high;                    /* of what binding 0 is */
    OB_U32 stats_low, stats_high;                /* (rows, 8) */
    OB_U32 columns, first_row, first_column;
    OB_U32 flags;
    OB_F32 eps;                                  /* or the scale of a gradient */
    OB_U32 rows;                                 /* of the whole arrays */
    OB_U32 digit[16];                            /* 0, 1, 2, ...: straight.glsl says why */
};

#endif

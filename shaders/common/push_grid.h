/* push_grid: push constants of shaders/grid, read by C and by GLSL. */
#ifndef OB_PUSH_GRID_H
#define OB_PUSH_GRID_H

#include "push.h"

struct obi_push_grid_round {
    OB_U32 n;         /* columns */
    OB_U32 group;     /* columns of a group */
    OB_U32 groups;    /* of a row */
    OB_U32 first_row; /* of the bound block */
    OB_U32 count;     /* fwd: elements of the bound block; bwd: its rows times groups */
    OB_F32 top;       /* 2^bits - 1 */
};

#endif

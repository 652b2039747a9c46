#ifndef OB_PUSH_NORM_H
#define OB_PUSH_NORM_H
#include "push.h"

struct obi_push_norm_rmsnorm {
    OB_U32 rows, columns;
    OB_F32 eps;
};
struct obi_push_norm_layernorm {
    OB_U32 rows, columns;
    OB_F32 eps;
};
struct obi_push_norm_columns {
    OB_U32 rows, columns;
    OB_U32 chunk_rows; /* rows of one partial sum */
};
struct obi_push_norm_fold {
    OB_U32 chunks, columns;
};

#endif

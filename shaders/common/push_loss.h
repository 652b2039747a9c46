#ifndef OB_PUSH_LOSS_H
#define OB_PUSH_LOSS_H
#include "push.h"

struct obi_push_loss_rows {
    OB_U32 rows, columns;
    OB_F32 scale; /* of the gradient */
};

#endif

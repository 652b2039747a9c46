#ifndef OB_PUSH_RATE_H
#define OB_PUSH_RATE_H
#include "push.h"

struct obi_push_rate_multiply_add {
    OB_U32 count; /* elements of out: lanes */
    OB_U32 turns; /* of 48 multiply-adds each; at most 65535 */
    OB_F32 factor;
    OB_F32 term;
};

#endif

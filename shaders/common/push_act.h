#ifndef OB_PUSH_ACT_H
#define OB_PUSH_ACT_H
#include "push.h"

struct obi_push_act_elements {
    OB_U32 count;
};
struct obi_push_act_bias {
    OB_U32 count, columns;
};

#endif

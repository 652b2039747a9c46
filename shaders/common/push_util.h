#ifndef OB_PUSH_UTIL_H
#define OB_PUSH_UTIL_H
#include "push.h"

struct obi_push_util_topk {
    OB_U32 count; /* elements of the input */
    OB_U32 keep;  /* pairs each workgroup writes */
    OB_U32 run;   /* elements of a workgroup */
    OB_U32 groups;
};
struct obi_push_util_argmax {
    OB_U32 count; /* elements of the input */
    OB_U32 run;   /* elements of a workgroup */
    OB_U32 groups;
};

#endif

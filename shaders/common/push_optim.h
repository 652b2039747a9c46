#ifndef OB_PUSH_OPTIM_H
#define OB_PUSH_OPTIM_H
#include "push.h"

struct obi_push_optim_adamw {
    OB_U32 count;
    OB_F32 lr, beta1, beta2, eps, weight_decay;
    OB_F32 c1, c2; /* 1 - beta1^step, 1 - beta2^step */
    OB_F32 grad_scale;
};
struct obi_push_optim_adamw_straight {
    OB_U32 w_low, w_high, dw_low, dw_high, m_low, m_high, v_low, v_high; /* addresses, halves of 64 bits */
    OB_F32 lr, beta1, beta2, eps;
    OB_F32 lr_decay; /* lr weight_decay */
    OB_F32 c1, c2, grad_scale; /* as above */
    OB_U32 digit[16]; /* 0, 1, 2, ...: straight.glsl says why */
};
struct obi_push_optim_sumsq {
    OB_U32 count;
    OB_U32 chunk; /* elements of a workgroup */
};
struct obi_push_optim_sumsq_straight {
    OB_U32 partial_low, partial_high, x_low, x_high; /* addresses, halves of 64 bits */
    OB_U32 blocks; /* of 1024 elements */
    OB_U32 accumulate; /* 1: partial is added to */
    OB_U32 digit[16];
};
struct obi_push_optim_sumsq_fold {
    OB_U32 groups;
    OB_U32 accumulate;
};
struct obi_push_optim_scale {
    OB_U32 count;
    OB_F32 factor;
};
struct obi_push_optim_tie {
    OB_U32 count;
};
struct obi_push_optim_estimator {
    OB_U32 count, kind;
    OB_F32 alpha;
};
struct obi_push_optim_estimator_straight {
    OB_U32 dw_low, dw_high, w_low, w_high; /* addresses, halves of 64 bits */
    OB_F32 alpha;
    OB_U32 digit[16];
};
struct obi_push_optim_fake_quant {
    OB_U32 rows, columns;
    OB_U32 first_row; /* where the block's steps go */
    OB_U32 by_mean, bits;
};
struct obi_push_optim_flip_count {
    OB_U32 count; /* words */
    OB_U32 chunk; /* words of a workgroup */
};

#endif

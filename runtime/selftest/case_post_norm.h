/* case_post_norm: what follows a projection, compared with its reference: for the kernels of post_norm and for those that do it in a
 * projection's dispatch. All arrays are the case's own; eps is OBI_CASE_NORM_EPS, `post` 1 with OneBit's norm. */
#ifndef OBI_SELFTEST_CASE_POST_NORM_H
#define OBI_SELFTEST_CASE_POST_NORM_H

#include "ops/op_post_norm.h"
#include "selftest/selftest.h"

float obi_case_post_eps(uint32_t post);

/* x and p as they were before, (T,n); both are overwritten. */
obi_status obi_case_check_residual(obi_case_env *env, obi_view x_view, obi_view normed_view, float *x, float *p, const float *w, uint32_t T,
                                   uint32_t n, uint32_t post, obi_case_result *result);

/* gate and up as they were before, (T,n); both are overwritten. */
obi_status obi_case_check_swiglu(obi_case_env *env, obi_view gate_view, float *gate, float *up, uint32_t T, uint32_t n, uint32_t post,
                                 obi_case_result *result);

/* Inputs of obi_op_post_qkv_fwd at position 2: what a case makes, and what it has the op and the reference work on. */
typedef struct obi_case_qkv {
    obi_post_qkv what;
    float *table, *keys, *values; /* (context, R/2, 2), (context,K,C) twice: rounded to halves where the cache is */
    obi_view table_view;
    obi_kv_cache cache;
} obi_case_qkv;

/* sizes: T H K C R post+2*pairs. */
obi_status obi_case_qkv_make(obi_case_env *env, const uint32_t *sizes, obi_kv_type type, obi_case_qkv *out);
/* q, k and v as they were before, (T,H,C) and (T,K,C) twice; overwritten, as are keys and values. */
obi_status obi_case_check_qkv(obi_case_env *env, const obi_case_qkv *of, obi_view qkv_view, float *q, float *k, float *v,
                              obi_case_result *result);

#endif

/* cases: the list of all cases. A family adds its lines here and defines `const obi_case obi_case_<name>` in
 * case_<family>.c. The order is the order of the self-test's report. */
#ifndef OBI_SELFTEST_CASES_H
#define OBI_SELFTEST_CASES_H

#include "selftest/selftest.h"

#define OBI_CASES(X)        \
    X(norm_rmsnorm)         \
    X(norm_layernorm)       \
    X(attn_rope)            \
    X(attn_kv_store)        \
    X(attn_decode)          \
    X(attn_prefill)         \
    X(attn_combine)         \
    X(attn_prefill_split)   \
    X(attn_kv_store_f16)    \
    X(attn_decode_f16)      \
    X(attn_prefill_f16)     \
    X(post_norm_residual)   \
    X(post_norm_swiglu)     \
    X(post_norm_qkv)        \
    X(post_norm_qkv_f16)    \
    X(act_swiglu)           \
    X(act_relu)             \
    X(act_add)              \
    X(embed_gather_f32)     \
    X(embed_gather_f16)     \
    X(util_topk)            \
    X(util_argmax)          \
    X(norm_rmsnorm_bwd)     \
    X(norm_rms_scale)       \
    X(norm_rmsnorm_bwd_w)   \
    X(norm_fold_bwd)        \
    X(norm_layernorm_bwd)   \
    X(attn_rope_bwd)        \
    X(attn_stats_bwd)       \
    X(attn_q_bwd)           \
    X(attn_rows_straight)   \
    X(attn_rope_straight)   \
    X(loss_hidden_straight) \
    X(optim_adamw_straight) \
    X(optim_estimator_straight) \
    X(optim_sumsq_straight) \
    X(svid_sign_pack_straight) \
    X(attn_rope_bwd_straight) \
    X(norm_rmsnorm_straight) \
    X(norm_layernorm_straight) \
    X(norm_rmsnorm_bwd_straight) \
    X(norm_layernorm_bwd_straight) \
    X(act_swiglu_straight) \
    X(act_add_straight) \
    X(act_swiglu_bwd_straight) \
    X(bitlinear_scale_columns_straight) \
    X(attn_scatter_straight) \
    X(attn_kv_bwd)          \
    X(act_swiglu_bwd)       \
    X(act_relu_bwd)         \
    X(embed_scatter_bwd)    \
    X(loss_xent)            \
    X(loss_kd_xent)         \
    X(loss_kd_straight)     \
    X(loss_hidden)          \
    X(optim_adamw)          \
    X(optim_sumsq)          \
    X(optim_sumsq_fold)     \
    X(optim_scale)          \
    X(optim_tie)            \
    X(optim_estimator)      \
    X(optim_flip_count)     \
    X(bitlinear_gemv)       \
    X(bitlinear_gemv_table) \
    X(bitlinear_quantise)   \
    X(bitlinear_gemv_int8)  \
    X(bitlinear_gemv_int8_dot) \
    X(bitlinear_gemm)       \
    X(dense_gemv_f32)       \
    X(dense_gemv_f16)       \
    X(dense_gemm_f32)       \
    X(dense_gemm_f16)       \
    X(bitlinear_sign_gemm)  \
    X(bitlinear_bwd_x)      \
    X(bitlinear_scale_columns) \
    X(bitlinear_column_dot) \
    X(bitlinear_column_fold) \
    X(dense_bwd_x_f32)      \
    X(dense_bwd_x_f16)      \
    X(dense_bwd_w)          \
    X(bitlinear_gemv_straight) \
    X(bitlinear_gemm_straight) \
    X(bitlinear_gemm_tiles) \
    X(bitlinear_sign_gemm_straight) \
    X(bitlinear_bwd_x_straight) \
    X(bitlinear_column_dot_straight) \
    X(bitlinear_column_fold_straight) \
    X(dense_gemv_f32_straight) \
    X(dense_gemv_f16_straight) \
    X(dense_dot_straight) \
    X(dense_gemm_f16_straight) \
    X(dense_turn_straight) \
    X(dense_bwd_x_f16_straight) \
    X(dense_bwd_w_straight) \
    X(svid_rows)            \
    X(svid_columns)         \
    X(svid_fold)            \
    X(svid_dot)             \
    X(svid_residual)        \
    X(svid_stats)           \
    X(svid_sign_pack)       \
    X(rate_multiply_add)

#define OBI_CASE_DECLARE(name) extern const obi_case obi_case_##name;
OBI_CASES(OBI_CASE_DECLARE)

#endif

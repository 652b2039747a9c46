#include "ref/ref_post_norm.h"

#include "ref/ref_act.h"
#include "ref/ref_attn.h"
#include "ref/ref_norm.h"

void ref_post_norm_residual(float *x, float *normed, float *p, const float *w, uint64_t rows, uint64_t columns, bool post, double post_eps,
                            double eps)
{
    if (post) ref_norm_layernorm(p, p, rows, columns, post_eps);
    ref_act_add(x, x, p, rows * columns);
    ref_norm_rmsnorm(normed, x, w, rows, columns, eps);
}

void ref_post_norm_swiglu(float *gate, float *up, uint64_t rows, uint64_t columns, bool post, double post_eps)
{
    if (post) {
        ref_norm_layernorm(gate, gate, rows, columns, post_eps);
        ref_norm_layernorm(up, up, rows, columns, post_eps);
    }
    ref_act_swiglu(gate, gate, up, rows * columns);
}

void ref_post_norm_qkv(float *q, float *k, float *v, const float *table, uint64_t T, uint64_t H, uint64_t K, uint64_t C, uint64_t R,
                       uint64_t first_position, bool pairs, bool post, double post_eps)
{
    if (post) {
        ref_norm_layernorm(q, q, T, H * C, post_eps);
        ref_norm_layernorm(k, k, T, K * C, post_eps);
        ref_norm_layernorm(v, v, T, K * C, post_eps);
    }
    ref_attn_rope(q, table, T, H, C, R, first_position, pairs, false);
    ref_attn_rope(k, table, T, K, C, R, first_position, pairs, false);
}

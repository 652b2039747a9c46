#include "ops/op_post_norm.h"

#include "ops/check.h"
#include "ops/op_norm.h"
#include "ops/rows_straight.h"
#include "ops/token_straight.h"
#include "shaders/common/push_post_norm.h"

/* A kernel goes over its row at most six times, and a lane's loops must stay below OBI_LOOP_MAX in all. */
static bool fits(obi_cmd *cmd, const char *op, uint64_t n)
{
    return obi_check(cmd, n / obi_workgroup_size(obi_cmd_device(cmd)) < OBI_LOOP_MAX / 8, op,
                     "the rows are longer than half a million elements");
}

/* A workgroup a row. */
static obi_dispatch rows_of(obi_cmd *cmd, int kernel, uint32_t T, bool post, const void *push, uint32_t push_bytes)
{
    obi_dispatch dispatch = { .kernel = kernel,
                              .spec = { obi_workgroup_size(obi_cmd_device(cmd)), post },
                              .spec_count = 2,
                              .push = push,
                              .push_bytes = push_bytes };
    obi_fold_groups(obi_cmd_device(cmd), T, dispatch.groups);
    return dispatch;
}

bool obi_post_residual_check(obi_cmd *cmd, obi_view x, obi_view normed, obi_view p, obi_view w, uint32_t T, uint32_t n)
{
    const char *op = "post_residual";
    return obi_check_words(cmd, op, "x", x, T, n) && obi_check_words(cmd, op, "normed", normed, T, n) &&
           obi_check_words(cmd, op, "p", p, T, n) && obi_check_words(cmd, op, "w", w, 1, n) && fits(cmd, op, n);
}

void obi_op_post_residual_fwd(obi_cmd *cmd, obi_view x, obi_view normed, obi_view p, obi_view w, uint32_t T, uint32_t n, float post_eps,
                              float eps)
{
    bool post = post_eps >= 0;
    if (!obi_post_residual_check(cmd, x, normed, p, w, T, n)) return;
    if (obi_token_row_takes(obi_cmd_device(cmd), n)) {
        obi_token_residual(cmd, x, normed, p, w, T, n, post_eps, eps);
        return;
    }
    struct obi_push_post_norm_residual push = { T, n, post_eps, eps };
    obi_dispatch dispatch = rows_of(cmd, OBI_KERNEL_POST_NORM_RESIDUAL_FWD, T, post, &push, sizeof push);
    dispatch.bindings[0] = obi_writes(normed);
    dispatch.bindings[1] = obi_updates(x);
    dispatch.bindings[2] = obi_reads(p);
    dispatch.bindings[3] = obi_reads(w);
    dispatch.binding_count = 4;
    dispatch.bytes = ((uint64_t)T * 4 + 1) * n * 4;
    obi_cmd_dispatch(cmd, &dispatch);
}

bool obi_post_swiglu_check(obi_cmd *cmd, obi_view gate, obi_view up, uint32_t T, uint32_t n)
{
    const char *op = "post_swiglu";
    return obi_check_words(cmd, op, "gate", gate, T, n) && obi_check_words(cmd, op, "up", up, T, n) && fits(cmd, op, n);
}

void obi_op_post_swiglu_fwd(obi_cmd *cmd, obi_view gate, obi_view up, uint32_t T, uint32_t n, float post_eps)
{
    bool post = post_eps >= 0;
    if (!obi_post_swiglu_check(cmd, gate, up, T, n)) return;
    if (obi_token_row_takes(obi_cmd_device(cmd), n)) {
        obi_token_swiglu(cmd, gate, up, T, n, post_eps);
        return;
    }
    struct obi_push_post_norm_swiglu push = { T, n, post_eps };
    obi_dispatch dispatch = rows_of(cmd, OBI_KERNEL_POST_NORM_SWIGLU_FWD, T, post, &push, sizeof push);
    dispatch.bindings[0] = obi_updates(gate);
    dispatch.bindings[1] = obi_reads(up);
    dispatch.binding_count = 2;
    dispatch.bytes = (uint64_t)T * n * 12;
    obi_cmd_dispatch(cmd, &dispatch);
}

bool obi_post_qkv_check(obi_cmd *cmd, obi_view qkv, obi_view table, obi_kv_cache cache, const obi_post_qkv *what)
{
    const char *op = "post_qkv";
    uint32_t T = what->T, H = what->H, K = what->K, C = what->C, R = what->R;
    uint64_t q_width = (uint64_t)H * C, width = (uint64_t)K * C, end = (uint64_t)what->first_position + T;
    return obi_check(cmd, C % 2 == 0 && R > 0 && R % 2 == 0 && R <= C, op,
                     "head size and turned elements must be even, and no more turned") &&
           obi_check_words(cmd, op, "qkv", qkv, obi_attn_parts_bytes(T, H, K, C) / 4, 1) &&
           obi_check_words(cmd, op, "table", table, end, R) &&
           obi_check(cmd, end <= what->context, op, "the tokens do not fit the context; make it larger or the text shorter") &&
           obi_check_words(cmd, op, "the key cache", cache.k, what->context, obi_kv_words(cache.type, width, C)) &&
           obi_check_words(cmd, op, "the value cache", cache.v, what->context, obi_kv_words(cache.type, width, C)) &&
           obi_check(cmd, end * width <= UINT32_MAX && obi_attn_parts_bytes(T, H, K, C) / 4 <= UINT32_MAX, op,
                     "there are more elements than a kernel can count") &&
           obi_check(cmd, what->place == 0 || (T == 1 && qkv.size / 4 > what->place), op, "the position is not where it should be") &&
           fits(cmd, op, q_width > width ? q_width : width);
}

void obi_op_post_qkv_fwd(obi_cmd *cmd, obi_view qkv, obi_view table, obi_kv_cache cache, const obi_post_qkv *what)
{
    uint32_t T = what->T, H = what->H, K = what->K, C = what->C, R = what->R, first = what->first_position;
    uint64_t q_width = (uint64_t)H * C, width = (uint64_t)K * C;
    bool post = what->post_eps >= 0;
    obi_attn_parts parts = obi_attn_parts_of(qkv, T, H, K, C);
    if (!obi_post_qkv_check(cmd, qkv, table, cache, what)) return;
    if (cache.type != OBI_KV_INT8 && obi_token_qkv_takes(obi_cmd_device(cmd), what)) {
        obi_token_qkv(cmd, qkv, table, cache, what);
        return;
    }
    if (what->place == 0 && obi_rows_straight_takes(obi_cmd_device(cmd), T, width) &&
        obi_rows_straight_takes(obi_cmd_device(cmd), T, q_width)) {
        if (post) obi_op_layernorm_fwd(cmd, parts.q, parts.q, T, (uint32_t)q_width, what->post_eps);
        if (post) obi_op_layernorm_fwd(cmd, parts.k, parts.k, T, (uint32_t)width, what->post_eps);
        if (post) obi_op_layernorm_fwd(cmd, parts.v, parts.v, T, (uint32_t)width, what->post_eps);
        obi_op_rope_fwd(cmd, parts.q, table, T, H, C, R, first, what->layout);
        obi_op_rope_fwd(cmd, parts.k, table, T, K, C, R, first, what->layout);
        obi_op_kv_store_fwd(cmd, cache, parts.k, parts.v, T, (uint32_t)width, C, first, what->context);
        return;
    }
    struct obi_push_post_norm_qkv push = { T, H, K, C, R, what->place ? what->place : first, (uint32_t)((parts.k.offset - qkv.offset) / 4),
                                           (uint32_t)((parts.v.offset - qkv.offset) / 4), what->post_eps };
    static const int kernels[] = { OBI_KERNEL_POST_NORM_QKV_FWD, OBI_KERNEL_POST_NORM_QKV_F16, OBI_KERNEL_POST_NORM_QKV_INT8 };
    obi_dispatch dispatch = rows_of(cmd, kernels[cache.type - OBI_KV_F32], T, post, &push, sizeof push);
    dispatch.spec[2] = (uint32_t)what->layout;
    dispatch.spec[3] = what->place > 0;
    dispatch.spec_count = 4;
    dispatch.groups[2] = 3;
    dispatch.bindings[0] = obi_updates(qkv);
    dispatch.bindings[1] = obi_reads(table);
    dispatch.bindings[2] = obi_writes(cache.k);
    dispatch.bindings[3] = obi_writes(cache.v);
    dispatch.binding_count = 4;
    dispatch.bytes = (uint64_t)T * ((q_width + width) * 8 + obi_kv_words(cache.type, width, C) * 8) + (uint64_t)T * R * 4;
    obi_cmd_dispatch(cmd, &dispatch);
}

#include "ops/op_bitlinear_post.h"

#include <string.h>

#include "ops/sign_family.h"
#include "ops/sign_gemv.h"
#include "shaders/common/push_post_norm.h"

typedef enum after { RESIDUAL, SWIGLU, QKV, QKV_F16 } after;

/* The kernel, or -1 where there is none. */
static int kernel_of(const obi_device *device, const obi_weight *weight, after what)
{
    static const int kernels[2][4] = {
        { OBI_KERNEL_BITLINEAR_GEMV_RESIDUAL, OBI_KERNEL_BITLINEAR_GEMV_SWIGLU, OBI_KERNEL_BITLINEAR_GEMV_QKV,
          OBI_KERNEL_BITLINEAR_GEMV_QKV_F16 },
        { OBI_KERNEL_BITLINEAR_GEMV_HALF_RESIDUAL, OBI_KERNEL_BITLINEAR_GEMV_HALF_SWIGLU, OBI_KERNEL_BITLINEAR_GEMV_HALF_QKV,
          OBI_KERNEL_BITLINEAR_GEMV_HALF_QKV_F16 },
    };
    bool half = weight->family == OBI_SIGN_HALF;
    if (!device->fused || device->caps.bindings < OBI_BINDINGS_MAX) return -1;
    if (weight->type != OBI_WEIGHT_SIGN || weight->block_count != 1 || (!half && weight->family != OBI_SIGN_XOR)) return -1;
    int kernel = kernels[half][what];
    /* In another tier it would add up in another order. */
    if (!half && device->kernel_tier[kernel] != device->kernel_tier[OBI_KERNEL_BITLINEAR_GEMV]) return -1;
    return device->kernel_off[kernel] || (half && device->kernel_tier[kernel] < OBI_TIER_C) ? -1 : kernel;
}

typedef struct fused {
    obi_gemv_plan plan;
    obi_view counters;
} fused;

/* The dispatch of the products, to which what follows adds. False: it is to be two ops, or the cmd has failed. */
static bool begin(obi_cmd *cmd, const obi_bitlinear_part *parts, uint32_t count, obi_view in, uint32_t T, after what, float post_eps,
                  fused *out)
{
    int kernel = kernel_of(obi_cmd_device(cmd), parts[0].weight, what);
    obi_bitlinear_part cut[OBI_GROUP_MAX];
    if (T != 1 || kernel < 0 || !obi_bitlinear_in_order(parts, count, T)) return false;
    for (uint32_t i = 0; i < count; i++) {
        cut[i] = parts[i];
        if (!obi_bitlinear_check(cmd, &cut[i], &in, T)) return false;
    }
    if (!obi_sign_gemv_plan(cmd, cut, count, in, T, &out->plan) || !obi_cmd_counters(cmd, &out->counters)) return false;
    obi_dispatch *dispatch = &out->plan.dispatch;
    dispatch->kernel = kernel;
    dispatch->spec[dispatch->spec_count++] = post_eps >= 0;
    dispatch->bindings[0].access = OBI_READ_WRITE;
    dispatch->bindings[dispatch->binding_count++] = obi_updates(out->counters);
    return true;
}

/* `what` are the second kernel's push constants, behind the product's. */
static void record(obi_cmd *cmd, fused *all, const void *what, uint32_t bytes)
{
    uint32_t push[OBI_PUSH_BYTES_MAX / 4];
    memcpy(push, &all->plan.push, sizeof all->plan.push);
    memcpy(push + sizeof all->plan.push / 4, what, bytes);
    all->plan.dispatch.push = push;
    all->plan.dispatch.push_bytes = (uint32_t)sizeof all->plan.push + bytes;
    obi_cmd_dispatch(cmd, &all->plan.dispatch);
}

void obi_op_bitlinear_residual_fwd(obi_cmd *cmd, obi_view x, obi_view normed, const obi_bitlinear_part *p, obi_view in, obi_view w,
                                   uint32_t T, float post_eps, float eps)
{
    uint32_t n = p->weight->rows;
    fused all;
    if (!begin(cmd, p, 1, in, T, RESIDUAL, post_eps, &all)) {
        obi_op_bitlinear_fwd(cmd, p->y, in, p->weight, p->scales, T);
        obi_op_post_residual_fwd(cmd, x, normed, p->y, w, T, n, post_eps, eps);
        return;
    }
    if (!obi_post_residual_check(cmd, x, normed, p->y, w, T, n)) return;
    struct obi_push_post_norm_residual push = { T, n, post_eps, eps };
    obi_dispatch *dispatch = &all.plan.dispatch;
    dispatch->bindings[5] = obi_writes(normed);
    dispatch->bindings[6] = obi_updates(x);
    dispatch->bindings[7] = obi_reads(w);
    dispatch->binding_count = 8;
    dispatch->bytes += (uint64_t)n * 20;
    record(cmd, &all, &push, sizeof push);
}

void obi_op_bitlinear_swiglu_fwd(obi_cmd *cmd, const obi_bitlinear_part gate_up[2], obi_view in, uint32_t T, float post_eps)
{
    uint32_t n = gate_up[0].weight->rows;
    fused all;
    if (gate_up[1].weight->rows != n || !begin(cmd, gate_up, 2, in, T, SWIGLU, post_eps, &all)) {
        obi_op_bitlinear_group_fwd(cmd, gate_up, 2, in, T);
        obi_op_post_swiglu_fwd(cmd, gate_up[0].y, gate_up[1].y, T, n, post_eps);
        return;
    }
    if (!obi_post_swiglu_check(cmd, gate_up[0].y, gate_up[1].y, T, n)) return;
    struct obi_push_post_norm_swiglu push = { T, n, post_eps };
    all.plan.dispatch.bytes += (uint64_t)n * 12;
    record(cmd, &all, &push, sizeof push);
}

void obi_op_bitlinear_qkv_fwd(obi_cmd *cmd, const obi_bitlinear_part parts[3], obi_view in, obi_view qkv, obi_view table,
                              obi_kv_cache cache, const obi_post_qkv *what)
{
    uint32_t T = what->T, H = what->H, K = what->K, C = what->C;
    uint64_t q_width = (uint64_t)H * C, width = (uint64_t)K * C;
    obi_attn_parts at = obi_attn_parts_of(qkv, T, H, K, C);
    fused all;
    bool alike = cache.type != OBI_KV_INT8 && parts[0].weight->rows == q_width && parts[1].weight->rows == width &&
                 parts[2].weight->rows == width && parts[0].y.buffer == qkv.buffer && parts[0].y.offset == qkv.offset;
    if (!alike || !begin(cmd, parts, 3, in, T, cache.type == OBI_KV_F16 ? QKV_F16 : QKV, what->post_eps, &all)) {
        obi_op_bitlinear_group_fwd(cmd, parts, 3, in, T);
        obi_op_post_qkv_fwd(cmd, qkv, table, cache, what);
        return;
    }
    if (!obi_post_qkv_check(cmd, qkv, table, cache, what)) return;
    struct obi_push_post_norm_qkv push = { T, H, K, C, what->R, what->place ? what->place : what->first_position,
                                           (uint32_t)((at.k.offset - qkv.offset) / 4), (uint32_t)((at.v.offset - qkv.offset) / 4),
                                           what->post_eps };
    obi_dispatch *dispatch = &all.plan.dispatch;
    dispatch->spec[3] = (uint32_t)what->layout;
    dispatch->spec[4] = what->place > 0;
    dispatch->spec_count = 5;
    dispatch->bindings[0] = obi_updates(qkv); /* the position may lie behind the parts */
    dispatch->bindings[5] = obi_reads(table);
    dispatch->bindings[6] = obi_writes(cache.k);
    dispatch->bindings[7] = obi_writes(cache.v);
    dispatch->binding_count = 8;
    dispatch->bytes += (q_width + width) * 8 + obi_kv_words(cache.type, width, C) * 8 + (uint64_t)what->R * 4;
    record(cmd, &all, &push, sizeof push);
}

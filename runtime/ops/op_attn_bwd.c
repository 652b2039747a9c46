#include "ops/op_attn_bwd.h"

#include <math.h>

#include "core/checked.h"
#include "ops/attn_straight.h"
#include "ops/check.h"
#include "ops/op_attn.h"
#include "shaders/common/push_attn.h"

#define HEAD_SIZE_MAX 256u /* the kernels' shared memory, and four outputs a lane */
#define TILE 4u            /* queries or positions of a workgroup */

uint64_t obi_attn_stats_bytes(uint64_t tokens, uint32_t H) { return tokens * H * 16; }

/* What the three steps have in common. */
typedef struct shape {
    const char *op;
    uint32_t B, T, H, K, C;
} shape;

/* A lane goes over all positions (or over the queries of all heads of a key head) a workgroup at a time; in each round over
 * a head's pairs, and over the workgroup, at least two of its members at once. */
static uint64_t loops(const shape *s, uint32_t workgroup, uint32_t heads)
{
    return heads * obi_div_ceil(s->T, workgroup) * (2 + s->C / 2 + workgroup / 2);
}

static bool fits(obi_cmd *cmd, const shape *s, obi_view qkv, obi_view dout, obi_view stats, uint32_t workgroup, uint32_t heads)
{
    uint64_t tokens = (uint64_t)s->B * s->T;
    return obi_check(cmd, s->C > 0 && s->C % 2 == 0 && s->C <= HEAD_SIZE_MAX && s->C <= 4 * workgroup, s->op,
                     "the head size must be even and at most 256") &&
           obi_check(cmd, s->H > 0 && s->K > 0 && s->H % s->K == 0, s->op, "the heads must be a multiple of the key heads") &&
           obi_check_words(cmd, s->op, "dout", dout, tokens, (uint64_t)s->H * s->C) &&
           obi_check_words(cmd, s->op, "stats", stats, tokens, (uint64_t)s->H * 4) &&
           obi_check_words(cmd, s->op, "qkv", qkv, obi_attn_parts_bytes(tokens, s->H, s->K, s->C) / 4, 1) &&
           obi_check(cmd, obi_attn_parts_bytes(tokens, s->H, s->K, s->C) / 4 <= UINT32_MAX, s->op,
                     "there are more elements than a kernel can count; take fewer sequences at a time") &&
           obi_check(cmd, s->B <= obi_cmd_device(cmd)->caps.workgroup_count[2], s->op, "there are more sequences than a grid has layers") &&
           obi_check(cmd, loops(s, workgroup, heads) <= OBI_LOOP_MAX, s->op,
                     "the sequence is longer than one kernel can go through; choose a shorter one");
}

static struct obi_push_attn_bwd push_of(const shape *s)
{
    obi_view whole = { 0 };
    obi_attn_parts parts = obi_attn_parts_of(whole, (uint64_t)s->B * s->T, s->H, s->K, s->C);
    struct obi_push_attn_bwd push = { s->T, s->H, s->K, s->C, (uint32_t)(parts.k.offset / 4), (uint32_t)(parts.v.offset / 4),
                                      (float)(1 / sqrt((double)s->C)) };
    return push;
}

static void dispatch_tiles(obi_cmd *cmd, const shape *s, int kernel, uint32_t workgroup, uint32_t heads, const obi_binding bindings[4])
{
    struct obi_push_attn_bwd push = push_of(s);
    obi_dispatch dispatch = { .kernel = kernel,
                              .spec = { workgroup, (uint32_t)obi_div_ceil(s->C, workgroup) },
                              .spec_count = kernel == OBI_KERNEL_ATTN_STATS_BWD ? 1 : 2,
                              .groups = { heads, (uint32_t)obi_div_ceil(s->T, TILE), s->B },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { bindings[0], bindings[1], bindings[2], bindings[3] },
                              .binding_count = 4 };
    for (int i = 0; i < 4; i++) dispatch.bytes += bindings[i].view.size;
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_attn_stats(obi_cmd *cmd, obi_view stats, obi_view qkv, obi_view out, obi_view dout, uint32_t B, uint32_t T, uint32_t H,
                       uint32_t K, uint32_t C)
{
    const shape s = { "attention's stats", B, T, H, K, C };
    uint32_t workgroup = obi_op_attn_workgroup(obi_cmd_device(cmd), C);
    if (!fits(cmd, &s, qkv, dout, stats, workgroup, 1) || !obi_check_words(cmd, s.op, "out", out, (uint64_t)B * T, (uint64_t)H * C)) return;
    const obi_binding bindings[4] = { obi_writes(stats), obi_reads(qkv), obi_reads(out), obi_reads(dout) };
    dispatch_tiles(cmd, &s, OBI_KERNEL_ATTN_STATS_BWD, workgroup, H, bindings);
}

void obi_op_attn_bwd_q(obi_cmd *cmd, obi_view dqkv, obi_view qkv, obi_view dout, obi_view stats, uint32_t B, uint32_t T, uint32_t H,
                       uint32_t K, uint32_t C)
{
    const shape s = { "attention_bwd q", B, T, H, K, C };
    uint32_t workgroup = obi_op_attn_workgroup(obi_cmd_device(cmd), C);
    if (!fits(cmd, &s, qkv, dout, stats, workgroup, 1)) return;
    obi_view dq = obi_attn_parts_of(dqkv, (uint64_t)B * T, H, K, C).q;
    if (!obi_check_words(cmd, s.op, "dqkv", dqkv, obi_attn_parts_bytes((uint64_t)B * T, H, K, C) / 4, 1)) return;
    const obi_binding bindings[4] = { obi_writes(dq), obi_reads(qkv), obi_reads(dout), obi_reads(stats) };
    dispatch_tiles(cmd, &s, OBI_KERNEL_ATTN_Q_BWD, workgroup, H, bindings);
}

void obi_op_attn_bwd_kv(obi_cmd *cmd, obi_view dqkv, obi_view qkv, obi_view dout, obi_view stats, uint32_t B, uint32_t T, uint32_t H,
                        uint32_t K, uint32_t C)
{
    const shape s = { "attention_bwd k, v", B, T, H, K, C };
    uint32_t workgroup = obi_op_attn_workgroup(obi_cmd_device(cmd), C);
    if (!fits(cmd, &s, qkv, dout, stats, workgroup, K ? H / K : 1)) return;
    obi_attn_parts parts = obi_attn_parts_of(dqkv, (uint64_t)B * T, H, K, C);
    if (!obi_check_words(cmd, s.op, "dqkv", dqkv, obi_attn_parts_bytes((uint64_t)B * T, H, K, C) / 4, 1)) return;
    obi_view dkv = { dqkv.buffer, parts.k.offset, parts.v.offset + parts.v.size - parts.k.offset };
    const obi_binding bindings[4] = { obi_writes(dkv), obi_reads(qkv), obi_reads(dout), obi_reads(stats) };
    dispatch_tiles(cmd, &s, OBI_KERNEL_ATTN_KV_BWD, workgroup, K, bindings);
}

void obi_op_attn_bwd(obi_cmd *cmd, obi_view dqkv, obi_view stats, obi_view qkv, obi_view out, obi_view dout, uint32_t B, uint32_t T,
                     uint32_t H, uint32_t K, uint32_t C)
{
    const shape s = { "attention_bwd", B, T, H, K, C };
    const obi_device *device = obi_cmd_device(cmd);
    obi_attn_shape sizes = { B, T, H, K, C };
    uint64_t tokens = (uint64_t)B * T;
    if (obi_attn_straight_takes(device, &sizes)) {
        if (fits(cmd, &s, qkv, dout, stats, obi_op_attn_workgroup(device, C), 1) &&
            obi_check_words(cmd, s.op, "dqkv", dqkv, obi_attn_parts_bytes(tokens, H, K, C) / 4, 1))
            obi_attn_straight_bwd(cmd, &sizes, obi_attn_parts_of(dqkv, tokens, H, K, C), obi_attn_parts_of(qkv, tokens, H, K, C), dout);
        return;
    }
    obi_op_attn_stats(cmd, stats, qkv, out, dout, B, T, H, K, C);
    obi_op_attn_bwd_q(cmd, dqkv, qkv, dout, stats, B, T, H, K, C);
    obi_op_attn_bwd_kv(cmd, dqkv, qkv, dout, stats, B, T, H, K, C);
}

uint64_t obi_op_attn_scratch_bytes(const obi_device *device, uint32_t B, uint32_t T, uint32_t H, uint32_t K, uint32_t C)
{
    obi_attn_shape sizes = { B, T, H, K, C };
    return obi_attn_straight_takes(device, &sizes) ? obi_attn_straight_bytes(&sizes) : 0;
}

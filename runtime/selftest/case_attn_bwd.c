#include <math.h>
#include <string.h>

#include "ops/op_attn.h"
#include "ops/op_attn_bwd.h"
#include "ref/ref_attn.h"
#include "ref/ref_attn_bwd.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define U 0x1p-24

/* Turned there and back is where it was, up to the 3 roundings of terms of size |a| and |b| on each way, and the rounding of
 * cos and sin in the table, which leaves cos^2 + sin^2 off 1 by 2 u. */
static obi_status run_rope(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], heads = sizes[1], C = sizes[2], R = sizes[3], first = sizes[4], layout = sizes[5];
    uint64_t count = (uint64_t)T * heads * C, turns = (uint64_t)(first + T) * (R / 2);
    float *x = obi_case_normal(env, count, 1.0), *table = obi_case_zeros(env, turns * 2), *got = obi_case_zeros(env, count);
    if (!x || !table || !got) return OBI_ERROR_MEMORY;
    float largest = 0;
    for (uint64_t i = 0; i < count; i++) largest = fmaxf(largest, fabsf(x[i]));
    for (uint64_t i = 0; i < turns; i++) {
        double angle = (double)(i / (R / 2)) * pow(10000.0, -2.0 * (double)(i % (R / 2)) / R);
        table[2 * i] = (float)cos(angle);
        table[2 * i + 1] = (float)sin(angle);
    }
    obi_view x_view, table_view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &x_view));
    OBI_TRY(obi_case_upload(env, table, turns * 8, &table_view));
    obi_cmd_begin(env->cmd);
    obi_op_rope_fwd(env->cmd, x_view, table_view, T, heads, C, R, first, (obi_rope_layout)layout);
    obi_op_rope_bwd(env->cmd, x_view, table_view, T, heads, C, R, first, (obi_rope_layout)layout);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, x_view, got, count * 4));
    obi_case_compare(result, "x", got, x, count, NULL, 0, 12 * U * (double)largest);
    ref_attn_rope(x, table, T, heads, C, R, first, layout == OBI_ROPE_PAIRS, true);
    obi_cmd_begin(env->cmd);
    obi_op_rope_bwd(env->cmd, x_view, table_view, T, heads, C, R, first, (obi_rope_layout)layout);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, x_view, got, count * 4));
    obi_case_compare(result, "dx", got, x, count, NULL, 0, 16 * U * (double)largest);
    return OBI_OK;
}

typedef struct arrays {
    float *qkv, *out, *dout, *spread, *scores, *got, *want, *tolerance; /* qkv and got with padding between the parts */
    double *weights, *gradient, *size;
    uint64_t k, v, all; /* where the parts begin, in floats */
} arrays;

static bool make_arrays(obi_case_env *env, arrays *a, uint64_t tokens, uint32_t H, uint32_t K, uint32_t C)
{
    obi_view none = { 0 };
    obi_attn_parts parts = obi_attn_parts_of(none, tokens, H, K, C);
    uint64_t count = tokens * H * C;
    a->k = parts.k.offset / 4;
    a->v = parts.v.offset / 4;
    a->all = obi_attn_parts_bytes(tokens, H, K, C) / 4;
    a->qkv = obi_case_normal(env, a->all, 1.0);
    a->out = obi_case_zeros(env, count);
    a->dout = obi_case_normal(env, count, 1.0);
    a->spread = obi_case_zeros(env, count);
    a->scores = obi_case_zeros(env, tokens * H);
    a->got = obi_case_zeros(env, a->all);
    a->want = obi_case_zeros(env, a->all);
    a->tolerance = obi_case_zeros(env, a->all);
    a->weights = (double *)(void *)obi_case_zeros(env, 2 * tokens);
    a->gradient = (double *)(void *)obi_case_zeros(env, 2 * a->all);
    a->size = (double *)(void *)obi_case_zeros(env, 2 * a->all);
    return a->qkv && a->out && a->dout && a->spread && a->scores && a->got && a->want && a->tolerance && a->weights && a->gradient &&
           a->size;
}

/* A weight is off relatively by w = 2 s + (64 + 4 S) u, with s = (C + 4) u S the error of a score, S bounding the sums
 * |q k| / sqrt(C): see the forward case; here two exponentials are multiplied by a quotient of sums over T. Dot products with
 * dout are off by (C + 4) u of their magnitudes, out is rounded, and the last sum has as many roundings as the query heads
 * of a key head have tokens. All are relative to the sums of magnitudes that the reference makes. */
static void bound(arrays *a, uint32_t tokens, uint32_t T, uint32_t H, uint32_t K, uint32_t C)
{
    double largest = 0;
    for (uint64_t i = 0; i < (uint64_t)tokens * H; i++) largest = fmax(largest, (double)a->scores[i]);
    double s = (C + 4) * U * largest, w = 2 * (2 * s + (64 + 4 * largest) * U + (T / 8.0 + 32) * U);
    double relative = w + (2 * C + 16) * U + ((double)T * (H / K) + 16) * U;
    for (uint64_t i = 0; i < a->all; i++) {
        a->want[i] = (float)a->gradient[i];
        a->tolerance[i] = (float)(a->size[i] * relative + 1e-30);
    }
}

/* Forward (the output is the kernel's own input of the next step) and backward, for B sequences. */
static obi_status run_attention(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t B = sizes[0], T = sizes[1], H = sizes[2], K = sizes[3], C = sizes[4];
    uint64_t tokens = (uint64_t)B * T, count = tokens * H * C;
    arrays a;
    if (!make_arrays(env, &a, tokens, H, K, C)) return OBI_ERROR_MEMORY;
    for (uint64_t p = 0; p < tokens; p += 5) /* some positions stand out, so that the running maxima move */
        for (uint64_t i = 0; i < (uint64_t)K * C; i++) a.qkv[a.k + p * K * C + i] *= 1.0f + (float)p / (float)tokens;
    for (uint64_t b = 0; b < B; b++) {
        uint64_t q = b * T * H * C, kv = b * T * K * C;
        ref_attn_gradients gradients = { a.gradient + q, a.gradient + a.k + kv, a.gradient + a.v + kv };
        ref_attn_gradients magnitudes = { a.size + q, a.size + a.k + kv, a.size + a.v + kv };
        ref_attn_attend(a.out + q, a.qkv + q, a.qkv + a.k + kv, a.qkv + a.v + kv, T, H, K, C, 0, a.weights, a.spread + q,
                        a.scores + b * T * H);
        ref_attn_bwd(gradients, &magnitudes, a.weights, a.qkv + q, a.qkv + a.k + kv, a.qkv + a.v + kv, a.dout + q, T, H, K, C);
    }
    bound(&a, (uint32_t)tokens, T, H, K, C);
    obi_view qkv, out, dout, stats, dqkv;
    OBI_TRY(obi_case_upload(env, a.qkv, a.all * 4, &qkv));
    OBI_TRY(obi_case_upload(env, a.dout, count * 4, &dout));
    OBI_TRY(obi_case_output(env, count * 4, &out));
    OBI_TRY(obi_case_output(env, obi_attn_stats_bytes(tokens, H), &stats));
    OBI_TRY(obi_case_output(env, a.all * 4, &dqkv));
    obi_attn_parts parts = obi_attn_parts_of(qkv, tokens, H, K, C);
    obi_cmd_begin(env->cmd);
    obi_op_attn_train_fwd(env->cmd, out, parts.q, parts.k, parts.v, B, T, H, K, C);
    obi_op_attn_bwd(env->cmd, dqkv, stats, qkv, out, dout, B, T, H, K, C);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, dqkv, a.got, a.all * 4));
    obi_case_compare(result, "dq", a.got, a.want, count, a.tolerance, 0, 0);
    obi_case_compare(result, "dk", a.got + a.k, a.want + a.k, tokens * K * C, a.tolerance + a.k, 0, 0);
    obi_case_compare(result, "dv", a.got + a.v, a.want + a.v, tokens * K * C, a.tolerance + a.v, 0, 0);
    OBI_TRY(obi_case_download(env, out, a.got, count * 4));
    for (uint64_t i = 0; i < count; i++) a.spread[i] *= 1e-3f;
    obi_case_compare(result, "out", a.got, a.out, count, a.spread, 0, 0); /* its own case is stricter; this is about B */
    return OBI_OK;
}

OBI_CASE_FORMS(run_rope)

const obi_case obi_case_attn_rope_bwd = {
    "attn_rope_bwd", OBI_KERNEL_ATTN_ROPE_FWD, "T heads C R first layout", { 3, 5, 10, 6, 2, 1 }, run_rope_plain
};
const obi_case obi_case_attn_rope_bwd_straight = { "attn_rope_bwd_straight", OBI_KERNEL_ATTN_ROPE_STRAIGHT, "T heads C R first layout",
                                                   { 32, 3, 50, 48, 2, 1 }, run_rope_straight };
OBI_CASE_FORMS(run_attention)

/* One op, three kernels, or the products of software drivers. */
const obi_case obi_case_attn_stats_bwd = { "attn_stats_bwd", OBI_KERNEL_ATTN_STATS_BWD, "B T H K C", { 2, 19, 4, 2, 10 }, run_attention_plain };
const obi_case obi_case_attn_q_bwd = { "attn_q_bwd", OBI_KERNEL_ATTN_Q_BWD, "B T H K C", { 1, 19, 4, 2, 10 }, run_attention_plain };
const obi_case obi_case_attn_kv_bwd = { "attn_kv_bwd", OBI_KERNEL_ATTN_KV_BWD, "B T H K C", { 1, 19, 4, 2, 10 }, run_attention_plain };
const obi_case obi_case_attn_rows_straight = { "attn_rows_straight", OBI_KERNEL_ATTN_ROWS_STRAIGHT, "B T H K C", { 2, 160, 4, 2, 8 },
                                               run_attention_straight };
const obi_case obi_case_attn_scatter_straight = { "attn_scatter_straight", OBI_KERNEL_DENSE_OUTER_STRAIGHT, "B T H K C", { 1, 64, 2, 1, 8 },
                                                  run_attention_straight };

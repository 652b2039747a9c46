#include "selftest/case_post_norm.h"

#include <math.h>
#include <string.h>

#include "ref/ref_norm.h"
#include "ref/ref_post_norm.h"
#include "selftest/case_matrix.h"
#include "selftest/case_norm.h"
#include "selftest/cases.h"

#define EPS OBI_CASE_NORM_EPS
#define U 0x1p-24 /* the rounding of one f32 operation */

float obi_case_post_eps(uint32_t post) { return post ? EPS : OBI_POST_NORM_NONE; }

/* Rows away from zero too. */
static float *rows(obi_case_env *env, uint32_t T, uint32_t n)
{
    float *x = obi_case_normal(env, (uint64_t)T * n, 0.5);
    for (uint64_t i = 0; x && i < (uint64_t)T * n; i++) x[i] += (float)(i / n % 3);
    return x;
}

/* The error of N(x): of x's norm, or none. `normed` is scratch, (T,n). */
static void post_tolerance(float *tolerance, float *normed, const float *x, uint32_t T, uint32_t n, uint32_t post)
{
    memset(tolerance, 0, (size_t)T * n * sizeof *tolerance);
    if (!post) return;
    ref_norm_layernorm(normed, x, T, n, (double)EPS);
    obi_case_layernorm_tolerance(tolerance, x, normed, T, n);
}

/* e of N(p) and a rounding of the sum: d = e + u |x|. Then normed = x w r with r = (mean(x^2) + eps)^-1/2: r is off relatively
 * by mean(|x| d) / (mean(x^2) + eps) and what RMSNorm has itself, (steps/2 + 12) u. */
static void residual_tolerance(float *of_x, float *of_normed, const float *x, const float *normed, const float *w, uint32_t T, uint32_t n)
{
    for (uint64_t r = 0; r < T; r++) {
        double square = 0, shift = 0;
        for (uint64_t i = r * n; i < (r + 1) * n; i++) {
            of_x[i] += (float)(U * fabs((double)x[i]));
            square += (double)x[i] * (double)x[i] / n;
            shift += fabs((double)x[i]) * (double)of_x[i] / n;
        }
        square += (double)EPS;
        double relative = shift / square + (obi_case_sum_steps(n) / 2 + 12) * U;
        for (uint64_t i = r * n; i < (r + 1) * n; i++)
            of_normed[i] =
                (float)(fabs((double)w[i - r * n]) / sqrt(square) * (double)of_x[i] + fabs((double)normed[i]) * relative + 1e-30);
    }
}

obi_status obi_case_check_residual(obi_case_env *env, obi_view x_view, obi_view normed_view, float *x, float *p, const float *w, uint32_t T,
                                   uint32_t n, uint32_t post, obi_case_result *result)
{
    uint64_t count = (uint64_t)T * n;
    float *normed = obi_case_zeros(env, count), *got = obi_case_zeros(env, count);
    float *of_x = obi_case_zeros(env, count), *of_normed = obi_case_zeros(env, count);
    if (!normed || !got || !of_x || !of_normed) return OBI_ERROR_MEMORY;
    post_tolerance(of_x, normed, p, T, n, post);
    ref_post_norm_residual(x, normed, p, w, T, n, post != 0, (double)EPS, (double)EPS);
    residual_tolerance(of_x, of_normed, x, normed, w, T, n);
    OBI_TRY(obi_case_download(env, x_view, got, count * 4));
    for (uint64_t i = 0; i < count; i++) of_x[i] += 1e-30f;
    obi_case_compare(result, "x", got, x, count, of_x, 0, 0);
    OBI_TRY(obi_case_download(env, normed_view, got, count * 4));
    obi_case_compare(result, "normed", got, normed, count, of_normed, 0, 0);
    return OBI_OK;
}

static obi_status run_residual(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], n = sizes[1], post = sizes[2];
    uint64_t count = (uint64_t)T * n;
    float *x = obi_case_normal(env, count, 1.0), *p = rows(env, T, n), *w = obi_case_normal(env, n, 1.0);
    if (!x || !p || !w) return OBI_ERROR_MEMORY;
    obi_view x_view, p_view, w_view, normed_view;
    OBI_TRY(obi_case_upload(env, x, count * 4, &x_view));
    OBI_TRY(obi_case_upload(env, p, count * 4, &p_view));
    OBI_TRY(obi_case_upload(env, w, (uint64_t)n * 4, &w_view));
    OBI_TRY(obi_case_output(env, count * 4, &normed_view));
    obi_cmd_begin(env->cmd);
    obi_op_post_residual_fwd(env->cmd, x_view, normed_view, p_view, w_view, T, n, obi_case_post_eps(post), EPS);
    OBI_TRY(obi_cmd_run(env->cmd));
    return obi_case_check_residual(env, x_view, normed_view, x, p, w, T, n, post, result);
}

/* y = silu(a) b: silu's slope is at most 1.1; Vulkan allows exp(a) 3 + 2|a| ulp, software drivers show 17. */
obi_status obi_case_check_swiglu(obi_case_env *env, obi_view gate_view, float *gate, float *up, uint32_t T, uint32_t n, uint32_t post,
                                 obi_case_result *result)
{
    uint64_t count = (uint64_t)T * n;
    float *a = obi_case_zeros(env, count), *b = obi_case_zeros(env, count);
    float *of_a = obi_case_zeros(env, count), *of_b = obi_case_zeros(env, count), *got = obi_case_zeros(env, count);
    if (!a || !b || !of_a || !of_b || !got) return OBI_ERROR_MEMORY;
    post_tolerance(of_a, a, gate, T, n, post);
    post_tolerance(of_b, b, up, T, n, post);
    if (!post) memcpy(a, gate, count * 4);
    if (!post) memcpy(b, up, count * 4);
    ref_post_norm_swiglu(gate, up, T, n, post != 0, (double)EPS);
    for (uint64_t i = 0; i < count; i++) {
        double x = (double)a[i], silu = fabs(x / (1 + exp(-x))), y = fabs((double)gate[i]);
        of_a[i] = (float)(1.1 * (double)of_a[i] * (fabs((double)b[i]) + (double)of_b[i]) + silu * (double)of_b[i] +
                          y * (40 + 4 * fabs(x)) * U + 1e-30);
    }
    OBI_TRY(obi_case_download(env, gate_view, got, count * 4));
    obi_case_compare(result, "gate", got, gate, count, of_a, 0, 0);
    return OBI_OK;
}

static obi_status run_swiglu(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], n = sizes[1], post = sizes[2];
    uint64_t count = (uint64_t)T * n;
    float *gate = rows(env, T, n), *up = rows(env, T, n);
    if (!gate || !up) return OBI_ERROR_MEMORY;
    obi_view gate_view, up_view;
    OBI_TRY(obi_case_upload(env, gate, count * 4, &gate_view));
    OBI_TRY(obi_case_upload(env, up, count * 4, &up_view));
    obi_cmd_begin(env->cmd);
    obi_op_post_swiglu_fwd(env->cmd, gate_view, up_view, T, n, obi_case_post_eps(post));
    OBI_TRY(obi_cmd_run(env->cmd));
    return obi_case_check_swiglu(env, gate_view, gate, up, T, n, post, result);
}

/* A turn mixes two elements with factors up to 1, and rounds three times: twice the row's largest error, and 8 u of its
 * largest element, hold for all of a row. */
static void turn_tolerance(float *tolerance, const float *normed, uint32_t T, uint64_t n)
{
    for (uint64_t r = 0; r < T; r++) {
        float error = 0, size = 0;
        for (uint64_t i = r * n; i < (r + 1) * n; i++) {
            error = fmaxf(error, tolerance[i]);
            size = fmaxf(size, fabsf(normed[i]));
        }
        for (uint64_t i = r * n; i < (r + 1) * n; i++) tolerance[i] = (float)(2 * (double)error + 8 * U * (double)size + 1e-30);
    }
}

/* Of a head's vector as bytes: half a scale, which the largest element and its own error make; 2^-12 as in case_attn.c. */
static void add_byte_tolerance(float *bound, const float *x, uint32_t C)
{
    float top = 0;
    for (uint32_t c = 0; c < C; c++) top = fmaxf(top, fabsf(x[c]) + bound[c]);
    for (uint32_t c = 0; c < C; c++) bound[c] += (float)((0.5 + 0x1p-12) * (double)top / 127);
}

obi_status obi_case_qkv_make(obi_case_env *env, const uint32_t *sizes, obi_kv_type type, obi_case_qkv *out)
{
    uint32_t T = sizes[0], H = sizes[1], K = sizes[2], C = sizes[3], R = sizes[4], post = sizes[5] & 1, pairs = sizes[5] >> 1;
    const uint32_t first = 2, context = first + T + 1;
    uint64_t all = (uint64_t)context * K * C, turns = (uint64_t)context * (R / 2);
    uint32_t place = T == 1 ? (uint32_t)(obi_attn_parts_bytes(T, H, K, C) / 4) + 1 : 0; /* of the position of a single token */
    out->what = (obi_post_qkv){ T, H, K, C, R, first, context, place, pairs ? OBI_ROPE_PAIRS : OBI_ROPE_HALF, obi_case_post_eps(post) };
    out->cache.type = type;
    out->table = obi_case_zeros(env, turns * 2);
    out->keys = obi_case_normal(env, all, 1.0);
    out->values = obi_case_normal(env, all, 1.0);
    if (!out->table || !out->keys || !out->values) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < turns; i++) {
        double angle = (double)(i / (R / 2)) * pow(10000.0, -2.0 * (double)(i % (R / 2)) / R);
        out->table[2 * i] = (float)cos(angle);
        out->table[2 * i + 1] = (float)sin(angle);
    }
    float *k_words = out->keys, *v_words = out->values;
    if (type == OBI_KV_F16) k_words = obi_case_halves(env, out->keys, context, K * C);
    if (type == OBI_KV_F16) v_words = obi_case_halves(env, out->values, context, K * C);
    if (type == OBI_KV_INT8) k_words = obi_case_kv_int8(env, out->keys, (uint64_t)context * K, C);
    if (type == OBI_KV_INT8) v_words = obi_case_kv_int8(env, out->values, (uint64_t)context * K, C);
    if (!k_words || !v_words) return OBI_ERROR_MEMORY;
    OBI_TRY(obi_case_upload(env, out->table, turns * 8, &out->table_view));
    OBI_TRY(obi_case_upload(env, k_words, obi_kv_words(type, all, C) * 4, &out->cache.k));
    return obi_case_upload(env, v_words, obi_kv_words(type, all, C) * 4, &out->cache.v);
}

/* In a cache of halves an element is off by 2^-10 of it in addition, or by what is no normal half: case_attn.c. */
obi_status obi_case_check_qkv(obi_case_env *env, const obi_case_qkv *of, obi_view qkv_view, float *q, float *k, float *v,
                              obi_case_result *result)
{
    const obi_post_qkv *what = &of->what;
    uint32_t T = what->T, H = what->H, K = what->K, C = what->C, first = what->first_position;
    uint64_t q_count = (uint64_t)T * H * C, count = (uint64_t)T * K * C, all = (uint64_t)what->context * K * C;
    float *tolerance = obi_case_zeros(env, q_count + count), *normed = obi_case_zeros(env, q_count + count);
    float *got = obi_case_zeros(env, all + q_count);
    if (!tolerance || !normed || !got) return OBI_ERROR_MEMORY;
    float *inputs[] = { q, k, v }, *caches[] = { NULL, of->keys, of->values };
    obi_view outputs[] = { obi_attn_parts_of(qkv_view, T, H, K, C).q, of->cache.k, of->cache.v };
    const char *names[] = { "q", "k_cache", "v_cache" };
    uint32_t post = what->post_eps >= 0;
    float *before[3];
    for (int i = 0; i < 3; i++) {
        before[i] = obi_case_zeros(env, i == 0 ? q_count : count);
        if (!before[i]) return OBI_ERROR_MEMORY;
        memcpy(before[i], inputs[i], (i == 0 ? q_count : count) * 4);
    }
    ref_post_norm_qkv(q, k, v, of->table, T, H, K, C, what->R, first, what->layout == OBI_ROPE_PAIRS, post != 0, (double)EPS);
    for (int i = 0; i < 3; i++) {
        uint64_t some = i == 0 ? q_count : count, begin = i == 0 ? 0 : (uint64_t)first * K * C, whole = i == 0 ? q_count : all;
        float *wanted = i == 0 ? q : caches[i], *bound = obi_case_zeros(env, whole);
        if (!bound) return OBI_ERROR_MEMORY;
        memcpy(normed, before[i], some * 4);
        post_tolerance(tolerance, normed, before[i], T, (uint32_t)(some / T), post);
        turn_tolerance(tolerance, normed, T, some / T);
        memcpy(bound + begin, tolerance, some * 4); /* 0 elsewhere: other rows of a cache stay */
        if (i > 0) memcpy(wanted + begin, inputs[i], some * 4);
        bool half = i > 0 && of->cache.type == OBI_KV_F16;
        for (uint64_t j = begin; half && j < begin + some; j++) bound[j] += (float)(0x1p-10 * fabs((double)wanted[j]) + 0x1p-14);
        bool int8 = i > 0 && of->cache.type == OBI_KV_INT8;
        for (uint64_t j = begin; int8 && j < begin + some; j += C) add_byte_tolerance(bound + j, wanted + j, C);
        if (half) OBI_TRY(obi_case_download_halves(env, outputs[i], got, whole));
        else if (int8) OBI_TRY(obi_case_download_kv_int8(env, outputs[i], got, whole / C, C));
        else OBI_TRY(obi_case_download(env, outputs[i], got, whole * 4));
        for (uint64_t j = 0; j < whole; j++) bound[j] += 1e-30f;
        obi_case_compare(result, names[i], got, wanted, whole, bound, 0, 0);
    }
    return OBI_OK;
}

static obi_status run_qkv_of(obi_case_env *env, const uint32_t *sizes, obi_kv_type type, obi_case_result *result)
{
    uint32_t T = sizes[0], H = sizes[1], K = sizes[2], C = sizes[3];
    uint64_t q_count = (uint64_t)T * H * C, count = (uint64_t)T * K * C, bytes = obi_attn_parts_bytes(T, H, K, C);
    obi_case_qkv all;
    OBI_TRY(obi_case_qkv_make(env, sizes, type, &all));
    float *qkv = obi_case_zeros(env, bytes / 4 + 2), *q = rows(env, T, H * C), *k = rows(env, T, K * C), *v = rows(env, T, K * C);
    if (!qkv || !q || !k || !v) return OBI_ERROR_MEMORY;
    obi_view none = { 0 }, qkv_view;
    obi_attn_parts at = obi_attn_parts_of(none, T, H, K, C);
    qkv[bytes / 4 + 1] = (float)all.what.first_position;
    memcpy(qkv, q, q_count * 4);
    memcpy(qkv + at.k.offset / 4, k, count * 4);
    memcpy(qkv + at.v.offset / 4, v, count * 4);
    OBI_TRY(obi_case_upload(env, qkv, bytes + 8, &qkv_view));
    obi_cmd_begin(env->cmd);
    obi_op_post_qkv_fwd(env->cmd, qkv_view, all.table_view, all.cache, &all.what);
    OBI_TRY(obi_cmd_run(env->cmd));
    return obi_case_check_qkv(env, &all, qkv_view, q, k, v, result);
}

static obi_status run_qkv_int8(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_qkv_of(env, sizes, OBI_KV_INT8, result);
}

static obi_status run_qkv(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_qkv_of(env, sizes, OBI_KV_F32, result);
}

static obi_status run_qkv_f16(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_qkv_of(env, sizes, OBI_KV_F16, result);
}

OBI_CASE_FORMS(run_residual)
OBI_CASE_FORMS(run_swiglu)
OBI_CASE_FORMS(run_qkv)
OBI_CASE_FORMS(run_qkv_f16)

const obi_case obi_case_post_norm_residual = {
    "post_norm_residual", OBI_KERNEL_POST_NORM_RESIDUAL_FWD, "T n post", { 3, 257, 1 }, run_residual_plain
};
const obi_case obi_case_post_norm_swiglu = {
    "post_norm_swiglu", OBI_KERNEL_POST_NORM_SWIGLU_FWD, "T n post", { 3, 257, 1 }, run_swiglu_plain
};
const obi_case obi_case_post_norm_qkv = {
    "post_norm_qkv", OBI_KERNEL_POST_NORM_QKV_FWD, "T H K C R post+2*pairs", { 3, 6, 2, 10, 6, 3 }, run_qkv_plain
};
const obi_case obi_case_post_norm_qkv_f16 = {
    "post_norm_qkv_f16", OBI_KERNEL_POST_NORM_QKV_F16, "T H K C R post+2*pairs", { 3, 6, 2, 10, 6, 1 }, run_qkv_f16_plain
};
const obi_case obi_case_post_norm_qkv_int8 = {
    "post_norm_qkv_int8", OBI_KERNEL_POST_NORM_QKV_INT8, "T H K C R post+2*pairs", { 3, 6, 2, 10, 6, 1 }, run_qkv_int8
};

/* Those of software drivers (ops/token_straight.h); with sizes that have no such kernel, the others. */
const obi_case obi_case_post_norm_residual_straight = {
    "post_norm_residual_straight", OBI_KERNEL_POST_NORM_RESIDUAL_STRAIGHT, "T n post", { 1, 277, 1 }, run_residual_straight
};
const obi_case obi_case_post_norm_swiglu_straight = {
    "post_norm_swiglu_straight", OBI_KERNEL_POST_NORM_SWIGLU_STRAIGHT, "T n post", { 1, 277, 1 }, run_swiglu_straight
};
const obi_case obi_case_post_norm_qkv_straight = {
    "post_norm_qkv_straight", OBI_KERNEL_POST_NORM_QKV_STRAIGHT, "T H K C R post+2*pairs", { 1, 9, 3, 64, 64, 1 }, run_qkv_straight
};
const obi_case obi_case_post_norm_qkv_f16_straight = {
    "post_norm_qkv_f16_straight", OBI_KERNEL_POST_NORM_QKV_F16_STRAIGHT, "T H K C R post+2*pairs", { 1, 9, 3, 64, 64, 3 },
    run_qkv_f16_straight
};

#include <math.h>
#include <string.h>

#include "ops/op_attn.h"
#include "ref/ref_attn.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define U 0x1p-24

/* Two products and one sum of them: 3 roundings of terms of size |a| and |b| (cos and sin are at most 1). */
static obi_status run_rope(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], heads = sizes[1], C = sizes[2], R = sizes[3], first = sizes[4], layout = sizes[5];
    uint64_t count = (uint64_t)T * heads * C, turns = (uint64_t)(first + T) * (R / 2);
    float *x = obi_case_normal(env, count, 1.0), *table = obi_case_zeros(env, turns * 2);
    float *got = obi_case_zeros(env, count);
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
    ref_attn_rope(x, table, T, heads, C, R, first, layout == OBI_ROPE_PAIRS, false);
    obi_cmd_begin(env->cmd);
    obi_op_rope_fwd(env->cmd, x_view, table_view, T, heads, C, R, first, (obi_rope_layout)layout);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, x_view, got, count * 4));
    obi_case_compare(result, "x", got, x, count, NULL, 0, 4 * U * (double)largest);
    return OBI_OK;
}

/* Stores T rows at `first`; of one token, that is read from memory: the element behind k's two unused ones. */
static void store_rows(obi_case_env *env, obi_kv_cache cache, obi_view k, obi_view v, uint32_t T, uint32_t width, uint32_t C,
                       uint32_t first, uint32_t context)
{
    if (T == 1) obi_op_kv_store_placed_fwd(env->cmd, cache, k, v, width, C, width + 2, context - 1, context);
    else obi_op_kv_store_fwd(env->cmd, cache, k, v, T, width, C, first, context);
}

/* A copy: exact. Rows before and after the stored ones must stay. */
static obi_status run_kv_store(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], width = sizes[1], first = sizes[2], context = sizes[3];
    uint64_t count = (uint64_t)T * width, all = (uint64_t)context * width;
    float *k = obi_case_normal(env, count + 3, 1.0), *v = obi_case_normal(env, count, 1.0);
    float *keys = obi_case_normal(env, all, 1.0), *values = obi_case_normal(env, all, 1.0), *got = obi_case_zeros(env, all);
    if (!k || !v || !keys || !values || !got) return OBI_ERROR_MEMORY;
    obi_view k_view, v_view;
    obi_kv_cache cache = { .type = OBI_KV_F32 };
    k[count + 2] = (float)first;
    OBI_TRY(obi_case_upload(env, k, (count + 3) * 4, &k_view));
    OBI_TRY(obi_case_upload(env, v, count * 4, &v_view));
    OBI_TRY(obi_case_upload(env, keys, all * 4, &cache.k));
    OBI_TRY(obi_case_upload(env, values, all * 4, &cache.v));
    obi_cmd_begin(env->cmd);
    store_rows(env, cache, k_view, v_view, T, width, width, first, context);
    OBI_TRY(obi_cmd_run(env->cmd));
    for (uint64_t i = 0; i < count; i++) {
        keys[(uint64_t)first * width + i] = k[i];
        values[(uint64_t)first * width + i] = v[i];
    }
    OBI_TRY(obi_case_download(env, cache.k, got, all * 4));
    obi_case_compare(result, "k_cache", got, keys, all, NULL, 0, 0);
    OBI_TRY(obi_case_download(env, cache.v, got, all * 4));
    obi_case_compare(result, "v_cache", got, values, all, NULL, 0, 0);
    return OBI_OK;
}

/* A half of x is off by 2^-10 |x| at most (the driver may round towards zero), and one below the normal halves may become zero. */
static obi_status run_kv_store_f16(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], width = sizes[1], first = sizes[2], context = sizes[3];
    uint64_t count = (uint64_t)T * width, all = (uint64_t)context * width, begin = (uint64_t)first * width;
    float *rows[2], *caches[2], *bound = obi_case_zeros(env, all), *got = obi_case_zeros(env, all);
    obi_view row_views[2], views[2];
    for (int i = 0; i < 2; i++) {
        rows[i] = obi_case_normal(env, count + 3, 1.0);
        caches[i] = obi_case_normal(env, all, 1.0);
        float *words = rows[i] && caches[i] ? obi_case_halves(env, caches[i], context, width) : NULL;
        if (!words || !bound || !got) return OBI_ERROR_MEMORY;
        if (i == 0) rows[i][0] = 1e6f; /* becomes the largest half */
        if (i == 0) rows[i][count - 1] = -1e6f;
        rows[i][count + 2] = (float)first;
        OBI_TRY(obi_case_upload(env, rows[i], (count + 3) * 4, &row_views[i]));
        OBI_TRY(obi_case_upload(env, words, all * 2, &views[i]));
        if (i == 0) rows[i][0] = 65504;
        if (i == 0) rows[i][count - 1] = -65504;
        for (uint64_t j = 0; j < count; j++) caches[i][begin + j] = rows[i][j];
    }
    obi_kv_cache cache = { OBI_KV_F16, views[0], views[1] };
    obi_cmd_begin(env->cmd);
    store_rows(env, cache, row_views[0], row_views[1], T, width, width, first, context);
    OBI_TRY(obi_cmd_run(env->cmd));
    for (int i = 0; i < 2; i++) {
        for (uint64_t j = 0; j < all; j++)
            bound[j] = j < begin || j >= begin + count ? 0 : (float)(0x1p-10 * fabs((double)caches[i][j]) + 0x1p-14);
        OBI_TRY(obi_case_download_halves(env, views[i], got, all));
        obi_case_compare(result, i ? "v_cache" : "k_cache", got, caches[i], all, bound, 0, 0);
    }
    return OBI_OK;
}

/* Bytes within 1/2 of x / scale and what the driver's division and two products make of 127: 2^-12 of the scale. Rows before and after,
 * and the zeros behind a vector, stay exact. The first vector is poisoned by an infinity, the last by NaN, the middle one is as good
 * as 0, each beside others that are not. */
static obi_status run_kv_store_int8(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], K = sizes[1], C = sizes[2], first = sizes[3], context = sizes[4];
    uint64_t vectors = (uint64_t)T * K, count = vectors * C, begin = (uint64_t)first * K * C, all = (uint64_t)context * K * C;
    uint64_t words = obi_kv_words(OBI_KV_INT8, all, C), before = obi_kv_words(OBI_KV_INT8, begin, C);
    float *rows[2], *caches[2], *bound = obi_case_zeros(env, all), *got = obi_case_zeros(env, all);
    uint32_t *read = (uint32_t *)(void *)obi_case_zeros(env, words);
    obi_view row_views[2], views[2];
    for (int i = 0; i < 2; i++) {
        rows[i] = obi_case_normal(env, count + 3, 1.0);
        caches[i] = obi_case_normal(env, all, 1.0);
        float *stored = rows[i] && caches[i] ? obi_case_kv_int8(env, caches[i], (uint64_t)context * K, C) : NULL;
        if (!stored || !bound || !got || !read) return OBI_ERROR_MEMORY;
        for (uint64_t c = 0; c < C; c++) rows[i][vectors / 2 * C + c] *= 0x1p-110f;
        if (i == 0 && vectors > 2) rows[i][C - 1] = -INFINITY;
        if (i == 0 && vectors > 2) rows[i][count - C] = NAN;
        rows[i][count + 2] = (float)first;
        OBI_TRY(obi_case_upload(env, rows[i], (count + 3) * 4, &row_views[i]));
        OBI_TRY(obi_case_upload(env, stored, words * 4, &views[i]));
        memcpy(caches[i] + begin, rows[i], count * 4);
    }
    obi_kv_cache cache = { OBI_KV_INT8, views[0], views[1] };
    obi_cmd_begin(env->cmd);
    store_rows(env, cache, row_views[0], row_views[1], T, K * C, C, first, context);
    OBI_TRY(obi_cmd_run(env->cmd));
    for (int i = 0; i < 2; i++) {
        OBI_TRY(obi_case_download(env, views[i], read, words * 4));
        ref_attn_kv_int8_back(got, read, (uint64_t)context * K, C);
        for (uint64_t j = 0; j < all; j++) bound[j] = 0;
        for (uint64_t vector = 0; vector < vectors; vector++) {
            float *want = caches[i] + begin + vector * C, top = 0;
            const uint32_t *last = read + before + (vector + 1) * (words / context / K) - 1;
            bool poisoned = false;
            for (uint64_t c = 0; c < C; c++) top = fmaxf(top, fabsf(want[c]));
            for (uint64_t c = 0; c < C; c++) poisoned = poisoned || !isfinite(want[c]);
            for (uint64_t c = 0; c < C; c++) {
                bound[begin + vector * C + c] = (float)((0.5 + 0x1p-12) * (double)top / 127) + 0x1p-100f;
                if (!poisoned) continue;
                want[c] = isnan(got[begin + vector * C + c]) ? 0 : 1e9f; /* is as it should be */
                got[begin + vector * C + c] = bound[begin + vector * C + c] = 0;
            }
            if (C % 4 && *last >> (8 * (C % 4))) want[C - 1] = 1e9f; /* no zeros behind it */
        }
        obi_case_compare(result, i ? "v_cache" : "k_cache", got, caches[i], all, bound, 0, 0);
    }
    return OBI_OK;
}

/* A score of C terms is off by at most s = (C + 5) u sum|q k| / sqrt(C), one u of which is for the scale of bytes. Vulkan allows
 * exp(x) 3 + 2|x| ulp, software drivers show 17; with |x| up to the spread of the scores the weight of a position is off relatively by
 * 2 s + (32 + 4 S) u, S bounding the scores; and summing P weighted values, rescaled now and then, adds (P + 32) u
 * of sum w|v|. The denominator has the same error again. What splits leave is weighted once more, by another exp. */
static void attend_tolerance(float *spread, const float *scores, uint32_t T, uint32_t H, uint32_t C, uint32_t positions, bool split)
{
    for (uint64_t row = 0; row < (uint64_t)T * H; row++) {
        double s = (C + 5) * U * (double)scores[row];
        double relative = 2 * (2 * s + (split ? 2 : 1) * (32 + 4 * (double)scores[row]) * U + (positions + 32) * U);
        for (uint64_t c = 0; c < C; c++) spread[row * C + c] = (float)((double)spread[row * C + c] * relative + 1e-30);
    }
}

/* Of halves, whatever the driver makes of those below the normal ones: an error of 2^-14 of every key moves a score by so much of
 * sum|q|, hardly anything beside the rest, and is not counted: obi_case_normal has none of these where it matters. */
static obi_status run_attend_of(obi_case_env *env, const uint32_t *sizes, obi_kv_type type, obi_case_result *result)
{
    uint32_t T = sizes[0], H = sizes[1], K = sizes[2], C = sizes[3], first = sizes[4];
    obi_attn_range all = { .count = T, .splits = sizes[5] }; /* splits, 0: the op's choice */
    uint32_t positions = first + T;
    uint64_t rows = (uint64_t)T * H * C, cached = (uint64_t)positions * K * C;
    float *q = obi_case_normal(env, rows + 3, 1.0), *k = obi_case_normal(env, cached, 1.0), *v = obi_case_normal(env, cached, 1.0);
    float *got = obi_case_zeros(env, rows), *want = obi_case_zeros(env, rows), *spread = obi_case_zeros(env, rows);
    float *scores = obi_case_zeros(env, (uint64_t)T * H);
    double *weights = (double *)(void *)obi_case_zeros(env, (uint64_t)positions * 2);
    if (!q || !k || !v || !got || !want || !spread || !scores || !weights) return OBI_ERROR_MEMORY;
    for (uint64_t p = 0; p < positions; p += 5) /* some positions stand out, so that the running maximum moves */
        for (uint64_t i = 0; i < (uint64_t)K * C; i++) k[p * K * C + i] *= 1.0f + (float)p / (float)positions;
    float *k_words = k, *v_words = v; /* which round k and v too */
    if (type == OBI_KV_F16) k_words = obi_case_halves(env, k, positions, K * C);
    if (type == OBI_KV_F16) v_words = obi_case_halves(env, v, positions, K * C);
    if (type == OBI_KV_INT8) k_words = obi_case_kv_int8(env, k, (uint64_t)positions * K, C);
    if (type == OBI_KV_INT8) v_words = obi_case_kv_int8(env, v, (uint64_t)positions * K, C);
    if (!k_words || !v_words) return OBI_ERROR_MEMORY;
    ref_attn_attend(want, q, k, v, T, H, K, C, first, weights, spread, scores);
    attend_tolerance(spread, scores, T, H, C, positions, all.splits != 1);
    obi_view q_view, out_view;
    obi_kv_cache cache = { .type = type };
    q[rows + 2] = (float)first;
    OBI_TRY(obi_case_upload(env, q, (rows + 3) * 4, &q_view));
    OBI_TRY(obi_case_upload(env, k_words, obi_kv_words(type, cached, C) * 4, &cache.k));
    OBI_TRY(obi_case_upload(env, v_words, obi_kv_words(type, cached, C) * 4, &cache.v));
    OBI_TRY(obi_case_output(env, rows * 4, &out_view));
    for (int placed = 0; placed <= (T == 1); placed++) { /* a single query finds its position in memory, too */
        if (placed) all.place = (uint32_t)rows + 2;
        obi_cmd_begin(env->cmd);
        obi_cmd_fill(env->cmd, out_view, 0);
        obi_op_attn_range_fwd(env->cmd, out_view, q_view, cache, T, H, K, C, first, all);
        OBI_TRY(obi_cmd_run(env->cmd));
        OBI_TRY(obi_case_download(env, out_view, got, rows * 4));
        obi_case_compare(result, placed ? "out, position in memory" : "out", got, want, rows, spread, 0, 0);
    }
    return OBI_OK;
}

static obi_status run_attend(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_attend_of(env, sizes, OBI_KV_F32, result);
}

static obi_status run_attend_f16(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_attend_of(env, sizes, OBI_KV_F16, result);
}

static obi_status run_attend_int8(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run_attend_of(env, sizes, OBI_KV_INT8, result);
}

OBI_CASE_FORMS(run_rope)
OBI_CASE_FORMS(run_attend)
OBI_CASE_FORMS(run_attend_f16)

const obi_case obi_case_attn_rope = {
    "attn_rope", OBI_KERNEL_ATTN_ROPE_FWD, "T heads C R first layout", { 3, 5, 10, 6, 2, 1 }, run_rope_plain
};
const obi_case obi_case_attn_rope_straight = { "attn_rope_straight", OBI_KERNEL_ATTN_ROPE_STRAIGHT, "T heads C R first layout",
                                               { 32, 3, 50, 48, 2, 0 }, run_rope_straight };
const obi_case obi_case_attn_kv_store = {
    "attn_kv_store", OBI_KERNEL_ATTN_KV_STORE_FWD, "T width first context", { 3, 35, 2, 7 }, run_kv_store
};
const obi_case obi_case_attn_kv_store_f16 = {
    "attn_kv_store_f16", OBI_KERNEL_ATTN_KV_STORE_F16, "T width first context", { 3, 34, 2, 7 }, run_kv_store_f16
};
const obi_case obi_case_attn_kv_store_int8 = {
    "attn_kv_store_int8", OBI_KERNEL_ATTN_KV_STORE_INT8, "T K C first context", { 3, 5, 34, 2, 7 }, run_kv_store_int8
};
const obi_case obi_case_attn_decode_int8 = {
    "attn_decode_int8", OBI_KERNEL_ATTN_DECODE_INT8, "T H K C first splits", { 1, 6, 2, 70, 130, 1 }, run_attend_int8
};
const obi_case obi_case_attn_prefill_int8 = {
    "attn_prefill_int8", OBI_KERNEL_ATTN_PREFILL_INT8, "T H K C first splits", { 7, 6, 2, 70, 62, 1 }, run_attend_int8
};
const obi_case obi_case_attn_decode = {
    "attn_decode", OBI_KERNEL_ATTN_DECODE_FWD, "T H K C first splits", { 1, 6, 2, 70, 130, 1 }, run_attend_plain
};
const obi_case obi_case_attn_prefill = {
    "attn_prefill", OBI_KERNEL_ATTN_PREFILL_FWD, "T H K C first splits", { 7, 6, 2, 70, 62, 1 }, run_attend_plain
};
const obi_case obi_case_attn_prompt_straight = { "attn_prompt_straight", OBI_KERNEL_ATTN_PROMPT_ROWS_STRAIGHT, "T H K C first splits",
                                                 { 37, 6, 2, 24, 300, 1 }, run_attend_straight };
const obi_case obi_case_attn_combine = {
    "attn_combine", OBI_KERNEL_ATTN_COMBINE_FWD, "T H K C first splits", { 1, 6, 2, 70, 330, 4 }, run_attend_plain
};
const obi_case obi_case_attn_prefill_split = {
    "attn_prefill_split", OBI_KERNEL_ATTN_PREFILL_FWD, "T H K C first splits", { 7, 6, 2, 70, 192, 3 }, run_attend
};
const obi_case obi_case_attn_decode_f16 = {
    "attn_decode_f16", OBI_KERNEL_ATTN_DECODE_F16, "T H K C first splits", { 1, 6, 2, 70, 130, 1 }, run_attend_f16_plain
};
const obi_case obi_case_attn_prefill_f16 = {
    "attn_prefill_f16", OBI_KERNEL_ATTN_PREFILL_F16, "T H K C first splits", { 7, 6, 2, 70, 62, 1 }, run_attend_f16
};
const obi_case obi_case_attn_decode_straight = {
    "attn_decode_straight", OBI_KERNEL_ATTN_DECODE_STRAIGHT, "T H K C first", { 1, 6, 2, 72, 130 }, run_attend_straight
};
const obi_case obi_case_attn_decode_f16_straight = {
    "attn_decode_f16_straight", OBI_KERNEL_ATTN_DECODE_F16_STRAIGHT, "T H K C first", { 1, 6, 2, 80, 130 }, run_attend_f16_straight
};

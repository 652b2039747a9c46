#include <string.h>

#include "core/half.h"
#include "ops/op_embed.h"
#include "ref/ref_embed.h"
#include "selftest/cases.h"

/* Uploads `values` (V,D) as a table of this type; for F16 rounds `values` to what the table holds. */
static obi_status make_table(obi_case_env *env, obi_weight_type type, float *values, uint32_t V, uint32_t D, uint64_t block_bytes,
                             obi_weight *table)
{
    OBI_TRY(obi_weight_create(env->device, type, V, D, block_bytes, table));
    uint32_t *words = (uint32_t *)(void *)obi_case_zeros(env, (uint64_t)V * table->row_words);
    if (!words) return OBI_ERROR_MEMORY;
    for (uint64_t r = 0; r < V; r++)
        for (uint64_t d = 0; d < D; d++) {
            float *value = &values[r * D + d];
            if (type == OBI_WEIGHT_F32) {
                memcpy(&words[r * D + d], value, 4);
                continue;
            }
            uint16_t half = obi_float_to_half(*value);
            *value = obi_half_to_float(half);
            words[r * table->row_words + d / 2] |= (uint32_t)half << d % 2 * 16;
        }
    OBI_TRY(obi_weight_upload(env->upload, table, 0, V, words));
    return obi_upload_finish(env->upload);
}

/* Copies: exact. Every seventh id is not in the table; the first and the last are. */
static obi_status run_with(obi_case_env *env, const uint32_t *sizes, obi_case_result *result, obi_weight_type type, obi_weight *table)
{
    uint32_t T = sizes[0], V = sizes[1], D = sizes[2];
    uint64_t count = (uint64_t)T * D;
    float *values = obi_case_normal(env, (uint64_t)V * D, 1.0), *got = obi_case_zeros(env, count), *want = obi_case_zeros(env, count);
    uint32_t *ids = (uint32_t *)(void *)obi_case_zeros(env, T);
    if (!values || !got || !want || !ids) return OBI_ERROR_MEMORY;
    for (uint32_t t = 0; t < T; t++) {
        ids[t] = (uint32_t)(obi_rng_next(&env->rng) % V);
        if (t % 7 == 6) ids[t] = t % 2 ? 0xffffffffu : V;
    }
    ids[0] = V - 1;
    if (T > 1) ids[1] = 0;
    OBI_TRY(make_table(env, type, values, V, D, sizes[3], table));
    ref_embed_gather(want, ids, values, T, D, V);
    obi_view ids_view, x_view;
    OBI_TRY(obi_case_upload(env, ids, (uint64_t)T * 4, &ids_view));
    OBI_TRY(obi_case_output(env, count * 4, &x_view));
    obi_cmd_begin(env->cmd);
    obi_op_embed_gather_fwd(env->cmd, x_view, ids_view, table, T);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, x_view, got, count * 4));
    obi_case_compare(result, "x", got, want, count, NULL, 0, 0);
    return OBI_OK;
}

static obi_status run(obi_case_env *env, const uint32_t *sizes, obi_case_result *result, obi_weight_type type)
{
    obi_weight table = { 0 };
    obi_status status = run_with(env, sizes, result, type, &table);
    (void)obi_cmd_wait(env->cmd);
    obi_weight_destroy(env->device, &table);
    return status;
}

static obi_status run_f32(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run(env, sizes, result, OBI_WEIGHT_F32);
}

static obi_status run_f16(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    return run(env, sizes, result, OBI_WEIGHT_F16);
}

const obi_case obi_case_embed_gather_f32 = {
    "embed_gather_f32", OBI_KERNEL_EMBED_GATHER_F32, "T V D block_bytes", { 9, 33, 65, 4096 }, run_f32
};
const obi_case obi_case_embed_gather_f16 = {
    "embed_gather_f16", OBI_KERNEL_EMBED_GATHER_F16, "T V D block_bytes", { 9, 33, 65, 2048 }, run_f16
};

#include <math.h>
#include <string.h>

#include "ops/op_embed_bwd.h"
#include "ref/ref_embed_bwd.h"
#include "selftest/cases.h"

#define U 0x1p-24

static obi_status download_table(obi_case_env *env, const obi_weight *table, float *values)
{
    for (uint32_t i = 0; i < table->block_count; i++) {
        uint32_t first, count;
        obi_view block = obi_weight_block(table, i, &first, &count);
        OBI_TRY(obi_case_download(env, block, values + (uint64_t)first * table->columns, (uint64_t)count * table->columns * 4));
    }
    return OBI_OK;
}

/* A sum of as many terms as an id has tokens, and the table's own value: each is rounded at most once a step. Every
 * seventh id is not in the table; the first and the last are, and one has a third of the tokens. */
static obi_status run_with(obi_case_env *env, const uint32_t *sizes, obi_case_result *result, obi_weight *table)
{
    uint32_t T = sizes[0], V = sizes[1], D = sizes[2], distinct;
    uint64_t count = (uint64_t)V * D;
    float *dx = obi_case_normal(env, (uint64_t)T * D, 1.0), *want = obi_case_normal(env, count, 1.0), *got = obi_case_zeros(env, count);
    float *tolerance = obi_case_zeros(env, count);
    uint32_t *ids = (uint32_t *)(void *)obi_case_zeros(env, T), *words = (uint32_t *)(void *)obi_case_zeros(env, count);
    uint32_t *plan = (uint32_t *)(void *)obi_case_zeros(env, OBI_EMBED_PLAN_WORDS(T));
    if (!dx || !want || !got || !tolerance || !ids || !words || !plan) return OBI_ERROR_MEMORY;
    for (uint32_t t = 0; t < T; t++) {
        ids[t] = t % 3 == 0 ? V / 2 : (uint32_t)(obi_rng_next(&env->rng) % V);
        if (t % 7 == 6) ids[t] = t % 2 ? 0xffffffffu : V;
    }
    ids[0] = V - 1;
    if (T > 1) ids[1] = 0;
    memcpy(words, want, count * 4);
    OBI_TRY(obi_weight_create(env->device, OBI_WEIGHT_F32, V, D, sizes[3], table));
    OBI_TRY(obi_weight_upload(env->upload, table, 0, V, words));
    OBI_TRY(obi_upload_finish(env->upload));
    for (uint64_t i = 0; i < count; i++) tolerance[i] = (float)(2 * fabs((double)want[i]) * U);
    for (uint64_t t = 0; t < T; t++)
        for (uint64_t d = 0; d < D && ids[t] < V; d++) tolerance[ids[t] * D + d] += (float)((T + 4) * U * fabs((double)dx[t * D + d]));
    ref_embed_scatter_add(want, dx, ids, T, D, V);
    OBI_TRY(obi_embed_plan(plan, &distinct, ids, T, V));
    obi_view dx_view, plan_view;
    OBI_TRY(obi_case_upload(env, dx, (uint64_t)T * D * 4, &dx_view));
    OBI_TRY(obi_case_upload(env, plan, OBI_EMBED_PLAN_WORDS(T) * 4, &plan_view));
    obi_cmd_begin(env->cmd);
    obi_op_embed_scatter_add(env->cmd, table, dx_view, plan_view, T, distinct);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(download_table(env, table, got));
    obi_case_compare(result, "dtable", got, want, count, tolerance, 0, 0);
    return OBI_OK;
}

static obi_status run(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    obi_weight table = { 0 };
    obi_status status = run_with(env, sizes, result, &table);
    (void)obi_cmd_wait(env->cmd);
    obi_weight_destroy(env->device, &table);
    return status;
}

const obi_case obi_case_embed_scatter_bwd = {
    "embed_scatter_bwd", OBI_KERNEL_EMBED_SCATTER_BWD, "T V D block_bytes", { 23, 11, 35, 35 * 4 * 4 }, run
};

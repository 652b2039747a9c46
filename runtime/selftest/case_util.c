#include <math.h>

#include "ops/op_util.h"
#include "ref/ref_util.h"
#include "selftest/cases.h"

/* Order and values are exact. The input has ties, zeros of both signs, infinities, denormals and NaN. */
static obi_status run_topk(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t V = sizes[0], k = sizes[1];
    bool hostile = sizes[2] != 0;
    float *logits = obi_case_normal(env, V, 3.0);
    float *got = obi_case_zeros(env, k), *want = obi_case_zeros(env, k), *got_ids = obi_case_zeros(env, k),
          *want_ids = obi_case_zeros(env, k);
    obi_topk_pair *pairs = (obi_topk_pair *)(void *)obi_case_zeros(env, (uint64_t)k * 2);
    uint32_t *ids = (uint32_t *)(void *)obi_case_zeros(env, k);
    if (!logits || !got || !want || !got_ids || !want_ids || !pairs || !ids) return OBI_ERROR_MEMORY;
    static const float odd[] = { 0.0f, -0.0f, 1e-42f, -1e-42f, NAN, INFINITY, -INFINITY, 7.5f, 7.5f };
    for (uint32_t i = 0; hostile && i < V; i++)
        if (i % 3 == 0) logits[i] = odd[obi_rng_next(&env->rng) % (sizeof odd / sizeof odd[0])];
    ref_util_topk(ids, logits, V, k);
    obi_view logits_view, scratch_view, out_view;
    OBI_TRY(obi_case_upload(env, logits, (uint64_t)V * 4, &logits_view));
    OBI_TRY(obi_case_output(env, obi_op_topk_scratch_bytes(V, k), &scratch_view));
    OBI_TRY(obi_case_output(env, (uint64_t)k * sizeof *pairs, &out_view));
    obi_cmd_begin(env->cmd);
    obi_op_topk_fwd(env->cmd, out_view, logits_view, scratch_view, V, k);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, out_view, pairs, (uint64_t)k * sizeof *pairs));
    for (uint32_t i = 0; i < k; i++) {
        got[i] = pairs[i].value;
        want[i] = logits[ids[i]];
        got_ids[i] = (float)pairs[i].id; /* exact up to 2^24; no vocabulary is larger */
        want_ids[i] = (float)ids[i];
    }
    obi_case_compare(result, "id", got_ids, want_ids, k, NULL, 0, 0);
    obi_case_compare(result, "value", got, want, k, NULL, 0, 0);
    return OBI_OK;
}

const obi_case obi_case_util_argmax = { "util_argmax", OBI_KERNEL_UTIL_ARGMAX_FWD, "V k hostile", { 3001, 1, 1 }, run_topk };
const obi_case obi_case_util_topk = { "util_topk", OBI_KERNEL_UTIL_TOPK_FWD, "V k hostile", { 3001, 40, 1 }, run_topk };

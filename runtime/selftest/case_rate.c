#include <math.h>

#include "ops/op_rate.h"
#include "ref/ref_rate.h"
#include "selftest/cases.h"

#define U 0x1p-24

/* |factor| and |term| are 1/2 or less, so values stay below M = 13 and each step halves the errors before it: with at most two
 * roundings of M a step (a device without fma) a chain ends with an error of at most 2 U M / (1 - 1/2) = 4 U M. The sum of 12 chains
 * adds up 12 of those and rounds four times a sum of at most 12 M. */
static obi_status run_multiply_add(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    const double most = 13, tolerance = 12 * 4 * U * most + 4 * U * 12 * most;
    uint64_t count = sizes[0];
    uint32_t turns = sizes[1];
    float factor = (float)(obi_rng_uniform(&env->rng) - 0.5), term = (float)(obi_rng_uniform(&env->rng) - 0.5);
    float *got = obi_case_zeros(env, count), *want = obi_case_zeros(env, count);
    if (!got || !want) return OBI_ERROR_MEMORY;
    ref_rate_multiply_add(want, count, turns, factor, term);
    obi_view y;
    OBI_TRY(obi_case_output(env, count * 4, &y));
    obi_cmd_begin(env->cmd);
    obi_op_rate_multiply_add(env->cmd, y, count, turns, factor, term);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, y, got, count * 4));
    obi_case_compare(result, "y", got, want, count, NULL, 0, tolerance);
    return OBI_OK;
}

const obi_case obi_case_rate_multiply_add = {
    "rate_multiply_add", OBI_KERNEL_RATE_MULTIPLY_ADD, "count turns", { 1001, 3 }, run_multiply_add
};

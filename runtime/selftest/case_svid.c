/* Cases of the family svid. sizes: m, n, rows a block (0: one block if it fits), absolute. */
#include <math.h>

#include "ops/op_svid.h"
#include "ref/ref_svid.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

/* Inputs of all of them: W with some zeros, and vectors a and b. */
typedef struct inputs {
    uint32_t m, n;
    bool absolute;
    float *w, *a, *b;
    obi_weight weight;
    obi_view a_view, b_view, scalar_view;
} inputs;

static obi_status make_inputs(obi_case_env *env, const uint32_t *sizes, inputs *in)
{
    in->m = sizes[0];
    in->n = sizes[1];
    in->absolute = sizes[3] != 0;
    uint64_t count = (uint64_t)in->m * in->n;
    in->w = obi_case_normal(env, count, 0.3);
    in->a = obi_case_normal(env, in->m, 1.0);
    in->b = obi_case_normal(env, in->n, 1.0);
    if (!in->w || !in->a || !in->b) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t dice = obi_rng_next(&env->rng) >> 60;
        if (dice < 2) in->w[i] = dice ? 0.0f : -0.0f;
    }
    OBI_TRY(obi_case_upload(env, in->a, (uint64_t)in->m * 4, &in->a_view));
    OBI_TRY(obi_case_upload(env, in->b, (uint64_t)in->n * 4, &in->b_view));
    OBI_TRY(obi_case_output(env, 4, &in->scalar_view));
    return obi_case_weight(env, OBI_WEIGHT_F32, in->m, in->n, sizes[2], in->w, &in->weight);
}

/* Runs what was recorded, frees the weight, brings back `count` words. */
static obi_status finish(obi_case_env *env, inputs *in, obi_view view, void *got, uint64_t count)
{
    obi_status status = obi_cmd_run(env->cmd);
    obi_weight_destroy(env->device, &in->weight);
    return status == OBI_OK ? obi_case_download(env, view, got, count * 4) : status;
}

/* An output buffer and two host arrays of `count` floats; on failure the weight is gone. */
static obi_status make_outputs(obi_case_env *env, inputs *in, uint64_t count, obi_view *view, float **want, float **got)
{
    *want = obi_case_zeros(env, count);
    *got = obi_case_zeros(env, count);
    obi_status status = *want && *got ? obi_case_output(env, count * 4, view) : OBI_ERROR_MEMORY;
    if (status != OBI_OK) obi_weight_destroy(env->device, &in->weight);
    return status;
}

/* Error of sum(V[.] * v[.]) / dot(v,v): n products and sums in f32 over their squares, and the dot's own relative error
 * (all its terms are positive: at most its number of roundings times u; u * (16 + sqrt(n)) is met with room). */
static float quotient_tolerance(const float *w, uint64_t step, const float *v, uint32_t count, double value)
{
    double squares = 0, dot = 0;
    for (uint32_t k = 0; k < count; k++) {
        double term = (double)w[k * step] * (double)v[k];
        squares += term * term;
        dot += (double)v[k] * (double)v[k];
    }
    double error = dot > 0 ? obi_case_sum_error(2.0 * count, squares) / dot : 0;
    return (float)(error + fabs(value) * OBI_UNIT_FLOAT * (16 + sqrt(count)) + 1e-30);
}

static obi_status run_rows(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    inputs in;
    obi_view out;
    float *want, *got, *tolerance;
    OBI_TRY(make_inputs(env, sizes, &in));
    OBI_TRY(make_outputs(env, &in, in.m, &out, &want, &got));
    obi_cmd_begin(env->cmd);
    obi_op_svid_dot(env->cmd, in.scalar_view, in.b_view, in.n);
    obi_op_svid_rows(env->cmd, out, &in.weight, in.b_view, in.scalar_view, in.absolute);
    OBI_TRY(finish(env, &in, out, got, in.m));
    if (!(tolerance = obi_case_zeros(env, in.m))) return OBI_ERROR_MEMORY;
    ref_svid_rows(want, in.w, in.b, in.m, in.n, in.absolute);
    for (uint32_t i = 0; i < in.m; i++) tolerance[i] = quotient_tolerance(in.w + (size_t)i * in.n, 1, in.b, in.n, (double)want[i]);
    obi_case_compare(result, "a", got, want, in.m, tolerance, 0, 0);
    return OBI_OK;
}

static obi_status run_columns(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    inputs in;
    obi_view out, scratch;
    float *want, *got, *tolerance;
    OBI_TRY(make_inputs(env, sizes, &in));
    OBI_TRY(make_outputs(env, &in, in.n, &out, &want, &got));
    uint64_t scratch_floats = obi_svid_scratch_floats(&in.weight);
    obi_status status = obi_case_output(env, scratch_floats * 4, &scratch);
    if (status != OBI_OK) {
        obi_weight_destroy(env->device, &in.weight);
        return status;
    }
    obi_cmd_begin(env->cmd);
    obi_op_svid_dot(env->cmd, in.scalar_view, in.a_view, in.m);
    obi_op_svid_columns(env->cmd, out, scratch, &in.weight, in.a_view, in.scalar_view, in.absolute);
    OBI_TRY(finish(env, &in, out, got, in.n));
    if (!(tolerance = obi_case_zeros(env, in.n))) return OBI_ERROR_MEMORY;
    ref_svid_columns(want, in.w, in.a, in.m, in.n, in.absolute);
    for (uint32_t j = 0; j < in.n; j++) tolerance[j] = quotient_tolerance(in.w + j, in.n, in.a, in.m, (double)want[j]);
    obi_case_compare(result, "b", got, want, in.n, tolerance, 0, 0);
    return OBI_OK;
}

/* All terms of the next three are positive, so a relative bound holds: at most u times the longest chain of roundings. */
static obi_status run_dot(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    inputs in;
    float got = 0;
    OBI_TRY(make_inputs(env, sizes, &in));
    obi_cmd_begin(env->cmd);
    obi_op_svid_dot(env->cmd, in.scalar_view, in.b_view, in.n);
    OBI_TRY(finish(env, &in, in.scalar_view, &got, 1));
    double dot = 0;
    for (uint32_t j = 0; j < in.n; j++) dot += (double)in.b[j] * (double)in.b[j];
    float want = (float)dot;
    obi_case_compare(result, "dot", &got, &want, 1, NULL, OBI_UNIT_FLOAT * (16 + in.n / 64.0), 1e-30);
    return OBI_OK;
}

static obi_status run_residual(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    inputs in;
    obi_view out;
    float *unused, *got;
    OBI_TRY(make_inputs(env, sizes, &in));
    uint64_t count = obi_svid_residual_floats(&in.weight);
    OBI_TRY(make_outputs(env, &in, count, &out, &unused, &got));
    obi_cmd_begin(env->cmd);
    obi_op_svid_residual(env->cmd, out, &in.weight, in.a_view, in.b_view, in.absolute);
    OBI_TRY(finish(env, &in, out, got, count));
    double sum = 0;
    for (uint64_t i = 0; i < count; i++) sum += (double)got[i];
    float total = (float)sum, want = (float)ref_svid_residual(in.w, in.a, in.b, in.m, in.n, in.absolute);
    /* a product and a difference more: each difference has an error of 2u(|v| + |a b|), seen relative to squares that
     * are about as large; the chain is 4 rows of n/64 columns */
    obi_case_compare(result, "residual", &total, &want, 1, NULL, OBI_UNIT_FLOAT * (32 + in.n / 16.0), 1e-30);
    return OBI_OK;
}

static obi_status run_stats(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    inputs in;
    obi_view sums, squares;
    float *want_sums, *got_sums, *want_squares, *got_squares;
    OBI_TRY(make_inputs(env, sizes, &in));
    OBI_TRY(make_outputs(env, &in, in.m, &sums, &want_sums, &got_sums));
    OBI_TRY(make_outputs(env, &in, in.m, &squares, &want_squares, &got_squares));
    obi_cmd_begin(env->cmd);
    obi_op_svid_stats(env->cmd, sums, squares, &in.weight);
    OBI_TRY(finish(env, &in, sums, got_sums, in.m));
    OBI_TRY(obi_case_download(env, squares, got_squares, (uint64_t)in.m * 4));
    ref_svid_stats(want_sums, want_squares, in.w, in.m, in.n);
    double relative = OBI_UNIT_FLOAT * (24 + in.n / 64.0);
    obi_case_compare(result, "sums", got_sums, want_sums, in.m, NULL, relative, 1e-30);
    obi_case_compare(result, "squares", got_squares, want_squares, in.m, NULL, relative, 1e-30);
    return OBI_OK;
}

/* Exact: words are compared 16 bits at a time, as floats. */
static obi_status run_sign_pack(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    inputs in;
    OBI_TRY(make_inputs(env, sizes, &in));
    uint64_t row_words = obi_weight_row_words(OBI_WEIGHT_SIGN, in.n), count = in.m * row_words;
    uint32_t *want = (uint32_t *)(void *)obi_case_zeros(env, count);
    float *want_halves = obi_case_zeros(env, 2 * count), *got_halves = obi_case_zeros(env, 2 * count);
    uint32_t *got = (uint32_t *)(void *)obi_case_zeros(env, count);
    obi_status status = want && got && want_halves && got_halves ? OBI_OK : OBI_ERROR_MEMORY;
    for (uint32_t block = 0; status == OBI_OK && block < in.weight.block_count; block++) {
        uint32_t first, rows;
        obi_view words;
        (void)obi_weight_block(&in.weight, block, &first, &rows);
        status = obi_case_output(env, rows * row_words * 4, &words);
        if (status != OBI_OK) break;
        obi_cmd_begin(env->cmd);
        obi_op_sign_pack(env->cmd, words, &in.weight, block);
        status = obi_cmd_run(env->cmd);
        if (status == OBI_OK) status = obi_case_download(env, words, got + first * row_words, words.size);
    }
    obi_weight_destroy(env->device, &in.weight);
    if (status != OBI_OK) return status;
    ref_sign_pack(want, in.w, in.m, in.n);
    for (uint64_t i = 0; i < 2 * count; i++) {
        want_halves[i] = (float)(want[i / 2] >> (i % 2 * 16) & 0xffffu);
        got_halves[i] = (float)(got[i / 2] >> (i % 2 * 16) & 0xffffu);
    }
    obi_case_compare(result, "halfword", got_halves, want_halves, 2 * count, NULL, 0, 0.5);
    return OBI_OK;
}

OBI_CASE_FORMS(run_sign_pack)

#define SIZES "m n block_rows absolute"
const obi_case obi_case_svid_rows = { "svid_rows", OBI_KERNEL_SVID_ROWS, SIZES, { 67, 333, 40, 1 }, run_rows };
const obi_case obi_case_svid_columns = { "svid_columns", OBI_KERNEL_SVID_COLUMNS, SIZES, { 533, 67, 300, 1 }, run_columns };
const obi_case obi_case_svid_fold = { "svid_fold", OBI_KERNEL_SVID_FOLD, SIZES, { 300, 131, 100, 0 }, run_columns };
const obi_case obi_case_svid_dot = { "svid_dot", OBI_KERNEL_SVID_DOT, SIZES, { 1, 333, 0, 0 }, run_dot };
const obi_case obi_case_svid_residual = { "svid_residual", OBI_KERNEL_SVID_RESIDUAL, SIZES, { 67, 333, 40, 1 }, run_residual };
const obi_case obi_case_svid_stats = { "svid_stats", OBI_KERNEL_SVID_STATS, SIZES, { 67, 333, 40, 0 }, run_stats };
const obi_case obi_case_svid_sign_pack = { "svid_sign_pack", OBI_KERNEL_SVID_SIGN_PACK, SIZES, { 67, 333, 40, 0 }, run_sign_pack_plain };
const obi_case obi_case_svid_sign_pack_straight = { "svid_sign_pack_straight", OBI_KERNEL_SVID_SIGN_PACK_STRAIGHT, SIZES,
                                                    { 128, 96, 64, 0 }, run_sign_pack_straight };

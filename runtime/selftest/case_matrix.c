#include "selftest/case_matrix.h"
#include "ref/ref_attn.h"

#include <math.h>

#include "core/half.h"

obi_status obi_case_weight(obi_case_env *env, obi_weight_type type, uint32_t m, uint32_t n, uint32_t block_rows, const void *words,
                           obi_weight *out)
{
    uint64_t row_bytes = (uint64_t)obi_weight_row_words(type, n) * 4;
    OBI_TRY(obi_weight_create(env->device, type, m, n, block_rows * row_bytes, out));
    obi_status status = obi_weight_upload(env->upload, out, 0, m, words);
    if (status == OBI_OK) status = obi_upload_finish(env->upload);
    if (status != OBI_OK) obi_weight_destroy(env->device, out);
    return status;
}

double obi_case_sum_error(double terms, double squares) { return 8 * OBI_UNIT_FLOAT * sqrt(terms * squares); }

float obi_case_sign_error(bool half, const float *x, const float *g, uint32_t n, float h)
{
    double squares = 0, largest = 0;
    for (uint32_t j = 0; j < n; j++) {
        double term = (double)g[j] * (double)x[j];
        squares += term * term;
        largest = fmax(largest, fabs(term));
    }
    double error = obi_case_sum_error(n, squares);
    if (half) error += 8 * OBI_UNIT_HALF * sqrt(squares) + 0x1p-26 * largest * 8 * sqrt(n);
    return (float)(error * fabs((double)h) + 1e-30);
}

bool obi_case_half(const obi_case_env *env, int kernel) { return obi_pipeline_tier(env->device, kernel) >= OBI_TIER_C; }

float *obi_case_halves(obi_case_env *env, float *w, uint32_t m, uint32_t n)
{
    size_t row_halves = (size_t)obi_weight_row_words(OBI_WEIGHT_F16, n) * 2;
    float *words = obi_case_zeros(env, m * row_halves / 2);
    if (!words) return NULL;
    uint16_t *to = (uint16_t *)(void *)words;
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) {
            float *value = &w[(size_t)i * n + j];
            to[i * row_halves + j] = obi_float_to_half(*value);
            *value = obi_half_to_float(obi_float_to_half(*value));
        }
    return words;
}

float *obi_case_kv_int8(obi_case_env *env, float *x, uint64_t vectors, uint32_t C)
{
    float *words = obi_case_zeros(env, vectors * ((C + 3) / 4 + 1));
    if (!words) return NULL;
    ref_attn_kv_int8((uint32_t *)(void *)words, x, vectors, C);
    ref_attn_kv_int8_back(x, (const uint32_t *)(const void *)words, vectors, C);
    return words;
}

obi_status obi_case_download_kv_int8(obi_case_env *env, obi_view view, float *data, uint64_t vectors, uint32_t C)
{
    uint64_t count = vectors * ((C + 3) / 4 + 1);
    uint32_t *words = (uint32_t *)(void *)obi_case_zeros(env, count);
    if (!words) return OBI_ERROR_MEMORY;
    OBI_TRY(obi_case_download(env, view, words, count * 4));
    ref_attn_kv_int8_back(data, words, vectors, C);
    return OBI_OK;
}

obi_status obi_case_download_halves(obi_case_env *env, obi_view view, float *data, uint64_t count)
{
    uint16_t *halves = (uint16_t *)(void *)obi_case_zeros(env, count / 2);
    if (!halves) return OBI_ERROR_MEMORY;
    OBI_TRY(obi_case_download(env, view, halves, count * 2));
    for (uint64_t i = 0; i < count; i++) data[i] = obi_half_to_float(halves[i]);
    return OBI_OK;
}

uint32_t *obi_case_signs(obi_case_env *env, uint32_t m, uint32_t n)
{
    size_t count = (size_t)m * obi_weight_row_words(OBI_WEIGHT_SIGN, n);
    uint32_t *words = (uint32_t *)(void *)obi_case_zeros(env, count);
    for (size_t i = 0; words && i < count; i++) words[i] = (uint32_t)(obi_rng_next(&env->rng) >> 32);
    return words;
}

obi_status obi_case_weight_download(obi_case_env *env, const obi_weight *weight, void *words)
{
    char *to = words;
    for (uint32_t block = 0; block < weight->block_count; block++) {
        uint32_t first, count;
        obi_view view = obi_weight_block(weight, block, &first, &count);
        uint64_t bytes = (uint64_t)count * weight->row_words * 4;
        OBI_TRY(obi_case_download(env, view, to, bytes));
        to += bytes;
    }
    return OBI_OK;
}

obi_status obi_case_form(obi_case_env *env, bool straight, obi_case_run run, const uint32_t *sizes, obi_case_result *result)
{
    obi_caps *caps = &env->device->caps;
    bool possible = caps->straight;
    if (straight && !possible) return OBI_OK;
    caps->straight = straight;
    obi_status status = run(env, sizes, result);
    caps->straight = possible;
    return status;
}

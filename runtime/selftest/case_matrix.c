#include "selftest/case_matrix.h"

#include <math.h>

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

bool obi_case_half(const obi_case_env *env, int kernel) { return obi_pipeline_tier(env->device, kernel) >= OBI_TIER_C; }

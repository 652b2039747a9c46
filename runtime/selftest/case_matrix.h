/* case_matrix: what the cases of the matrix families share. */
#ifndef OBI_SELFTEST_CASE_MATRIX_H
#define OBI_SELFTEST_CASE_MATRIX_H

#include "selftest/selftest.h"

#define OBI_UNIT_FLOAT 0x1p-24 /* largest relative error of one rounding to f32 */
#define OBI_UNIT_HALF 0x1p-11  /* and to f16 */

/* Makes a weight from `words` (m rows in the layout of `type`), cut into blocks of `block_rows` rows at the most (0: as
 * large as they can be). The caller destroys it, when no cmd uses it any more. */
obi_status obi_case_weight(obi_case_env *env, obi_weight_type type, uint32_t m, uint32_t n, uint32_t block_rows, const void *words,
                           obi_weight *out);

/* The error that a sum of `terms` f32 roundings may have when the squares of its terms add up to `squares`.
 *
 * A sum of n terms x_k rounds its n partial sums, each with a relative error of at most u, so the errors' variance is at
 * most u^2/3 times the sum of the squared partial sums; for terms of random sign partial sum k has about k/n of `squares`,
 * so the deviation is u * sqrt(n * squares / 6) = 0.41 u sqrt(n squares) in the worst order, sequential. Eight times
 * u * sqrt(n * squares) is twenty deviations of that, and still far below the change that one wrong term makes. */
double obi_case_sum_error(double terms, double squares);

/* The same of a row's product with signs, h * sum +-(g_j x_j) over n columns; in family half with chains of eight halves besides, whose
 * steps are 2^-11 of sums scaled so that nothing under 2^-26 of the largest term is lost (case_bitlinear.c). */
float obi_case_sign_error(bool half, const float *x, const float *g, uint32_t n, float h);

/* Whether a driver that computes in half would be used: the tier of `kernel` on this device is C and has a variant. */
bool obi_case_half(const obi_case_env *env, int kernel);

/* The words of an f16 weight made of `w` (m,n), whose values are rounded to halves themselves. Freed by the env; NULL: no memory. */
float *obi_case_halves(obi_case_env *env, float *w, uint32_t m, uint32_t n);

/* The words of `vectors` keys or values of C elements as bytes (ref_attn_kv_int8), whose values x gets; and the values of such words in
 * a view. */
float *obi_case_kv_int8(obi_case_env *env, float *x, uint64_t vectors, uint32_t C);
obi_status obi_case_download_kv_int8(obi_case_env *env, obi_view view, float *data, uint64_t vectors, uint32_t C);

/* The floats of `count` halves (even) that a view holds as words of two. */
obi_status obi_case_download_halves(obi_case_env *env, obi_view view, float *data, uint64_t count);

/* Random words of a sign weight (m,n), pad bits random too. Freed by the env; NULL: no memory. */
uint32_t *obi_case_signs(obi_case_env *env, uint32_t m, uint32_t n);

/* Reads rows of a weight back (m * row_words words). */
obi_status obi_case_weight_download(obi_case_env *env, const obi_weight *weight, void *words);

/* Runs a case with the kernels for software drivers (`straight`) or without them, whatever the device would take. On a
 * device that cannot run them nothing is done, and that passes. */
typedef obi_status (*obi_case_run)(obi_case_env *env, const uint32_t *sizes, obi_case_result *result);
obi_status obi_case_form(obi_case_env *env, bool straight, obi_case_run run, const uint32_t *sizes, obi_case_result *result);

/* Defines two runs of `name`, for the `run` field of its cases: name_plain and name_straight. */
#define OBI_CASE_FORMS(name)                                                                                \
    static obi_status name##_plain(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)       \
    {                                                                                                       \
        return obi_case_form(env, false, name, sizes, result);                                              \
    }                                                                                                       \
    static obi_status name##_straight(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)    \
    {                                                                                                       \
        return obi_case_form(env, true, name, sizes, result);                                               \
    }

#endif

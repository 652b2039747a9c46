/* test_svid_run: the decomposition of a whole weight: its errors beside the known ones, its scales and its signs. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "core/half.h"
#include "quant/svid.h"
#include "ref/ref_svid.h"
#include "selftest/case_matrix.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const uint32_t shapes[][2] = { { 256, 256 }, { 512, 256 }, { 256, 768 } };

/* What the callback saw. */
typedef struct seen {
    uint32_t *words;
    uint32_t row_words, next_row, calls;
} seen;

static obi_status take_words(void *user, uint32_t first, uint32_t count, const uint32_t *words)
{
    seen *at = user;
    assert_int_equal(first, at->next_row);
    memcpy(at->words + (size_t)first * at->row_words, words, (size_t)count * at->row_words * 4);
    at->next_row += count;
    at->calls++;
    return OBI_OK;
}

/* Runs on `w`; signs go to `words` (m rows) unless it is NULL. */
static obi_status run(obi_svid *svid, const float *w, uint32_t m, uint32_t n, uint32_t block_rows, uint32_t rank1_iterations,
                      uint32_t *words, obi_svid_result *result)
{
    obi_weight weight;
    TEST_OK(obi_case_weight(test_env(), OBI_WEIGHT_F32, m, n, block_rows, w, &weight));
    seen at = { .words = words, .row_words = obi_weight_row_words(OBI_WEIGHT_SIGN, n) };
    obi_svid_options options = { .rank1_iterations = rank1_iterations, .seed = 1, .words = words ? take_words : NULL, .user = &at };
    obi_status status = obi_svid_run(svid, &weight, &options, result);
    if (status == OBI_OK && words) {
        assert_int_equal(at.next_row, m);
        assert_int_equal(at.calls, weight.block_count);
    }
    obi_weight_destroy(test_device(), &weight);
    return status;
}

static obi_svid *new_svid(void)
{
    obi_svid *svid;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    TEST_OK(obi_svid_create(env->device, env->upload, &svid));
    return svid;
}

static float *gaussian(uint32_t m, uint32_t n, double spread)
{
    obi_case_env *env = test_env();
    float *w = obi_case_normal(env, (uint64_t)m * n, 0.02);
    float *rows = obi_case_normal(env, m, spread), *columns = obi_case_normal(env, n, spread);
    assert_non_null(w);
    assert_non_null(rows);
    assert_non_null(columns);
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) w[(size_t)i * n + j] *= (float)exp((double)rows[i] + (double)columns[j]);
    return w;
}

/* The regression anchors of the onebit notes, section 1.3. 1 - 2/pi = 0.3634 in the limit for any independent Gaussian. */
static void test_known_errors(void **state)
{
    (void)state;
    obi_svid *svid = new_svid();
    for (size_t s = 0; s < COUNT(shapes); s++) {
        uint32_t m = shapes[s][0], n = shapes[s][1];
        obi_svid_result plain, scaled;
        TEST_OK(run(svid, gaussian(m, n, 0), m, n, 0, OBI_SVID_RANK1_ITERATIONS, NULL, &plain));
        TEST_OK(run(svid, gaussian(m, n, 0.5), m, n, 0, OBI_SVID_RANK1_ITERATIONS, NULL, &scaled));
        print_message("%u x %u: Gaussian SVID %.4f, rank 1 %.4f, row means %.4f; scaled rows and columns %.4f, %.4f, %.4f\n", m, n,
                      plain.error_svid, plain.error_rank1, plain.error_xnor, scaled.error_svid, scaled.error_rank1, scaled.error_xnor);
        assert_true(fabs(plain.error_svid - 0.361) <= 0.003);
        assert_true(fabs(plain.error_xnor - 0.362) <= 0.003);
        assert_true(plain.error_rank1 > 0.97 && plain.error_rank1 < 0.995);
        assert_true(fabs(scaled.error_svid - 0.357) <= 0.006);
        assert_true(scaled.error_xnor > 0.44 && scaled.error_xnor < 0.56); /* one draw; the mean of many is tested below */
        assert_true(scaled.error_svid < scaled.error_rank1); /* proposition 2 of the paper */
    }
    obi_svid_destroy(svid);
    test_device_check();
}

/* The row-mean error depends on the draw of the scales; its mean over draws is known as 0.494 to 0.508. */
static void test_known_row_mean_error(void **state)
{
    (void)state;
    enum { DRAWS = 12 };
    obi_svid *svid = new_svid();
    for (size_t s = 0; s < COUNT(shapes); s++) {
        double sum = 0;
        for (int draw = 0; draw < DRAWS; draw++) {
            obi_svid_result result;
            TEST_OK(run(svid, gaussian(shapes[s][0], shapes[s][1], 0.5), shapes[s][0], shapes[s][1], 0, 0, NULL, &result));
            assert_true(isnan(result.error_rank1) != 0); /* not asked for */
            sum += result.error_xnor / DRAWS;
        }
        print_message("%u x %u: row means %.4f\n", shapes[s][0], shapes[s][1], sum);
        assert_true(sum >= 0.494 && sum <= 0.508);
    }
    obi_svid_destroy(svid);
}

/* ||W||^2 - sigma^2, sigma the largest singular value of V = |W| or W, by many double iterations on the host. */
static double best_rank1(const float *w, uint32_t m, uint32_t n, bool absolute)
{
    obi_case_env *env = test_env();
    float *a = obi_case_zeros(env, m), *b = obi_case_normal(env, n, 1.0);
    assert_non_null(a);
    assert_non_null(b);
    for (uint32_t j = 0; absolute && j < n; j++) b[j] = 1.0f;
    for (int i = 0; i < (absolute ? 20 : 400); i++) {
        ref_svid_rows(a, w, b, m, n, absolute);
        ref_svid_columns(b, w, a, m, n, absolute);
    }
    return ref_svid_residual(w, a, b, m, n, absolute);
}

/* Everything that is reported follows from what is delivered: signs and scales, checked on the host in double. */
static void test_report_is_true(void **state)
{
    (void)state;
    static const uint32_t cases[][3] = { { 100, 77, 0 }, { 65, 200, 7 }, { 1, 33, 0 }, { 33, 1, 1 }, { 1, 1, 0 }, { 300, 64, 100 } };
    obi_svid *svid = new_svid();
    for (size_t c = 0; c < COUNT(cases); c++) {
        uint32_t m = cases[c][0], n = cases[c][1], row_words = obi_weight_row_words(OBI_WEIGHT_SIGN, n);
        float *w = gaussian(m, n, 0.7);
        if (m * n > 50) w[3] = 0.0f, w[7] = -0.0f;
        uint32_t *words = (uint32_t *)(void *)obi_case_zeros(test_env(), m * row_words);
        uint32_t *want_words = (uint32_t *)(void *)obi_case_zeros(test_env(), m * row_words);
        assert_non_null(words);
        assert_non_null(want_words);
        obi_svid_result result;
        TEST_OK(run(svid, w, m, n, cases[c][2], 400, words, &result));
        ref_sign_pack(want_words, w, m, n);
        assert_memory_equal(words, want_words, m * row_words * 4);
        double norm2 = 0, error = 0, xnor = 0, a2 = 0, b2 = 0;
        for (uint32_t i = 0; i < m; i++) {
            double row = 0;
            a2 += (double)result.a[i] * (double)result.a[i] / m;
            for (uint32_t j = 0; j < n; j++) {
                double value = (double)w[i * n + j], sign = words[i * row_words + j / 32] >> j % 32 & 1 ? -1 : 1;
                double difference = value - sign * (double)result.a[i] * (double)result.b[j];
                norm2 += value * value;
                error += difference * difference;
                row += fabs(value);
            }
            xnor -= row * row / n;
        }
        xnor += norm2;
        for (uint32_t j = 0; j < n; j++) b2 += (double)result.b[j] * (double)result.b[j] / n;
        for (uint32_t i = 0; i < m; i++) assert_true(obi_half_to_float(obi_float_to_half(result.a[i])) == result.a[i] && result.a[i] >= 0);
        for (uint32_t j = 0; j < n; j++) assert_true(obi_half_to_float(obi_float_to_half(result.b[j])) == result.b[j] && result.b[j] >= 0);
        assert_true(fabs(a2 / b2 - 1) < 2e-3);
        assert_true(fabs(result.norm2 / norm2 - 1) < 1e-5);
        assert_true(fabs(result.error_svid - error / norm2) < 1e-5);
        assert_true(fabs(result.error_xnor - xnor / norm2) < 1e-5);
        /* as good as it can be, but for the rounding of the scales to f16: (2^-12)^2 of the norm and less */
        assert_true(fabs(result.error_svid - best_rank1(w, m, n, true) / norm2) < 1e-5);
        double best = best_rank1(w, m, n, false) / norm2; /* the iteration stops when sigma changes by less than 1e-4 */
        assert_true(result.error_rank1 > best - 1e-5 && result.error_rank1 < best + 0.02);
    }
    obi_svid_destroy(svid);
    test_device_check();
}

static void test_zeros(void **state)
{
    (void)state;
    enum { M = 40, N = 50 };
    obi_svid *svid = new_svid();
    float *w = obi_case_zeros(test_env(), M * N);
    uint32_t words[M * 2];
    obi_svid_result result;
    assert_non_null(w);
    memset(words, 0xff, sizeof words);
    TEST_OK(run(svid, w, M, N, 0, 5, words, &result));
    assert_true(result.norm2 == 0 && result.error_svid == 0 && result.error_rank1 == 0 && result.error_xnor == 0);
    for (int i = 0; i < M; i++) assert_true(result.a[i] == 0.0f && words[2 * i] == 0 && words[2 * i + 1] == 0);
    for (int j = 0; j < N; j++) assert_true(result.b[j] == 0.0f);

    w = gaussian(M, N, 0.0);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            if (i == 11 || j == 13) w[i * N + j] = 0.0f;
    TEST_OK(run(svid, w, M, N, 0, 5, words, &result));
    for (int i = 0; i < M; i++) assert_true(i == 11 ? result.a[i] == 0.0f : result.a[i] > 0.0f);
    for (int j = 0; j < N; j++) assert_true(j == 13 ? result.b[j] == 0.0f : result.b[j] > 0.0f);
    assert_true(result.error_svid > 0.3 && result.error_svid < 0.4);
    obi_svid_destroy(svid);
    test_device_check();
}

/* A power of two in front of W changes nothing but the scales. */
static void test_scale_does_not_matter(void **state)
{
    (void)state;
    enum { M = 60, N = 90 };
    static const float factors[] = { 1.0f, 0x1p-14f, 0x1p14f, 0x1p24f };
    obi_svid *svid = new_svid();
    float *w = gaussian(M, N, 0.3), *scaled = obi_case_zeros(test_env(), M * N);
    assert_non_null(scaled);
    double first = 0;
    for (size_t f = 0; f < COUNT(factors); f++) {
        obi_svid_result result;
        for (int i = 0; i < M * N; i++) scaled[i] = w[i] * factors[f];
        TEST_OK(run(svid, scaled, M, N, 0, 0, NULL, &result));
        if (f == 0) first = result.error_svid;
        assert_true(fabs(result.error_svid - first) < 1e-5);
    }
    obi_svid_destroy(svid);
}

static void test_damaged_weights_are_refused(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY, -INFINITY, 1e30f };
    obi_svid *svid = new_svid();
    for (size_t b = 0; b < COUNT(bad); b++) {
        float *w = gaussian(30, 30, 0.0);
        w[456] = bad[b];
        obi_svid_result result;
        assert_int_equal(run(svid, w, 30, 30, 0, 0, NULL, &result), OBI_ERROR_DATA);
        assert_true(strlen(obi_last_error()) > 0);
    }
    obi_svid_result result; /* and the object is still fit for use */
    TEST_OK(run(svid, gaussian(30, 30, 0.0), 30, 30, 0, 0, NULL, &result));
    obi_svid_destroy(svid);
    test_device_check();
}

/* The same bits again, from a used object of other sizes and from a fresh one, and with any row blocks. */
static void test_same_bits_again(void **state)
{
    (void)state;
    enum { M = 130, N = 70 };
    obi_svid *svid = new_svid();
    float *w = gaussian(M, N, 0.5);
    float a[M], b[N];
    obi_svid_result first, again;
    TEST_OK(run(svid, w, M, N, 0, 10, NULL, &first));
    memcpy(a, first.a, sizeof a);
    memcpy(b, first.b, sizeof b);
    TEST_OK(run(svid, gaussian(500, 20, 0.5), 500, 20, 0, 10, NULL, &again));
    TEST_OK(run(svid, gaussian(3, 900, 0.5), 3, 900, 0, 10, NULL, &again));
    for (int round = 0; round < 2; round++) {
        TEST_OK(run(svid, w, M, N, 0, 10, NULL, &again));
        assert_memory_equal(again.a, a, sizeof a);
        assert_memory_equal(again.b, b, sizeof b);
        assert_true(again.error_svid == first.error_svid && again.error_rank1 == first.error_rank1 && again.error_xnor == first.error_xnor);
        if (round == 0) {
            obi_svid_destroy(svid);
            TEST_OK(obi_svid_create(test_device(), test_env()->upload, &svid));
        }
    }
    TEST_OK(run(svid, w, M, N, 17, 10, NULL, &again)); /* sums of columns are grouped by block, so only nearly the same */
    for (int i = 0; i < M; i++) assert_true(fabsf(again.a[i] - a[i]) <= 1e-3f * a[i]);
    obi_svid_destroy(svid);
}

static obi_status refuse_words(void *user, uint32_t first, uint32_t count, const uint32_t *words)
{
    (void)count;
    (void)words;
    ++*(int *)user;
    return first == 0 ? OBI_OK : obi_fail(OBI_ERROR_CANCELLED, "enough");
}

static void test_callback_can_stop(void **state)
{
    (void)state;
    obi_svid *svid = new_svid();
    obi_weight weight;
    int calls = 0;
    TEST_OK(obi_case_weight(test_env(), OBI_WEIGHT_F32, 30, 40, 10, gaussian(30, 40, 0.0), &weight));
    obi_svid_options options = { .words = refuse_words, .user = &calls };
    obi_svid_result result;
    assert_int_equal(obi_svid_run(svid, &weight, &options, &result), OBI_ERROR_CANCELLED);
    assert_int_equal(calls, 2);
    obi_weight_destroy(test_device(), &weight);
    obi_svid_destroy(svid);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_errors),
        cmocka_unit_test(test_known_row_mean_error),
        cmocka_unit_test(test_report_is_true),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_scale_does_not_matter),
        cmocka_unit_test(test_damaged_weights_are_refused),
        cmocka_unit_test(test_same_bits_again),
        cmocka_unit_test(test_callback_can_stop),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

/* quant/ptq/cholesky: R^T R is the inverse, R is a triangle, what has no inverse is told from what has, and it ends when it is told to. */
#include <math.h>
#include <string.h>

#include "core/rng.h"
#include "data.h"
#include "quant/ptq/cholesky.h"

enum { N_MAX = 67 };

static const obi_part nobody = { NULL, NULL };
static double a[N_MAX * N_MAX], r[N_MAX * N_MAX];
static bool singular;

/* X^T X of `inputs` random inputs, their sizes apart by a factor of a thousand. */
static void make(uint32_t n, uint32_t inputs, double damping)
{
    obi_rng rng = obi_rng_seed(n);
    memset(a, 0, sizeof a);
    for (uint32_t t = 0; t < inputs; t++) {
        double x[N_MAX];
        for (uint32_t j = 0; j < n; j++) x[j] = obi_rng_normal(&rng) * pow(1000, (double)j / n);
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < n; j++) a[i * n + j] += x[i] * x[j];
    }
    for (uint32_t i = 0; i < n; i++) a[i * n + i] += damping;
    memcpy(r, a, sizeof a);
}

static void test_inverse(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 1, 2, 3, 7, 8, 31, N_MAX };
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        uint32_t n = sizes[k];
        make(n, 2 * n, 0);
        assert_int_equal(obi_cholesky_inverse_upper(r, n, 1e-9, nobody, &singular), OBI_OK);
        for (uint32_t i = 0; i < n; i++) {
            assert_true(r[i * n + i] > 0);
            for (uint32_t j = 0; j < i; j++) assert_true(r[i * n + j] == 0);
            /* A (R^T R) = I, each row relative to the sizes of what it is the sum of: 2^-53 times n and the condition, 10^6 and more. */
            for (uint32_t j = 0; j < n; j++) {
                double sum = 0, sizes_of = 0;
                for (uint32_t p = 0; p < n; p++) {
                    double inverse = 0;
                    for (uint32_t q = 0; q < n; q++) inverse += r[q * n + p] * r[q * n + j];
                    sum += a[i * n + p] * inverse;
                    sizes_of += fabs(a[i * n + p] * inverse);
                }
                if (!(fabs(sum - (i == j)) < 1e-7 * (1 + sizes_of))) fail_msg("n %u: (%u,%u) is %g", n, i, j, sum);
            }
        }
    }
}

static void test_singular(void **state)
{
    (void)state;
    make(20, 19, 0); /* an input less than columns */
    assert_true(obi_cholesky_inverse_upper(r, 20, 1e-9, nobody, &singular) == OBI_ERROR_DATA && singular);
    make(20, 19, 1);
    assert_true(obi_cholesky_inverse_upper(r, 20, 1e-9, nobody, &singular) == OBI_OK && !singular);
    make(5, 10, 0);
    r[7] = r[11] = (double)NAN;
    assert_true(obi_cholesky_inverse_upper(r, 5, 1e-9, nobody, &singular) == OBI_ERROR_DATA && singular);
    memset(r, 0, sizeof r);
    assert_true(obi_cholesky_inverse_upper(r, 3, 1e-9, nobody, &singular) == OBI_ERROR_DATA && singular);
}

typedef struct waiting {
    uint32_t left; /* times that it may go on */
    double last;
    obi_status end; /* what it then returns */
} waiting;

static obi_status wait_for(void *user, double part, const char *what)
{
    waiting *w = user;
    assert_true(part > w->last && part <= 1 && what[0]);
    w->last = part;
    return w->left-- > 0 ? OBI_OK : w->end;
}

/* It asks after every row, of both halves, and is done at the last; any status comes back as it is, and is no singular matrix. */
static void test_ended(void **state)
{
    (void)state;
    for (uint32_t left = 0; left <= 2 * N_MAX; left++) {
        obi_status end = left % 2 ? OBI_ERROR_DATA : OBI_ERROR_CANCELLED;
        waiting w = { left, 0, end };
        make(N_MAX, 2 * N_MAX, 0);
        obi_status status = obi_cholesky_inverse_upper(r, N_MAX, 1e-9, (obi_part){ wait_for, &w }, &singular);
        assert_int_equal(status, left < 2 * N_MAX ? end : OBI_OK);
        assert_false(singular);
        assert_true(left < 2 * N_MAX ? w.last < 1 || left == 2 * N_MAX - 1 : w.last == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_inverse), cmocka_unit_test(test_singular), cmocka_unit_test(test_ended) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

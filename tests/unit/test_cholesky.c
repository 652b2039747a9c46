/* quant/ptq/cholesky: R^T R is the inverse, R is a triangle, and what has no inverse is told from what has. */
#include <math.h>
#include <string.h>

#include "core/rng.h"
#include "data.h"
#include "quant/ptq/cholesky.h"

enum { N_MAX = 67 };

static double a[N_MAX * N_MAX], r[N_MAX * N_MAX];

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
        assert_true(obi_cholesky_inverse_upper(r, n, 1e-9));
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
    assert_false(obi_cholesky_inverse_upper(r, 20, 1e-9));
    make(20, 19, 1);
    assert_true(obi_cholesky_inverse_upper(r, 20, 1e-9));
    make(5, 10, 0);
    r[7] = r[11] = (double)NAN;
    assert_false(obi_cholesky_inverse_upper(r, 5, 1e-9));
    memset(r, 0, sizeof r);
    assert_false(obi_cholesky_inverse_upper(r, 3, 1e-9));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_inverse), cmocka_unit_test(test_singular) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

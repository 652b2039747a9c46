/* test_fd_norm: the gradients of the norms' references against finite differences. */
#include "fd.h"

#include <string.h>

#include "ref/ref_norm.h"
#include "ref/ref_norm_bwd.h"

enum { T = 3, N = 11 };
static const double eps = 1e-5;
static struct {
    float x[T * N], w[N], cotangent[T * N], y[T * N], dx[T * N], dw[N];
    double sums[N];
} at;

static double rmsnorm(void *context)
{
    (void)context;
    ref_norm_rmsnorm(at.y, at.x, at.w, T, N, eps);
    return fd_dot(at.cotangent, at.y, T * N);
}

static double layernorm(void *context)
{
    (void)context;
    ref_norm_layernorm(at.y, at.x, T, N, eps);
    return fd_dot(at.cotangent, at.y, T * N);
}

static int set_up(void **state)
{
    (void)state;
    obi_rng rng = obi_rng_seed(6);
    memset(&at, 0, sizeof at);
    fd_random(&rng, at.x, T * N, 2.0);
    fd_random(&rng, at.w, N, 1.0);
    fd_random(&rng, at.cotangent, T * N, 1.0);
    return 0;
}

static void test_rmsnorm(void **state)
{
    (void)state;
    ref_norm_rmsnorm_bwd(at.dx, at.cotangent, at.x, at.w, T, N, eps, false);
    fd_check("dx", rmsnorm, NULL, at.x, T * N, at.dx, 2e-5);
    ref_norm_rmsnorm_bwd_w(at.dw, at.sums, at.cotangent, at.x, T, N, eps);
    fd_check("dw", rmsnorm, NULL, at.w, N, at.dw, 2e-5);
}

static void test_layernorm(void **state)
{
    (void)state;
    ref_norm_layernorm_bwd(at.dx, at.cotangent, at.x, T, N, eps);
    fd_check("dx", layernorm, NULL, at.x, T * N, at.dx, 2e-5);
    for (int t = 0; t < T; t++) {
        double sum = 0, along = 0; /* neither a shift nor (up to eps) a factor of x changes z */
        for (int i = 0; i < N; i++) {
            sum += (double)at.dx[t * N + i];
            along += (double)at.dx[t * N + i] * (double)at.x[t * N + i];
        }
        assert_true(fabs(sum) < 1e-6 && fabs(along) < 1e-4);
    }
}

static void test_accumulation(void **state)
{
    (void)state;
    float twice[T * N], weight[N];
    ref_norm_rmsnorm_bwd(at.dx, at.cotangent, at.x, at.w, T, N, eps, false);
    memcpy(twice, at.dx, sizeof twice);
    ref_norm_rmsnorm_bwd(twice, at.cotangent, at.x, at.w, T, N, eps, true);
    for (int i = 0; i < T * N; i++) assert_true(twice[i] == 2 * at.dx[i]);
    ref_norm_rmsnorm_bwd_w(at.dw, at.sums, at.cotangent, at.x, T, N, eps);
    memcpy(weight, at.dw, sizeof weight);
    ref_norm_rmsnorm_bwd_w(weight, at.sums, at.cotangent, at.x, T, N, eps);
    for (int i = 0; i < N; i++) assert_true(fabs((double)(weight[i] - 2 * at.dw[i])) < 1e-5);
}

static void test_layernorm_in_place(void **state)
{
    (void)state;
    ref_norm_layernorm_bwd(at.dx, at.cotangent, at.x, T, N, eps);
    ref_norm_layernorm_bwd(at.cotangent, at.cotangent, at.x, T, N, eps);
    assert_memory_equal(at.dx, at.cotangent, sizeof at.dx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_rmsnorm, set_up),
        cmocka_unit_test_setup(test_layernorm, set_up),
        cmocka_unit_test_setup(test_accumulation, set_up),
        cmocka_unit_test_setup(test_layernorm_in_place, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

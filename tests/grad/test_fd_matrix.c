/* test_fd_matrix: the backward references of the matrix families against finite differences. */
#include "fd.h"

#include <string.h>

#include "ref/ref_bitlinear.h"
#include "ref/ref_dense.h"

enum { T = 3, M = 5, N = 37, WORDS = 2 };

/* Forward values, then gradients. The loss is the sum of cotangent * y. */
static struct {
    float x[T * N], w[M * N], g[N], h[M], y[T * M], cotangent[T * M];
    uint32_t words[M * WORDS];
    float u[T * N], v[T * M], dv[T * M], du[T * N], dx[T * N], dw[M * N], dg[N], dh[M];
} at;

static int set_up(void **state)
{
    (void)state;
    obi_rng rng = obi_rng_seed(7);
    memset(&at, 0, sizeof at);
    fd_random(&rng, at.x, T * N, 1);
    fd_random(&rng, at.w, M * N, 1);
    fd_random(&rng, at.g, N, 1);
    fd_random(&rng, at.h, M, 1);
    fd_random(&rng, at.cotangent, T * M, 1);
    for (int i = 0; i < M * WORDS; i++) at.words[i] = (uint32_t)(obi_rng_next(&rng) >> 32);
    return 0;
}

/* The losses are linear in each single value, so only the rounding of y to float is between them and the gradient: 2^-24
 * of the largest |y|, some 2^4, a step of 2^-6. */
static const double tolerance = 1e-3;

static double dense(void *context)
{
    (void)context;
    ref_dense_fwd(at.y, NULL, at.x, at.w, M, N, T);
    return fd_dot(at.cotangent, at.y, T * M);
}

static void test_dense(void **state)
{
    (void)state;
    ref_dense_bwd_x(at.dx, NULL, at.cotangent, at.w, M, N, T);
    ref_dense_bwd_w(at.dw, NULL, at.cotangent, at.x, M, N, T);
    fd_check("dx", dense, NULL, at.x, T * N, at.dx, tolerance);
    fd_check("dw", dense, NULL, at.w, M * N, at.dw, tolerance);
}

static double bitlinear(void *context)
{
    (void)context;
    ref_bitlinear_fwd(at.y, at.x, at.words, at.g, at.h, M, N, T);
    return fd_dot(at.cotangent, at.y, T * M);
}

/* The layer as a function of real weights in the place of the signs. */
static double bitlinear_of_weights(void *context)
{
    (void)context;
    ref_scale_columns(at.u, at.x, at.g, T, N);
    ref_dense_fwd(at.v, NULL, at.u, at.w, M, N, T);
    ref_scale_columns(at.y, at.v, at.h, T, M);
    return fd_dot(at.cotangent, at.y, T * M);
}

static void backward(void)
{
    ref_scale_columns(at.u, at.x, at.g, T, N);
    ref_sign_gemm(at.v, at.u, at.words, M, N, T);
    ref_scale_columns(at.dv, at.cotangent, at.h, T, M);
    ref_bitlinear_bwd_x(at.du, at.dv, at.words, M, N, T);
    ref_scale_columns(at.dx, at.du, at.g, T, N);
    ref_column_dot(at.dg, NULL, at.du, at.x, T, N);
    ref_column_dot(at.dh, NULL, at.cotangent, at.v, T, M);
    ref_dense_bwd_w(at.dw, NULL, at.dv, at.u, M, N, T);
}

static void test_bitlinear(void **state)
{
    (void)state;
    backward();
    fd_check("dx", bitlinear, NULL, at.x, T * N, at.dx, tolerance);
    fd_check("dg", bitlinear, NULL, at.g, N, at.dg, tolerance);
    fd_check("dh", bitlinear, NULL, at.h, M, at.dh, tolerance);
}

static void test_gradient_of_the_signs(void **state)
{
    (void)state;
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) at.w[i * N + j] = at.words[i * WORDS + j / 32] >> j % 32 & 1 ? -1.0f : 1.0f;
    backward();
    fd_check("ds", bitlinear_of_weights, NULL, at.w, M * N, at.dw, tolerance);
}

/* V of the training pass, scaled, is the forward pass; and <dV, U S^T> = <dV S, U>: the two products are adjoint. */
static void test_products_agree(void **state)
{
    (void)state;
    backward();
    ref_bitlinear_fwd(at.y, at.x, at.words, at.g, at.h, M, N, T);
    for (int i = 0; i < T * M; i++) assert_true(fabs((double)at.y[i] - (double)at.v[i] * (double)at.h[i % M]) < 1e-5);
    assert_true(fabs(fd_dot(at.dv, at.v, T * M) - fd_dot(at.du, at.u, T * N)) < 1e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_dense, set_up),
        cmocka_unit_test_setup(test_bitlinear, set_up),
        cmocka_unit_test_setup(test_gradient_of_the_signs, set_up),
        cmocka_unit_test_setup(test_products_agree, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

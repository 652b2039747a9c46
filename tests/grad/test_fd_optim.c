/* test_fd_optim: the estimators are slopes of what they stand in for, and AdamW's reference does what its authors say. */
#include "fd.h"

#include "ref/ref_optim.h"

#define ALPHA 1.5

static float at_w, at_slope;

static double tanh_of(void *context)
{
    (void)context;
    return 0.001 * (double)at_w + tanh((double)at_w);
}
static double tanh_of_alpha(void *context) { return tanh(*(double *)context * (double)at_w); }

static void test_estimators(void **state)
{
    (void)state;
    double alpha = ALPHA;
    for (int i = -40; i <= 40; i++) {
        at_w = (float)i * 0x1p-4f;
        at_slope = (float)ref_optim_estimator((double)at_w, 0, 0);
        fd_check("onebit", tanh_of, &alpha, &at_w, 1, &at_slope, 1e-4);
        at_slope = (float)ref_optim_estimator((double)at_w, 3, alpha);
        fd_check("tanh", tanh_of_alpha, &alpha, &at_w, 1, &at_slope, 1e-4);
        assert_true(ref_optim_estimator((double)at_w, 1, alpha) == 1);
        assert_true(ref_optim_estimator((double)at_w, 2, alpha) == (fabs((double)at_w) < alpha));
    }
}

/* After corrections the first step has the length lr against the gradient's sign, whatever its size; decay comes beside it
 * and not through the moments. A steady gradient keeps that length. */
static void test_adamw(void **state)
{
    (void)state;
    float w[3] = { 1, -2, 0.5f }, m[3] = { 0 }, v[3] = { 0 };
    const float dw[3] = { 1e-3f, -40, 0 };
    ref_optim_adamw_step step = { .lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.98f, .eps = 1e-12f, .weight_decay = 0.1f, .grad_scale = 0.5f };
    for (int s = 1; s <= 3; s++) {
        float before[3] = { w[0], w[1], w[2] };
        step.c1 = (float)(1 - pow((double)step.beta1, s));
        step.c2 = (float)(1 - pow((double)step.beta2, s));
        ref_optim_adamw(w, dw, m, v, 3, &step);
        for (int i = 0; i < 3; i++) {
            double sign = dw[i] > 0 ? 1 : dw[i] < 0 ? -1 : 0;
            double want = (double)before[i] * (1 - 0.01 * 0.1) - 0.01 * sign;
            assert_true(fabs((double)w[i] - want) < 1e-6);
        }
    }
    assert_true(fabs((double)m[1] - -20 * (1 - 0.9 * 0.9 * 0.9)) < 1e-5);
}

static void test_sums(void **state)
{
    (void)state;
    const float x[] = { 3, -4, NAN, INFINITY, -INFINITY };
    uint64_t bad = 0;
    assert_true(ref_optim_sumsq(x, 5, &bad) == 25 && bad == 3);
    const uint32_t a[] = { 0, 0xffffffffu, 5 }, b[] = { 0xffffffffu, 0xffffffffu, 6 };
    assert_int_equal(ref_optim_flips(a, b, 3), 34);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_estimators), cmocka_unit_test(test_adamw), cmocka_unit_test(test_sums) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

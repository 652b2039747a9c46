/* test_fd_loss: the gradients of the loss references, and what is known of their values. */
#include "fd.h"

#include <string.h>

#include "ref/ref_loss.h"

#define NO_TARGET 0xffffffffu
enum { T = 4, V = 9, D = 7 };
static const double scale = 1.7;

static struct {
    float student[T * V], teacher[T * V], hidden[T * D], wanted[T * D], gradient[T * V], spare[T * V];
    double loss[T * 2];
    uint32_t targets[T];
} at;

static double xent(void *context)
{
    double sum = 0;
    (void)context;
    ref_loss_xent(at.loss, at.spare, at.student, at.targets, T, V, scale);
    for (int t = 0; t < T; t++) sum += scale * at.loss[t];
    return sum;
}

static double divergence(void *context)
{
    double sum = 0;
    (void)context;
    ref_loss_kd_xent(at.loss, at.spare, at.student, at.teacher, at.targets, T, V, scale);
    for (int t = 0; t < T; t++) sum += scale * at.loss[2 * t];
    return sum;
}

static double hidden_cos(void *context)
{
    double sum = 0;
    (void)context;
    ref_loss_hidden_cos(at.loss, at.spare, at.hidden, at.wanted, T, D, scale);
    for (int t = 0; t < T; t++) sum += scale * at.loss[t];
    return sum;
}

static double hidden_mse(void *context)
{
    double sum = 0;
    (void)context;
    ref_loss_hidden_mse(at.loss, at.spare, at.hidden, at.wanted, T, D, scale);
    for (int t = 0; t < T; t++) sum += scale * at.loss[t];
    return sum;
}

static int set_up(void **state)
{
    (void)state;
    obi_rng rng = obi_rng_seed(5);
    memset(&at, 0, sizeof at);
    fd_random(&rng, at.student, T * V, 1.5);
    fd_random(&rng, at.teacher, T * V, 1.5);
    fd_random(&rng, at.hidden, T * D, 2.0);
    fd_random(&rng, at.wanted, T * D, 1.0);
    for (uint32_t t = 0; t < T; t++) at.targets[t] = t == 2 ? NO_TARGET : (t * 5 + 1) % V;
    return 0;
}

static void test_xent(void **state)
{
    (void)state;
    ref_loss_xent(at.loss, at.gradient, at.student, at.targets, T, V, scale);
    assert_true(at.loss[2] == 0 && at.gradient[2 * V] == 0);
    fd_check("dlogits", xent, NULL, at.student, T * V, at.gradient, 1e-6);
    for (int t = 0; t < T; t++) {
        double sum = 0; /* adding a constant to a row changes nothing */
        for (int i = 0; i < V; i++) sum += (double)at.gradient[t * V + i];
        assert_true(fabs(sum) < 1e-6);
    }
}

static void test_equal_logits_cost_log_v(void **state)
{
    (void)state;
    for (int i = 0; i < T * V; i++) at.student[i] = 3.0f;
    ref_loss_xent(at.loss, at.spare, at.student, at.targets, T, V, scale);
    assert_true(fabs(at.loss[0] - log(V)) < 1e-12);
    ref_loss_kd_xent(at.loss, at.spare, at.teacher, at.student, at.targets, T, V, scale);
    assert_true(fabs(at.loss[1] - log(V)) < 1e-12); /* entropy */
}

static void test_divergence(void **state)
{
    (void)state;
    ref_loss_kd_xent(at.loss, at.gradient, at.student, at.teacher, at.targets, T, V, scale);
    assert_true(at.loss[0] > 0 && at.loss[4] == 0 && at.gradient[2 * V] == 0);
    fd_check("dstudent", divergence, NULL, at.student, T * V, at.gradient, 1e-6);
}

static void test_no_divergence_from_oneself(void **state)
{
    (void)state;
    ref_loss_kd_xent(at.loss, at.gradient, at.teacher, at.teacher, at.targets, T, V, scale);
    for (int t = 0; t < T; t++) assert_true(at.loss[2 * t] == 0);
    for (int i = 0; i < T * V; i++) assert_true(at.gradient[i] == 0);
}

/* Cross entropy against a teacher that is sure is the next-token loss. */
static void test_a_sure_teacher_is_a_target(void **state)
{
    (void)state;
    float hard[T * V];
    double soft[T * 2];
    for (uint32_t t = 0; t < T; t++) at.teacher[t * V + (at.targets[t] < V ? at.targets[t] : 0)] = 900.0f;
    ref_loss_kd_xent(soft, at.gradient, at.student, at.teacher, at.targets, T, V, scale);
    ref_loss_xent(at.loss, hard, at.student, at.targets, T, V, scale);
    for (int t = 0; t < T; t++) assert_true(fabs(soft[2 * t] + soft[2 * t + 1] - at.loss[t]) < 1e-9);
    for (int i = 0; i < T * V; i++) assert_true(fabs((double)(at.gradient[i] - hard[i])) < 1e-6);
}

static void test_hidden_cos(void **state)
{
    (void)state;
    memset(at.gradient, 0, sizeof at.gradient);
    ref_loss_hidden_cos(at.loss, at.gradient, at.hidden, at.wanted, T, D, scale);
    fd_check("dh", hidden_cos, NULL, at.hidden, T * D, at.gradient, 1e-6);
    for (int t = 0; t < T; t++) {
        double along = 0; /* the length of the student's row does not matter */
        for (int i = 0; i < D; i++) along += (double)at.gradient[t * D + i] * (double)at.hidden[t * D + i];
        assert_true(fabs(along) < 1e-6);
    }
}

static void test_hidden_mse(void **state)
{
    (void)state;
    memset(at.gradient, 0, sizeof at.gradient);
    ref_loss_hidden_mse(at.loss, at.gradient, at.hidden, at.wanted, T, D, scale);
    fd_check("dh", hidden_mse, NULL, at.hidden, T * D, at.gradient, 1e-6);
}

static void test_hidden_ends(void **state)
{
    (void)state;
    memset(at.gradient, 0, sizeof at.gradient);
    for (int i = 0; i < D; i++) {
        at.hidden[i] = 3 * at.wanted[i];          /* row 0: the same direction */
        at.hidden[D + i] = -2 * at.wanted[D + i]; /* row 1: the opposite */
        at.hidden[2 * D + i] = 0;                 /* row 2: none */
        at.wanted[3 * D + i] = 0;
    }
    ref_loss_hidden_cos(at.loss, at.gradient, at.hidden, at.wanted, T, D, scale);
    assert_true(at.loss[0] < 1e-12);
    assert_true(fabs(at.loss[1] - 4) < 1e-12);
    assert_true(at.loss[2] == 0 && at.loss[3] == 0);
    for (int i = 2 * D; i < 4 * D; i++) assert_true(at.gradient[i] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_xent, set_up),
        cmocka_unit_test_setup(test_equal_logits_cost_log_v, set_up),
        cmocka_unit_test_setup(test_divergence, set_up),
        cmocka_unit_test_setup(test_no_divergence_from_oneself, set_up),
        cmocka_unit_test_setup(test_a_sure_teacher_is_a_target, set_up),
        cmocka_unit_test_setup(test_hidden_cos, set_up),
        cmocka_unit_test_setup(test_hidden_mse, set_up),
        cmocka_unit_test_setup(test_hidden_ends, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

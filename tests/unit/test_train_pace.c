/* The time left that onebit-train-vk shows: steady over evaluations, and following a machine that changes its speed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apps/onebit-train-vk/pace.c"

static void test_steady(void **state)
{
    (void)state;
    train_pace pace = { 0 };
    assert_true(train_pace_left(&pace, 10) < 0);
    assert_true(train_pace_left(&pace, 0) == 0);
    train_pace_step(&pace, 100); /* the first step, with the making of pipelines before it, says nothing */
    assert_true(train_pace_left(&pace, 10) < 0);
    for (int i = 1; i <= 20; i++) train_pace_step(&pace, 100 + 0.5 * i);
    assert_true(fabs(train_pace_left(&pace, 30) - 15) < 1e-9);
}

static void test_evaluations_are_spread(void **state)
{
    (void)state;
    train_pace pace = { 0 };
    double now = 1, least = INFINITY, most = 0;
    for (int step = 1; step <= 2000; step++) { /* a step takes 0.2 s; every 20th is followed by 4 s of an evaluation: 0.4 s a step */
        train_pace_step(&pace, now);
        if (step > 500) {
            least = fmin(least, train_pace_left(&pace, 1000));
            most = fmax(most, train_pace_left(&pace, 1000));
        }
        now += step % 20 ? 0.2 : 4.2;
    }
    assert_true(least > 380 && most < 420);
}

static void test_follows(void **state)
{
    (void)state;
    train_pace pace = { 0 };
    double now = 1;
    for (int i = 0; i < 1000; i++) train_pace_step(&pace, now += 1);
    for (int i = 0; i < 120; i++) train_pace_step(&pace, now += 3); /* the machine is shared now: six minutes, three half-lives */
    assert_true(train_pace_left(&pace, 100) > 240 && train_pace_left(&pace, 100) < 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_steady), cmocka_unit_test(test_evaluations_are_spread),
                                        cmocka_unit_test(test_follows) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

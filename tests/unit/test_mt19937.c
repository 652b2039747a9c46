/* mt19937: the numbers of CPython's random module (3.11), as printed by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apps/onebit-eval-vk/mt19937.c"

/* random.seed(0); [random.getrandbits(32) ...] */
static void numbers(void **state)
{
    (void)state;
    static const uint32_t first[] = { 3626764237u, 1654615998u, 3255389356u, 3823568514u };
    mt19937 random;
    mt19937_seed(&random, 0);
    for (int i = 0; i < 4; i++) assert_int_equal(mt19937_next(&random), first[i]);
    for (int i = 4; i < 1000; i++) mt19937_next(&random); /* the state is made anew meanwhile */
    assert_int_equal(mt19937_next(&random), 126175447u);
    assert_int_equal(mt19937_up_to(&random, 999), 358 - 5); /* randint(5, 1004) */
    mt19937_seed(&random, 42);
    assert_int_equal(mt19937_next(&random), 2746317213u);
}

/* random.seed(0); random.randint(0, 45575): the first documents that the protocol of C4 looks at. */
static void draws(void **state)
{
    (void)state;
    static const uint32_t documents[] = { 25247, 27562, 2653, 16968, 33506, 31845, 26537, 19877 }, sevenths[] = { 2, 4, 3, 3, 6, 6 };
    mt19937 random;
    mt19937_seed(&random, 0);
    for (int i = 0; i < 8; i++) assert_int_equal(mt19937_up_to(&random, 45575), documents[i]);
    mt19937_seed(&random, 0);
    for (int i = 0; i < 3; i++) assert_int_equal(mt19937_up_to(&random, 0), 0); /* without a choice numbers are drawn all the same */
    for (int i = 0; i < 6; i++) assert_int_equal(mt19937_up_to(&random, 6), sevenths[i]);
    assert_int_equal(mt19937_up_to(&random, 1u << 31), 1302718217u);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(numbers), cmocka_unit_test(draws) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_workers: every item is done once, whatever the sizes, round after round, and what was written is seen. */
#include "core/workers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ITEMS 10000

static uint32_t done[ITEMS + 1];

static void count_items(void *user, uint32_t first, uint32_t count)
{
    (void)user;
    if (count == 0 || first + count > ITEMS) abort(); /* cmocka's own ways out are for its thread */
    for (uint32_t i = first; i < first + count; i++) done[i]++;
}

static void run_all(obi_workers *workers)
{
    static const uint32_t sizes[] = { 0, 1, 2, 3, 63, 64, 65, 1000, ITEMS }, at_once[] = { 0, 1, 2, 7, 64, 100000 };
    for (uint32_t round = 0; round < 50; round++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            uint32_t most = at_once[(round + s) % (sizeof at_once / sizeof *at_once)];
            memset(done, 0, sizeof done);
            obi_workers_run(workers, count_items, NULL, sizes[s], most);
            for (uint32_t i = 0; i <= ITEMS; i++) assert_int_equal(done[i], i < sizes[s]);
        }
}

static void test_alone(void **state)
{
    (void)state;
    run_all(NULL);
}

static void test_threads(void **state)
{
    (void)state;
    obi_workers *workers = obi_workers_create();
    assert_non_null(workers);
    run_all(workers);
    obi_workers_destroy(workers);
    for (int i = 0; i < 20; i++) obi_workers_destroy(obi_workers_create()); /* threads that never had work */
    obi_workers_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_alone), cmocka_unit_test(test_threads) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_selftest_rows: ob_selftest runs every kernel and says of each what came out. */
#include "api.h"

typedef struct rows_seen { unsigned count, kernels; char last[64], tier_max; } rows_seen;

static void on_row(const ob_selftest_row *row, void *user)
{
    rows_seen *seen = user;
    assert_true(row->kernel[0] && row->tier >= 'A' && row->tier <= seen->tier_max);
    if (!row->passed || !(row->worst >= 0 && row->worst <= 1))
        fail_msg("%s, tier %c: %g, %s", row->kernel, row->tier, row->worst, row->detail);
    assert_true(row->seconds >= 0);
    assert_non_null(row->detail);
    if (strcmp(seen->last, row->kernel) != 0) seen->kernels++;
    snprintf(seen->last, sizeof seen->last, "%s", row->kernel);
    seen->count++;
}

static void test_selftest(void **state)
{
    (void)state;
    ob_context *context;
    API_OK(ob_context_create(&context, &(ob_context_desc){ .cache_dir = "", .skip_selftest = true, .validation = API_VALIDATION }));
    ob_device_info info;
    API_OK(ob_context_info(context, &info));
    rows_seen seen = { .tier_max = info.tier };
    API_OK(ob_selftest(context, on_row, &seen));
    assert_true(seen.kernels >= 15 && seen.count >= seen.kernels);
    assert_int_equal(ob_context_validation_messages(context), 0);
    ob_context_destroy(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_selftest) };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}

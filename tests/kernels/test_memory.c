/* test_memory: buffers in arenas: apart from each other, aligned, taken again after they were freed, few allocations. */
#include "device.h"

#include <string.h>

#include "core/rng.h"

static void test_ranges_are_apart_and_aligned(void **state)
{
    (void)state;
    enum { N = 200 };
    obi_device *device = test_device();
    obi_buffer *buffers[N];
    obi_rng rng = obi_rng_seed(1);
    for (int i = 0; i < N; i++) TEST_OK(obi_buffer_create(device, 1 + obi_rng_next(&rng) % 100000, i % 3, &buffers[i]));
    for (int i = 0; i < N; i++) {
        assert_int_equal(buffers[i]->offset % OBI_BUFFER_ALIGNMENT, 0);
        assert_true(buffers[i]->reserved >= buffers[i]->size);
        assert_true((buffers[i]->kind == OBI_MEMORY_DEVICE) == (buffers[i]->mapped == NULL));
        for (int j = 0; j < i; j++)
            assert_true(buffers[i]->arena != buffers[j]->arena || buffers[i]->offset + buffers[i]->reserved <= buffers[j]->offset ||
                        buffers[j]->offset + buffers[j]->reserved <= buffers[i]->offset);
    }
    assert_true(device->memory.allocations <= 3); /* one arena for each memory type in use */
    for (int i = 0; i < N; i++) obi_buffer_destroy(device, buffers[(i * 77) % N]); /* in another order */
    assert_int_equal(device->memory.used_bytes, 0);
    assert_int_equal(device->memory.reserved_bytes, 0);
    assert_int_equal(device->memory.allocations, 0);
}

static void test_freed_space_is_taken_again(void **state)
{
    (void)state;
    obi_device *device = test_device();
    obi_buffer *first, *second, *third, *whole;
    TEST_OK(obi_buffer_create(device, 5 << 20, OBI_MEMORY_DEVICE, &first));
    TEST_OK(obi_buffer_create(device, 5 << 20, OBI_MEMORY_DEVICE, &second));
    TEST_OK(obi_buffer_create(device, 5 << 20, OBI_MEMORY_DEVICE, &third));
    assert_int_equal(device->memory.allocations, 1);
    uint64_t offset = first->offset;
    obi_buffer_destroy(device, first);
    obi_buffer_destroy(device, second); /* the two holes are one now */
    TEST_OK(obi_buffer_create(device, 10 << 20, OBI_MEMORY_DEVICE, &whole));
    assert_int_equal(device->memory.allocations, 1);
    assert_int_equal(whole->offset, offset);
    obi_buffer_destroy(device, whole);
    obi_buffer_destroy(device, third);
    assert_int_equal(device->memory.allocations, 0);
}

/* Arenas grow to 256 MiB and no further: 40 buffers of 60 MiB make a dozen allocations, not forty. */
static void test_arenas_grow_to_256_mib(void **state)
{
    (void)state;
    enum { N = 40 };
    obi_device *device = test_device();
    obi_buffer *buffers[N];
    for (int i = 0; i < N; i++) TEST_OK(obi_buffer_create(device, 60 << 20, OBI_MEMORY_DEVICE, &buffers[i]));
    print_message("40 buffers of 60 MiB: %u allocations, %llu MiB\n", device->memory.allocations,
                  (unsigned long long)(device->memory.reserved_bytes >> 20));
    assert_true(device->memory.allocations <= 14);
    assert_true(device->memory.reserved_bytes <= (uint64_t)device->memory.allocations * (256 << 20));
    for (int i = 0; i < N; i++) obi_buffer_destroy(device, buffers[i]);
    assert_int_equal(device->memory.allocations, 0);
}

/* Arenas to the measure of a need that is known, an arena of its own for a large buffer, and transfers apart from both. */
static void test_expected_memory(void **state)
{
    (void)state;
    enum { N = 30 };
    obi_device *device = test_device();
    obi_buffer *buffers[N], *large, *staging;
    obi_memory_expect(device, 3 << 20);
    TEST_OK(obi_buffer_create(device, 8 << 20, OBI_MEMORY_UPLOAD, &staging));
    for (int i = 0; i < N; i++) TEST_OK(obi_buffer_create(device, 100 << 10, OBI_MEMORY_DEVICE, &buffers[i]));
    assert_int_equal(device->memory.reserved_bytes, 11 << 20);
    obi_buffer_destroy(device, staging);
    assert_int_equal(device->memory.reserved_bytes, 3 << 20);
    TEST_OK(obi_buffer_create(device, 130 << 20, OBI_MEMORY_DEVICE, &large));
    assert_int_equal(device->memory.reserved_bytes, 133 << 20);
    assert_int_equal(device->memory.peak_bytes, 133 << 20);
    obi_buffer_destroy(device, large);
    for (int i = 0; i < N; i++) obi_buffer_destroy(device, buffers[i]);
    obi_memory_expect(device, 0);
    assert_int_equal(device->memory.peak_bytes, 0);
    assert_int_equal(device->memory.transfer_bytes, 0);
    TEST_OK(obi_buffer_create(device, 100, OBI_MEMORY_DEVICE, &large));
    assert_int_equal(device->memory.reserved_bytes, 16 << 20);
    obi_buffer_destroy(device, large);
}

static void test_what_cannot_fit_is_refused_with_numbers(void **state)
{
    (void)state;
    obi_device *device = test_device();
    TEST_OK(obi_memory_fits(device, 1 << 20, "small things"));
    assert_int_equal(obi_memory_fits(device, 1ull << 50, "the weights"), OBI_ERROR_MEMORY);
    assert_non_null(strstr(obi_last_error(), "the weights need 1073741824.0 MiB"));
    obi_buffer *none;
    assert_int_equal(obi_buffer_create(device, 0, OBI_MEMORY_DEVICE, &none), OBI_ERROR_ARGUMENT);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_are_apart_and_aligned),
        cmocka_unit_test(test_freed_space_is_taken_again),
        cmocka_unit_test(test_arenas_grow_to_256_mib),
        cmocka_unit_test(test_expected_memory),
        cmocka_unit_test(test_what_cannot_fit_is_refused_with_numbers),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

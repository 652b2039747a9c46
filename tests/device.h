/* device: the GPU that a test program runs on. The environment chooses it (VK_ICD_FILENAMES, LP_NATIVE_VECTOR_WIDTH,
 * ONEBIT_TIER); the validation layer with synchronization validation is on, and any message of it fails the program.
 *
 *     int main(void)
 *     {
 *         const struct CMUnitTest tests[] = { cmocka_unit_test(...) };
 *         return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
 *     }
 */
#ifndef OB_TESTS_DEVICE_H
#define OB_TESTS_DEVICE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gpu/device.h"
#include "selftest/selftest.h"

/* Opened on the first call, once a process; no pipeline cache. Without a device the program ends with a message and
 * exit code 1: a GPU test that ran nowhere has shown nothing. */
obi_device *test_device(void);

/* Leaves out the families of products with activations in bytes, for tests that compare with f32. */
void test_leave_out_bytes(void);

/* Fails the calling test when the validation layer has said anything since the program began. */
void test_device_check(void);

/* Closes the device. Returns main's exit code: 0 when `failed_tests` is 0 and validation said nothing, the messages
 * while closing (leaked objects) included. */
int test_device_finish(int failed_tests);

/* An environment for cases on test_device(), made on the first call and destroyed by test_device_finish. */
obi_case_env *test_env(void);

/* Runs a case with these sizes (the rest 0) at every tier that the device offers and the kernel has, and fails the
 * test with kernel, tier, sizes and place where it is wrong. The device's kernel_tier is restored. */
void test_case(const obi_case *test, const uint32_t sizes[OBI_CASE_SIZES]);
#define TEST_CASE(test, ...) test_case(&(test), (const uint32_t[OBI_CASE_SIZES]){ __VA_ARGS__ })

/* The statement must give OBI_OK; otherwise the last error is the message. */
#define TEST_OK(expression)                                                                              \
    do {                                                                                                 \
        if ((expression) != OBI_OK) fail_msg("%s: %s", #expression, obi_last_error());                   \
    } while (0)

#endif

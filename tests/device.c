#include "device.h"

#include <string.h>

#include "core/log.h"

static obi_device *device;
static obi_case_env *env;
static unsigned validation_lines; /* tests are one thread */

static void on_log(obi_log_level level, const char *message, void *user)
{
    (void)user;
    if (strncmp(message, "Vulkan validation:", 18) == 0) validation_lines++;
    if (level <= OBI_LOG_WARNING) fprintf(stderr, "%s\n", message);
}

obi_device *test_device(void)
{
    if (device) return device;
    obi_log_set(on_log, NULL);
    const char *without = getenv("ONEBIT_TEST_WITHOUT_VALIDATION"); /* where the system's loader has no layers: Wine's */
    obi_device_desc desc = { .validation = !without, .cache_dir = "" };
    if (obi_device_open(&device, &desc) != OBI_OK) {
        fprintf(stderr, "this test needs a Vulkan device with the validation layer: %s\n", obi_last_error());
        exit(1);
    }
    fprintf(stderr, "device: %s, %s, subgroup %u, tier %s\n", device->caps.name, device->caps.driver, device->caps.subgroup_size,
            obi_tier_name(device->tier));
    return device;
}

void test_leave_out_bytes(void)
{
    test_device()->kernel_off[OBI_KERNEL_BITLINEAR_QUANTISE] = true;
    test_device()->kernel_off[OBI_KERNEL_BITLINEAR_GEMM_INT8_STRAIGHT] = true;
}

void test_device_check(void)
{
    unsigned messages = atomic_load(&test_device()->instance->messages);
    if (messages != 0) fail_msg("%u validation messages, the first: %s", messages, device->instance->first_message);
}

int test_device_finish(int failed_tests)
{
    if (!device) {
        fprintf(stderr, "no test of this program opened a device\n");
        return 1;
    }
    obi_case_env_destroy(env);
    env = NULL;
    unsigned messages = atomic_load(&device->instance->messages);
    if (messages != 0) fprintf(stderr, "%u validation messages, the first: %s\n", messages, device->instance->first_message);
    unsigned lines = validation_lines;
    obi_device_close(device);
    device = NULL;
    if (validation_lines != lines) fprintf(stderr, "%u validation messages while closing the device\n", validation_lines - lines);
    return failed_tests != 0 || messages != 0 || validation_lines != lines;
}

obi_case_env *test_env(void)
{
    if (!env) TEST_OK(obi_case_env_create(test_device(), &env));
    return env;
}

void test_case(const obi_case *test, const uint32_t sizes[OBI_CASE_SIZES])
{
    obi_case_env *at = test_env();
    obi_tier before = device->kernel_tier[test->kernel];
    for (int tier = OBI_TIER_A; tier <= (int)device->tier; tier++) {
        if (!obi_kernels[test->kernel].tier[tier].words) continue;
        obi_case_result result = { 0 };
        device->kernel_tier[test->kernel] = (obi_tier)tier;
        obi_case_env_clear(at);
        obi_status status = test->run(at, sizes, &result);
        device->kernel_tier[test->kernel] = before;
        if (status != OBI_OK || !(result.worst <= 1.0))
            fail_msg("%s, tier %s, sizes (%s) = %u %u %u %u %u %u: %s", test->name, obi_tier_name((obi_tier)tier), test->size_names,
                     sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], status == OBI_OK ? result.where : obi_last_error());
    }
    obi_case_env_clear(at);
    test_device_check();
}

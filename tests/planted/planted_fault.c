/* Commits one known fault, named by the argument, the way a broken kernel, op or test would. tests/CMakeLists.txt
 * expects each run to fail with the right words: what guards the GPU tests is itself tested. */
#include "device.h"

#include <string.h>

static void nothing(void **state)
{
    (void)state;
    test_device_check();
}

static void wrong_number(void **state)
{
    (void)state;
    test_device();
    assert_int_equal(1, 2);
}

/* A buffer of no bytes is not allowed. */
static void misuse(void **state)
{
    (void)state;
    obi_device *device = test_device();
    VkBufferCreateInfo info = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = 0, .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT };
    VkBuffer buffer = VK_NULL_HANDLE;
    device->vk.vkCreateBuffer(device->handle, &info, NULL, &buffer);
    device->vk.vkDestroyBuffer(device->handle, buffer, NULL);
    test_device_check();
}

static void leaked_object(void **state)
{
    (void)state;
    obi_device *device = test_device();
    VkSemaphoreCreateInfo info = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO };
    VkSemaphore semaphore;
    assert_int_equal(device->vk.vkCreateSemaphore(device->handle, &info, NULL, &semaphore), VK_SUCCESS);
    test_device_check(); /* nothing is wrong yet: it shows when the device is closed */
}

/* Two writes of the same bytes with nothing between them. */
static void missing_barrier(void **state)
{
    (void)state;
    obi_device *device = test_device();
    obi_buffer *buffer;
    TEST_OK(obi_buffer_create(device, 1024, OBI_MEMORY_DEVICE, &buffer));
    VkCommandPoolCreateInfo pool_info = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .queueFamilyIndex = device->caps.queue_family };
    VkCommandPool pool;
    assert_int_equal(device->vk.vkCreateCommandPool(device->handle, &pool_info, NULL, &pool), VK_SUCCESS);
    VkCommandBufferAllocateInfo allocate = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = pool,
                                             .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY, .commandBufferCount = 1 };
    VkCommandBuffer commands;
    assert_int_equal(device->vk.vkAllocateCommandBuffers(device->handle, &allocate, &commands), VK_SUCCESS);
    VkCommandBufferBeginInfo begin = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO };
    assert_int_equal(device->vk.vkBeginCommandBuffer(commands, &begin), VK_SUCCESS);
    device->vk.vkCmdFillBuffer(commands, buffer->handle, 0, 1024, 1);
    device->vk.vkCmdFillBuffer(commands, buffer->handle, 0, 1024, 2);
    assert_int_equal(device->vk.vkEndCommandBuffer(commands), VK_SUCCESS);
    device->vk.vkDestroyCommandPool(device->handle, pool, NULL);
    obi_buffer_destroy(device, buffer);
    test_device_check();
}

/* A workgroup larger than the device has, here a larger one that a layer makes look small. */
static void beyond_profile(void **state)
{
    (void)state;
    obi_device *device = test_device();
    uint32_t invocations = device->caps.workgroup_size * 2;
    VkPipeline pipeline;
    TEST_OK(obi_pipeline_get(device, OBI_KERNEL_ACT_RELU_FWD, &invocations, 1, &pipeline));
    test_device_check();
}

/* A group that never asks for the device would pass on a machine without one. */
static void nothing_tested(void **state)
{
    (void)state;
}

/* The next two show under AddressSanitizer only: the driver's and the layer's own leaks are suppressed, ours are not. */
static void leaked_bytes(void **state)
{
    (void)state;
    test_device();
    void *volatile bytes = malloc(77);
    bytes = NULL;
    (void)bytes;
}

static void overrun(void **state)
{
    (void)state;
    test_device();
    char *volatile bytes = malloc(16); /* volatile: the compiler must not know its size, or UBSan speaks first */
    assert_non_null(bytes);
    bytes[16] = 1;
    free(bytes);
}

int main(int argument_count, char **arguments)
{
    static const struct { const char *name; CMUnitTestFunction function; } faults[] = {
        { "no_device", nothing },
        { "nothing_tested", nothing_tested },
        { "wrong_number", wrong_number },
        { "misuse", misuse },
        { "missing_barrier", missing_barrier },
        { "beyond_profile", beyond_profile },
        { "leaked_object", leaked_object },
        { "leaked_bytes", leaked_bytes },
        { "overrun", overrun },
    };
    for (size_t i = 0; argument_count == 2 && i < sizeof faults / sizeof *faults; i++) {
        if (strcmp(arguments[1], faults[i].name) != 0) continue;
        const struct CMUnitTest tests[] = { { faults[i].name, faults[i].function, NULL, NULL, NULL } };
        return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
    }
    fprintf(stderr, "usage: %s FAULT\n", arguments[0]);
    return 2;
}

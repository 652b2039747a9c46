/* test_validation: is the gate that every GPU test relies on really closed? Plants missing barriers and expects the
 * validation layer's messages; then the right barrier, and expects silence. */
#include "device.h"

#include <string.h>

/* A command buffer of our own: obi_cmd would put the barriers in. */
typedef struct raw { VkCommandPool pool; VkCommandBuffer handle; } raw;

static raw raw_begin(obi_device *device)
{
    raw made = { 0 };
    VkCommandPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, .queueFamilyIndex = device->caps.queue_family };
    assert_int_equal(device->vk.vkCreateCommandPool(device->handle, &pool, NULL, &made.pool), VK_SUCCESS);
    VkCommandBufferAllocateInfo buffer = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = made.pool,
                                           .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY, .commandBufferCount = 1 };
    assert_int_equal(device->vk.vkAllocateCommandBuffers(device->handle, &buffer, &made.handle), VK_SUCCESS);
    VkCommandBufferBeginInfo begin = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                       .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT };
    assert_int_equal(device->vk.vkBeginCommandBuffer(made.handle, &begin), VK_SUCCESS);
    return made;
}

static void raw_end(obi_device *device, raw commands)
{
    assert_int_equal(device->vk.vkEndCommandBuffer(commands.handle), VK_SUCCESS);
    device->vk.vkDestroyCommandPool(device->handle, commands.pool, NULL);
}

/* What the layer said since the last call; and forgets it. */
static unsigned take_messages(obi_device *device, char *first, size_t room)
{
    unsigned count = atomic_exchange(&device->instance->messages, 0);
    (void)snprintf(first, room, "%s", device->instance->first_message);
    memset(device->instance->first_message, 0, sizeof device->instance->first_message);
    return count;
}

/* Fills buffer a, then copies it to b. */
static unsigned fill_and_copy(bool with_barrier, char *first, size_t room)
{
    obi_device *device = test_device();
    test_device_check();
    obi_buffer *a, *b;
    TEST_OK(obi_buffer_create(device, 1024, OBI_MEMORY_DEVICE, &a));
    TEST_OK(obi_buffer_create(device, 1024, OBI_MEMORY_DEVICE, &b));
    raw commands = raw_begin(device);
    device->vk.vkCmdFillBuffer(commands.handle, a->handle, 0, 1024, 1);
    VkMemoryBarrier barrier = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT };
    if (with_barrier)
        device->vk.vkCmdPipelineBarrier(commands.handle, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &barrier, 0,
                                        NULL, 0, NULL);
    VkBufferCopy region = { 0, 0, 1024 };
    device->vk.vkCmdCopyBuffer(commands.handle, a->handle, b->handle, 1, &region);
    raw_end(device, commands);
    obi_buffer_destroy(device, a);
    obi_buffer_destroy(device, b);
    return take_messages(device, first, room);
}

static void test_a_missing_barrier_is_reported(void **state)
{
    (void)state;
    char first[512];
    fprintf(stderr, "the next message is expected:\n");
    assert_int_equal(fill_and_copy(false, first, sizeof first), 1);
    assert_non_null(strstr(first, "SYNC-HAZARD-READ-AFTER-WRITE"));
}

static void test_a_barrier_in_its_place_is_silent(void **state)
{
    (void)state;
    char first[512];
    assert_int_equal(fill_and_copy(true, first, sizeof first), 0);
}

static void test_a_wrong_call_is_reported(void **state)
{
    (void)state;
    char first[512];
    obi_device *device = test_device();
    obi_buffer *buffer;
    TEST_OK(obi_buffer_create(device, 1024, OBI_MEMORY_DEVICE, &buffer));
    raw commands = raw_begin(device);
    fprintf(stderr, "the next message is expected:\n");
    device->vk.vkCmdFillBuffer(commands.handle, buffer->handle, 2, 4, 0); /* the offset must be a multiple of 4 */
    raw_end(device, commands);
    obi_buffer_destroy(device, buffer);
    assert_true(take_messages(device, first, sizeof first) > 0);
    assert_non_null(strstr(first, "VUID-vkCmdFillBuffer"));
}

/* Instances without the layer, as obi_device_list makes them, do not take the messenger's functions from one that has it. */
static void test_an_instance_without_the_layer_in_between(void **state)
{
    (void)state;
    obi_instance *watched, *plain;
    TEST_OK(obi_instance_create(&watched, true));
    TEST_OK(obi_instance_create(&plain, false));
    obi_instance_destroy(watched);
    obi_instance_destroy(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_missing_barrier_is_reported),
        cmocka_unit_test(test_a_barrier_in_its_place_is_silent),
        cmocka_unit_test(test_a_wrong_call_is_reported),
        cmocka_unit_test(test_an_instance_without_the_layer_in_between),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}

/* test_vulkan: a context on a device that the host made: the same text, nothing of the host's touched, nothing left behind. */
#include "host.h"

#define IDS 24
static const char model_path[] = OB_SOURCE_DIR "/models/stories-onebit.gguf";

static ob_context *adopt(host *own, char tier)
{
    ob_context *context;
    ob_vulkan_desc vulkan = host_desc(own);
    ob_context_desc desc = { .cache_dir = scratch_directory, .skip_selftest = true, .tier = tier };
    API_OK(ob_context_create_vulkan(&context, &desc, &vulkan));
    return context;
}

/* A prompt in several batches and greedy tokens, on whatever context. */
static void generate(ob_context *context, uint32_t ids[IDS])
{
    ob_model *model;
    ob_session *session;
    uint32_t prompt[64];
    size_t count;
    const char *text = "Once upon a time, there was a little girl who had a red ball. One day";
    API_OK(ob_model_load(&model, context, &(ob_model_desc){ .path = model_path }));
    API_OK(ob_session_create(&session, model, &(ob_session_desc){ .context = 128, .batch = 8 }));
    API_OK(ob_model_tokenize(model, text, strlen(text), OB_TOKENIZE_BOS, prompt, 64, &count));
    API_OK(ob_session_feed(session, prompt, count));
    for (int i = 0; i < IDS; i++) {
        API_OK(ob_session_sample(session, &ids[i]));
        API_OK(ob_session_feed(session, &ids[i], 1));
    }
    ob_session_destroy(session);
    ob_model_destroy(model);
}

static void generate_alone(char tier, uint32_t ids[IDS])
{
    ob_context *context;
    ob_context_desc desc = { .cache_dir = scratch_directory, .skip_selftest = true, .tier = tier, .low_priority = true };
    API_OK(ob_context_create(&context, &desc));
    generate(context, ids);
    ob_context_destroy(context);
}

static void test_same_text(void **state)
{
    (void)state;
    uint32_t alone[IDS], adopted[IDS];
    generate_alone(0, alone);
    host own;
    host_make_instance(&own, VK_API_VERSION_1_2);
    host_make_device(&own, false);
    for (int round = 0; round < 2; round++) { /* the host's device outlives a context and takes the next */
        ob_context *context = adopt(&own, 0);
        ob_device_info info;
        API_OK(ob_context_info(context, &info));
        assert_int_equal(info.tier, api_device_tier());
        generate(context, adopted);
        ob_context_destroy(context);
        assert_memory_equal(adopted, alone, sizeof alone);
    }
    assert_true(own.locks > IDS);
    assert_int_equal(own.locks, host_submits); /* none without the lock */
    host_destroy(&own);
}

static void test_a_host_that_enabled_nothing(void **state)
{
    (void)state;
    for (unsigned version = 0; version < 2; version++) {
        uint32_t ids[IDS], expected[IDS];
        generate_alone('A', expected);
        host own;
        host_make_instance(&own, version ? VK_API_VERSION_1_1 : VK_API_VERSION_1_3);
        host_make_device(&own, true);
        ob_context *context = adopt(&own, 0);
        ob_device_info info;
        API_OK(ob_context_info(context, &info));
        assert_int_equal(info.tier, api_device_tier() < 'B' ? 'A' : 'B'); /* what subgroups can do needs no feature */
        ob_context *lowest = adopt(&own, 'A');
        generate(context, ids);
        assert_memory_equal(ids, expected, sizeof expected);
        generate(lowest, ids);
        assert_memory_equal(ids, expected, sizeof expected);
        ob_context_destroy(context);
        ob_context_destroy(lowest);
        host_destroy(&own);
    }
}

/* Two contexts on one device and queue, from two threads. */
typedef struct half { ob_context *context; uint32_t ids[IDS]; } half;

static void *generate_half(void *user)
{
    half *own = user;
    generate(own->context, own->ids);
    return NULL;
}

static void test_two_contexts_share_a_queue(void **state)
{
    (void)state;
    host own;
    host_make_instance(&own, VK_API_VERSION_1_2);
    host_make_device(&own, false);
    half halves[2];
    uint32_t alone[IDS];
    pthread_t threads[2];
    generate_alone(0, alone);
    for (int i = 0; i < 2; i++) halves[i].context = adopt(&own, 0);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, generate_half, &halves[i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++) {
        ob_context_destroy(halves[i].context);
        assert_memory_equal(halves[i].ids, alone, sizeof alone);
    }
    host_destroy(&own);
}

static void test_features_are_read_back(void **state)
{
    (void)state;
    host own;
    host_make_instance(&own, VK_API_VERSION_1_2);
    ob_vulkan_features wanted, found;
    API_OK(ob_vulkan_wanted_features(host_get_instance, own.instance, own.api_version, own.physical, &wanted));
    assert_int_equal(wanted.storage_buffer_16bit_access && wanted.shader_float16, api_device_tier() == 'C');
    host_make_device(&own, false);
    assert_memory_equal(&own.enabled, &wanted, sizeof wanted);

    /* The same by the structures that gather the features of a version. */
    const char *extensions[] = { "VK_KHR_swapchain", VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME };
    VkPhysicalDeviceVulkan13Features version13 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
                                                   .shaderIntegerDotProduct = VK_TRUE };
    VkPhysicalDeviceVulkan12Features version12 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &version13,
                                                   .shaderFloat16 = VK_TRUE, .bufferDeviceAddress = VK_TRUE };
    VkPhysicalDeviceVulkan11Features version11 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, .pNext = &version12,
                                                   .storageBuffer16BitAccess = VK_TRUE };
    VkPhysicalDeviceFeatures core = { .shaderInt64 = VK_TRUE };
    VkDeviceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &version11, .enabledExtensionCount = 2,
                                .ppEnabledExtensionNames = extensions, .pEnabledFeatures = &core };
    ob_vulkan_features_of(&info, &found);
    assert_true(found.shader_int64 && found.storage_buffer_16bit_access && found.shader_float16 && found.buffer_device_address &&
                found.shader_integer_dot_product);
    assert_int_equal(found.extension_count, 1);
    assert_string_equal(found.extensions[0], VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
    ob_vulkan_features_of(&(VkDeviceCreateInfo){ .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO }, &found);
    ob_vulkan_features none = { 0 };
    assert_memory_equal(&found, &none, sizeof none);
    host_destroy(&own);
}

static void test_what_cannot_be_adopted(void **state)
{
    (void)state;
    host own;
    host_make_instance(&own, VK_API_VERSION_1_2);
    host_make_device(&own, false);
    ob_context *context;
    const ob_context_desc desc = { .cache_dir = "", .skip_selftest = true };
    ob_vulkan_desc good = host_desc(&own), bad;
#define REFUSED(change, code, part)                                                \
    bad = good;                                                                    \
    bad.change;                                                                    \
    context = (ob_context *)&own;                                                  \
    API_FAILS(ob_context_create_vulkan(&context, &desc, &bad), code, part);        \
    assert_null(context)
    REFUSED(instance = VK_NULL_HANDLE, OB_ERROR_ARGUMENT, "instance");
    REFUSED(get_instance_proc_addr = NULL, OB_ERROR_ARGUMENT, "vkGetInstanceProcAddr");
    REFUSED(physical_device = VK_NULL_HANDLE, OB_ERROR_ARGUMENT, "physical device");
    REFUSED(device = VK_NULL_HANDLE, OB_ERROR_ARGUMENT, "device");
    REFUSED(queue = VK_NULL_HANDLE, OB_ERROR_ARGUMENT, "queue");
    REFUSED(queue_family = 77, OB_ERROR_ARGUMENT, "queue family 77");
    REFUSED(lock_queue = NULL, OB_ERROR_ARGUMENT, "lock");
    REFUSED(api_version = VK_API_VERSION_1_0, OB_ERROR_NO_DEVICE, "1.1");
    ob_vulkan_features wanted;
    API_FAILS(ob_vulkan_wanted_features(NULL, own.instance, own.api_version, own.physical, &wanted), OB_ERROR_ARGUMENT, "instance");
    API_FAILS(ob_vulkan_wanted_features(host_get_instance, own.instance, own.api_version, VK_NULL_HANDLE, &wanted), OB_ERROR_ARGUMENT,
              "physical device");
    API_FAILS(ob_vulkan_wanted_features(host_get_instance, own.instance, VK_API_VERSION_1_0, own.physical, &wanted), OB_ERROR_NO_DEVICE,
              "1.1");
    host_destroy(&own);
}

/* The cache directory is in there. */
static int close_scratch(void **state)
{
    (void)state;
    api_remove_tree(scratch_directory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_text), cmocka_unit_test(test_a_host_that_enabled_nothing),
                                        cmocka_unit_test(test_two_contexts_share_a_queue), cmocka_unit_test(test_features_are_read_back),
                                        cmocka_unit_test(test_what_cannot_be_adopted) };
    return cmocka_run_group_tests(tests, scratch_open, close_scratch);
}

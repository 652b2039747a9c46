/* host: a program with a Vulkan device of its own, as test programs play it: instance with the validation layer, device, one queue.
 * Its functions come through a vkGetInstanceProcAddr that counts what the library must not do to a device that is not its own. Host
 * and library both hold volk: they must not meet. Include once in a program. */
#ifndef OB_TESTS_HOST_H
#define OB_TESTS_HOST_H

#define VOLK_IMPLEMENTATION
#include <volk.h>

#include "api.h"

#include "onebit/onebit_vulkan.h"

typedef struct host {
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    uint32_t api_version;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t family;
    ob_vulkan_features enabled;
    pthread_mutex_t lock;
    unsigned locks, unlocks;
    unsigned messages;        /* of the validation layer */
    char first_message[512];
} host;

static unsigned host_misuses; /* calls that end or stop what is not the library's */
static char host_misuse[64];  /* the last of them */
static unsigned host_submits, host_waits, host_pipelines; /* calls of the library */

static VKAPI_ATTR VkBool32 VKAPI_CALL host_on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                      VkDebugUtilsMessageTypeFlagsEXT types,
                                                      const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    (void)severity;
    (void)types;
    host *own = user;
    if (own->messages++ == 0) snprintf(own->first_message, sizeof own->first_message, "%s", data->pMessage);
    return VK_FALSE;
}

/* ---- what is watched ------------------------------------------------------------------------------------------------- */

static void note_misuse(const char *name)
{
    host_misuses++;
    snprintf(host_misuse, sizeof host_misuse, "%s", name);
}

static VKAPI_ATTR void VKAPI_CALL watched_destroy_instance(VkInstance instance, const VkAllocationCallbacks *callbacks)
{
    (void)instance;
    (void)callbacks;
    note_misuse("vkDestroyInstance");
}

static VKAPI_ATTR void VKAPI_CALL watched_destroy_device(VkDevice device, const VkAllocationCallbacks *callbacks)
{
    (void)device;
    (void)callbacks;
    note_misuse("vkDestroyDevice");
}

static VKAPI_ATTR VkResult VKAPI_CALL watched_device_wait(VkDevice device)
{
    note_misuse("vkDeviceWaitIdle");
    return vkDeviceWaitIdle(device);
}

static VKAPI_ATTR VkResult VKAPI_CALL watched_queue_wait(VkQueue queue)
{
    note_misuse("vkQueueWaitIdle");
    return vkQueueWaitIdle(queue);
}

static VKAPI_ATTR VkResult VKAPI_CALL watched_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *submits, VkFence fence)
{
    __atomic_add_fetch(&host_submits, 1, __ATOMIC_RELAXED);
    return vkQueueSubmit(queue, count, submits, fence);
}

static VKAPI_ATTR VkResult VKAPI_CALL watched_wait(VkDevice device, uint32_t count, const VkFence *fences, VkBool32 all, uint64_t timeout)
{
    __atomic_add_fetch(&host_waits, 1, __ATOMIC_RELAXED);
    return vkWaitForFences(device, count, fences, all, timeout);
}

static VKAPI_ATTR VkResult VKAPI_CALL watched_pipelines(VkDevice device, VkPipelineCache cache, uint32_t count,
                                                        const VkComputePipelineCreateInfo *infos, const VkAllocationCallbacks *callbacks,
                                                        VkPipeline *pipelines)
{
    __atomic_add_fetch(&host_pipelines, 1, __ATOMIC_RELAXED);
    return vkCreateComputePipelines(device, cache, count, infos, callbacks, pipelines);
}

static PFN_vkVoidFunction watched(const char *name)
{
    if (strcmp(name, "vkDestroyInstance") == 0) return (PFN_vkVoidFunction)watched_destroy_instance;
    if (strcmp(name, "vkDestroyDevice") == 0) return (PFN_vkVoidFunction)watched_destroy_device;
    if (strcmp(name, "vkDeviceWaitIdle") == 0) return (PFN_vkVoidFunction)watched_device_wait;
    if (strcmp(name, "vkQueueWaitIdle") == 0) return (PFN_vkVoidFunction)watched_queue_wait;
    if (strcmp(name, "vkQueueSubmit") == 0) return (PFN_vkVoidFunction)watched_submit;
    if (strcmp(name, "vkWaitForFences") == 0) return (PFN_vkVoidFunction)watched_wait;
    if (strcmp(name, "vkCreateComputePipelines") == 0) return (PFN_vkVoidFunction)watched_pipelines;
    return NULL;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL host_get_device(VkDevice device, const char *name)
{
    PFN_vkVoidFunction found = watched(name);
    return found ? found : vkGetDeviceProcAddr(device, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL host_get_instance(VkInstance instance, const char *name)
{
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)host_get_device;
    PFN_vkVoidFunction found = watched(name);
    return found ? found : vkGetInstanceProcAddr(instance, name);
}

/* ---- making it --------------------------------------------------------------------------------------------------------- */

#define HOST_VK(call)                                                                          \
    do {                                                                                       \
        VkResult host_result_ = (call);                                                        \
        if (host_result_ != VK_SUCCESS) fail_msg("%s: VkResult %d", #call, (int)host_result_); \
    } while (0)

static inline void host_make_instance(host *own, uint32_t api_version)
{
    *own = (host){ .api_version = api_version, .lock = PTHREAD_MUTEX_INITIALIZER };
    HOST_VK(volkInitialize());
    const char *layers[] = { "VK_LAYER_KHRONOS_validation" }, *extensions[] = { VK_EXT_DEBUG_UTILS_EXTENSION_NAME };
    VkApplicationInfo application = { .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pApplicationName = "host", .apiVersion = api_version };
    VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT, .pfnUserCallback = host_on_message, .pUserData = own };
    VkValidationFeatureEnableEXT enables[] = { VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT };
    VkValidationFeaturesEXT features = { .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT, .pNext = &messenger,
                                         .enabledValidationFeatureCount = 1, .pEnabledValidationFeatures = enables };
    VkInstanceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pNext = &features, .pApplicationInfo = &application,
                                  .enabledLayerCount = 1, .ppEnabledLayerNames = layers, .enabledExtensionCount = 1,
                                  .ppEnabledExtensionNames = extensions };
    HOST_VK(vkCreateInstance(&info, NULL, &own->instance));
    volkLoadInstance(own->instance);
    messenger.pNext = NULL;
    HOST_VK(vkCreateDebugUtilsMessengerEXT(own->instance, &messenger, NULL, &own->messenger));
    uint32_t count = 1;
    VkResult result = vkEnumeratePhysicalDevices(own->instance, &count, &own->physical);
    assert_true(result == VK_SUCCESS || result == VK_INCOMPLETE);
    assert_int_equal(count, 1);
}

/* A device with what the library wants, or (bare) with nothing optional at all. */
static inline void host_make_device(host *own, bool bare)
{
    ob_vulkan_features wanted = { 0 };
    if (!bare) API_OK(ob_vulkan_wanted_features(host_get_instance, own->instance, own->api_version, own->physical, &wanted));
    ob_vulkan_chain chain;
    float priority = 1;
    VkDeviceQueueCreateInfo queue = { .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority };
    VkDeviceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue,
                                .enabledExtensionCount = wanted.extension_count, .ppEnabledExtensionNames = wanted.extensions };
    if (!bare) info.pNext = ob_vulkan_features_chain(&wanted, &chain, NULL);
    HOST_VK(vkCreateDevice(own->physical, &info, NULL, &own->device));
    volkLoadDevice(own->device);
    vkGetDeviceQueue(own->device, 0, 0, &own->queue);
    ob_vulkan_features_of(&info, &own->enabled);
}

/* The device still does the host's own work, nothing of it was touched, and nothing was left behind in it. */
static inline void host_destroy(host *own)
{
    VkSubmitInfo nothing = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO };
    HOST_VK(vkQueueSubmit(own->queue, 1, &nothing, VK_NULL_HANDLE));
    HOST_VK(vkDeviceWaitIdle(own->device));
    vkDestroyDevice(own->device, NULL); /* the layer names each object that is left */
    if (own->messages) fail_msg("%u messages of the validation layer, the first: %s", own->messages, own->first_message);
    vkDestroyDebugUtilsMessengerEXT(own->instance, own->messenger, NULL);
    vkDestroyInstance(own->instance, NULL);
    assert_int_equal(own->locks, own->unlocks);
    if (host_misuses) fail_msg("the library called %s", host_misuse);
}

static inline void host_lock(void *user)
{
    host *own = user;
    pthread_mutex_lock(&own->lock);
    own->locks++;
}

static inline void host_unlock(void *user)
{
    host *own = user;
    own->unlocks++;
    pthread_mutex_unlock(&own->lock);
}

static inline ob_vulkan_desc host_desc(host *own)
{
    return (ob_vulkan_desc){ .get_instance_proc_addr = host_get_instance, .instance = own->instance, .api_version = own->api_version,
                             .physical_device = own->physical, .device = own->device, .queue = own->queue, .queue_family = own->family,
                             .enabled = own->enabled, .lock_queue = host_lock, .unlock_queue = host_unlock, .user = own };
}

#endif

#define VOLK_IMPLEMENTATION
#include "gpu.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/term.h"

void gpu_must(VkResult result, const char *call)
{
    if (result >= 0) return;
    bool memory = result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY;
    int code = result == VK_ERROR_DEVICE_LOST ? 6 : memory ? 4 : 3;
    exit(app_refuse(code, "%.*s failed: VkResult %d", (int)strcspn(call, "("), call, (int)result));
}

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    (void)severity;
    (void)types;
    gpu *own = user;
    atomic_fetch_add(&own->messages, 1);
    app_note("validation: %s", data->pMessage);
    return VK_FALSE;
}

void gpu_make_instance(gpu *own, PFN_vkGetInstanceProcAddr get, uint32_t extension_count, const char *const *extensions, bool validation)
{
    if (get) volkInitializeCustom(get);
    else if (volkInitialize() != VK_SUCCESS) exit(app_refuse(3, "there is no Vulkan loader; on Debian: apt install libvulkan1"));
    own->api_version = volkGetInstanceVersion() >= VK_API_VERSION_1_2 ? VK_API_VERSION_1_2 : VK_API_VERSION_1_1;
    pthread_mutex_init(&own->lock, NULL);

    const char *names[16];
    uint32_t count = 0;
    while (count < extension_count && count < 15) {
        names[count] = extensions[count];
        count++;
    }
    if (validation) names[count++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    const char *layers[] = { "VK_LAYER_KHRONOS_validation" };
    VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT, .pfnUserCallback = on_message, .pUserData = own };
    VkValidationFeatureEnableEXT enables[] = { VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT };
    VkValidationFeaturesEXT features = { .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT, .pNext = &messenger,
                                         .enabledValidationFeatureCount = 1, .pEnabledValidationFeatures = enables };
    VkApplicationInfo application = { .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pApplicationName = "onebit-scene-vk",
                                      .apiVersion = own->api_version };
    VkInstanceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pNext = validation ? &features : NULL,
                                  .pApplicationInfo = &application, .enabledLayerCount = validation ? 1 : 0, .ppEnabledLayerNames = layers,
                                  .enabledExtensionCount = count, .ppEnabledExtensionNames = names };
    VkResult result = vkCreateInstance(&info, NULL, &own->instance);
    if (result == VK_ERROR_LAYER_NOT_PRESENT)
        exit(app_refuse(3, "the validation layer is not installed; on Debian: apt install vulkan-validationlayers"));
    gpu_must(result, "vkCreateInstance");
    volkLoadInstance(own->instance);
    messenger.pNext = NULL;
    if (validation) VK(vkCreateDebugUtilsMessengerEXT(own->instance, &messenger, NULL, &own->messenger));
}

/* ---- device ------------------------------------------------------------------------------------------------------------ */

typedef struct queues {
    uint32_t graphics, compute; /* families */
    uint32_t compute_index;     /* of the queue in its family */
    bool found;
} queues;

/* A queue that draws (and presents), and one for the model: best of a family that only computes, which on most GPUs runs beside the
 * drawing; then a second one of the same family; then the same one. */
static queues find_queues(VkPhysicalDevice physical, VkSurfaceKHR surface)
{
    VkQueueFamilyProperties families[16];
    uint32_t count = 16;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    queues found = { 0 };
    for (uint32_t i = 0; i < count && !found.found; i++) {
        VkBool32 presents = VK_TRUE;
        if (surface) VK(vkGetPhysicalDeviceSurfaceSupportKHR(physical, i, surface, &presents));
        VkQueueFlags both = VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT;
        if (presents && (families[i].queueFlags & both) == both)
            found = (queues){ .graphics = i, .compute = i, .compute_index = families[i].queueCount > 1 ? 1 : 0, .found = true };
    }
    for (uint32_t i = 0; i < count; i++)
        if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) && !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT)) {
            found.compute = i;
            found.compute_index = 0;
            break;
        }
    return found;
}

static bool has_swapchains(VkPhysicalDevice physical)
{
    uint32_t count = 0;
    vkEnumerateDeviceExtensionProperties(physical, NULL, &count, NULL);
    VkExtensionProperties *all = calloc(count + 1, sizeof *all);
    if (!all) exit(app_refuse(4, "there is not enough memory"));
    vkEnumerateDeviceExtensionProperties(physical, NULL, &count, all);
    bool found = false;
    for (uint32_t i = 0; i < count; i++) found |= strcmp(all[i].extensionName, VK_KHR_SWAPCHAIN_EXTENSION_NAME) == 0;
    free(all);
    return found;
}

static queues choose(gpu *own, VkSurfaceKHR surface, const char *name)
{
    static const int worth[] = { [VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU] = 4, [VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU] = 3,
                                 [VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU] = 2, [VK_PHYSICAL_DEVICE_TYPE_CPU] = 1 };
    VkPhysicalDevice all[16];
    uint32_t count = 16;
    VkResult result = vkEnumeratePhysicalDevices(own->instance, &count, all);
    if (result != VK_SUCCESS && result != VK_INCOMPLETE) count = 0;
    queues best = { 0 };
    int best_worth = -1;
    for (uint32_t i = 0; i < count; i++) {
        VkPhysicalDeviceProperties properties;
        vkGetPhysicalDeviceProperties(all[i], &properties);
        queues found = find_queues(all[i], surface);
        int value = (unsigned)properties.deviceType < sizeof worth / sizeof *worth ? worth[properties.deviceType] : 0;
        if (!found.found || (surface && !has_swapchains(all[i])) || properties.apiVersion < VK_API_VERSION_1_1) continue;
        if (name && !strcasestr(properties.deviceName, name)) continue;
        if (value <= best_worth) continue;
        best_worth = value;
        best = found;
        own->physical = all[i];
        own->properties = properties;
    }
    if (!best.found && name) exit(app_refuse(3, "no Vulkan device that can draw has '%s' in its name", name));
    if (!best.found) exit(app_refuse(3, "there is no Vulkan device that can draw%s; on Debian: apt install mesa-vulkan-drivers",
                                     surface ? " into this window" : ""));
    return best;
}

void gpu_make_device(gpu *own, VkSurfaceKHR surface, const char *name)
{
    queues found = choose(own, surface, name);
    vkGetPhysicalDeviceMemoryProperties(own->physical, &own->memory);

    /* OneBit, 1 of 3: what the library would like the device to be made with. Nothing of it is required. */
    ob_vulkan_features wanted;
    ob_status status = ob_vulkan_wanted_features(vkGetInstanceProcAddr, own->instance, own->api_version, own->physical, &wanted);
    if (status != OB_OK) exit(app_fail(status));
    ob_vulkan_chain chain;
    const void *next = ob_vulkan_features_chain(&wanted, &chain, NULL);

    const char *names[OB_VULKAN_EXTENSIONS_MAX + 1];
    uint32_t count = 0;
    while (count < wanted.extension_count) {
        names[count] = wanted.extensions[count];
        count++;
    }
    if (surface) names[count++] = VK_KHR_SWAPCHAIN_EXTENSION_NAME;

    /* The model's queue gets the lower priority among the queues of this device. A program whose whole device shall step back behind
     * other programs also chains VkDeviceQueueGlobalPriorityCreateInfoKHR with VK_QUEUE_GLOBAL_PRIORITY_LOW_KHR to the queue's create info
     * (VK_KHR_global_priority or VK_EXT_global_priority): on GPUs that can interrupt work, drawing then overtakes the model even within
     * a piece. ob_context_desc.low_priority does that for devices that the library makes itself. */
    bool one_family = found.graphics == found.compute;
    float priorities[] = { 1.0f, 0.0f };
    VkDeviceQueueCreateInfo queue_infos[] = {
        { .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueFamilyIndex = found.graphics,
          .queueCount = one_family ? 1 + found.compute_index : 1, .pQueuePriorities = priorities },
        { .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueFamilyIndex = found.compute, .queueCount = 1,
          .pQueuePriorities = priorities + 1 } };
    VkDeviceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = next, .queueCreateInfoCount = one_family ? 1 : 2,
                                .pQueueCreateInfos = queue_infos, .enabledExtensionCount = count, .ppEnabledExtensionNames = names };
    VK(vkCreateDevice(own->physical, &info, NULL, &own->device));
    volkLoadDevice(own->device);
    ob_vulkan_features_of(&info, &own->enabled);
    own->graphics_family = found.graphics;
    own->compute_family = found.compute;
    vkGetDeviceQueue(own->device, found.graphics, 0, &own->graphics);
    vkGetDeviceQueue(own->device, found.compute, found.compute_index, &own->compute);
    own->shared = own->graphics == own->compute;
}

unsigned gpu_destroy(gpu *own)
{
    if (own->device) vkDestroyDevice(own->device, NULL);
    if (own->messenger) vkDestroyDebugUtilsMessengerEXT(own->instance, own->messenger, NULL);
    if (own->instance) vkDestroyInstance(own->instance, NULL);
    pthread_mutex_destroy(&own->lock);
    return atomic_load(&own->messages);
}

/* ---- queue ------------------------------------------------------------------------------------------------------------- */

void gpu_lock(void *user)
{
    gpu *own = user;
    pthread_mutex_lock(&own->lock);
}

void gpu_unlock(void *user)
{
    gpu *own = user;
    pthread_mutex_unlock(&own->lock);
}

void gpu_submit(gpu *own, const VkSubmitInfo *submit, VkFence fence)
{
    gpu_lock(own);
    VkResult result = vkQueueSubmit(own->graphics, 1, submit, fence);
    gpu_unlock(own);
    gpu_must(result, "vkQueueSubmit");
}

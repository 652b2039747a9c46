#include "gpu/loader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/log.h"

#define LAYER_VALIDATION "VK_LAYER_KHRONOS_validation"
#define NO_LOADER                                                                                                                          \
    "no Vulkan loader was found (libvulkan.so.1); install your GPU's Vulkan driver, or on Debian: "                                        \
    "apt install libvulkan1 mesa-vulkan-drivers"

static pthread_mutex_t loader_lock = PTHREAD_MUTEX_INITIALIZER;
static bool loader_ready;

static obi_status load_loader(void)
{
    pthread_mutex_lock(&loader_lock);
    if (!loader_ready) loader_ready = volkInitialize() == VK_SUCCESS;
    bool ready = loader_ready;
    pthread_mutex_unlock(&loader_lock);
    return ready ? OBI_OK : obi_fail(OBI_ERROR_NO_DEVICE, NO_LOADER);
}

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    (void)severity;
    (void)types;
    obi_instance *instance = user;
    if (atomic_fetch_add(&instance->messages, 1) == 0) strncpy(instance->first_message, data->pMessage, sizeof instance->first_message - 1);
    obi_log(OBI_LOG_ERROR, "Vulkan validation: %s", data->pMessage);
    return VK_FALSE;
}

/* Both look a name up in what the loader lists. A failure is an error of its own: it must not read as "not installed". */
static obi_status find_layer(const char *name, bool *found)
{
    uint32_t count = 0;
    *found = false;
    OBI_VK(vkEnumerateInstanceLayerProperties(&count, NULL));
    VkLayerProperties *layers = obi_calloc(count, sizeof *layers);
    if (!layers) return OBI_ERROR_MEMORY;
    VkResult result = vkEnumerateInstanceLayerProperties(&count, layers);
    for (uint32_t i = 0; i < count && result >= 0; i++) *found |= strcmp(layers[i].layerName, name) == 0;
    obi_free(layers);
    return result < 0 ? obi_vk_fail(result, "vkEnumerateInstanceLayerProperties") : OBI_OK;
}

static obi_status find_extension(const char *layer, const char *name, bool *found)
{
    uint32_t count = 0;
    *found = false;
    VkResult result = vkEnumerateInstanceExtensionProperties(layer, &count, NULL);
    if (result == VK_ERROR_LAYER_NOT_PRESENT) return OBI_OK;
    if (result < 0) return obi_vk_fail(result, "vkEnumerateInstanceExtensionProperties");
    VkExtensionProperties *extensions = obi_calloc(count, sizeof *extensions);
    if (!extensions) return OBI_ERROR_MEMORY;
    result = vkEnumerateInstanceExtensionProperties(layer, &count, extensions);
    for (uint32_t i = 0; i < count && result >= 0; i++) *found |= strcmp(extensions[i].extensionName, name) == 0;
    obi_free(extensions);
    return result < 0 ? obi_vk_fail(result, "vkEnumerateInstanceExtensionProperties") : OBI_OK;
}

/* What the instance is made with: validation only where it is installed, portability wherever the loader knows it. */
static obi_status find_parts(bool validation, bool *portability)
{
    bool layer = false, messages = false;
    if (validation) {
        OBI_TRY(find_layer(LAYER_VALIDATION, &layer));
        OBI_TRY(find_extension(LAYER_VALIDATION, VK_EXT_DEBUG_UTILS_EXTENSION_NAME, &messages));
        if (!layer || !messages)
            return obi_fail(OBI_ERROR_NO_DEVICE, "validation was asked for but " LAYER_VALIDATION
                                                 " is not installed (on Debian: apt install vulkan-validationlayers)");
    }
    return find_extension(NULL, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME, portability);
}

/* False when one is missing that every instance of Vulkan 1.1 has. */
static bool load_functions(obi_instance *instance, PFN_vkGetInstanceProcAddr get)
{
    bool all = true;
#define LOAD(name)                                                        \
    instance->vk.name = (PFN_##name)get(instance->handle, #name);         \
    all &= instance->vk.name || strstr(#name, "DebugUtilsMessenger") != NULL;
    OBI_INSTANCE_FUNCTIONS(LOAD)
#undef LOAD
    return all;
}

obi_status obi_instance_adopt(obi_instance **out, VkInstance handle, PFN_vkGetInstanceProcAddr get, uint32_t api_version)
{
    *out = NULL;
    if (!handle || !get) return obi_fail(OBI_ERROR_ARGUMENT, "an instance and its vkGetInstanceProcAddr are needed");
    if (api_version < VK_API_VERSION_1_1)
        return obi_fail(OBI_ERROR_NO_DEVICE, "the instance was made for Vulkan 1.0 (VkApplicationInfo.apiVersion); 1.1 or later is needed");
    obi_instance *instance = obi_calloc(1, sizeof *instance);
    if (!instance) return OBI_ERROR_MEMORY;
    instance->handle = handle;
    instance->adopted = true;
    instance->api_version = api_version;
    if (!load_functions(instance, get)) {
        obi_instance_destroy(instance);
        return obi_fail(OBI_ERROR_NO_DEVICE, "vkGetInstanceProcAddr of this instance does not give the functions of Vulkan 1.1");
    }
    *out = instance;
    return OBI_OK;
}

obi_status obi_instance_create(obi_instance **out, bool validation)
{
    *out = NULL;
    OBI_TRY(load_loader());
    obi_instance *instance = obi_calloc(1, sizeof *instance);
    if (!instance) return OBI_ERROR_MEMORY;
    obi_status status = OBI_OK;
    instance->validation = validation;
    instance->api_version = VK_API_VERSION_1_0;
    VkResult result = vkEnumerateInstanceVersion ? vkEnumerateInstanceVersion(&instance->api_version) : VK_SUCCESS;
    if (result != VK_SUCCESS) {
        status = obi_vk_fail(result, "vkEnumerateInstanceVersion");
        goto done;
    }
    if (instance->api_version < VK_API_VERSION_1_1) {
        status = obi_fail(OBI_ERROR_NO_DEVICE, "the Vulkan loader here is version 1.0; version 1.1 or later is needed");
        goto done;
    }
    bool portability = false;
    if ((status = find_parts(validation, &portability)) != OBI_OK) goto done;

    const char *layers[1], *extensions[2];
    uint32_t layer_count = 0, extension_count = 0;
    VkApplicationInfo application = { .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                      .pApplicationName = "onebit",
                                      .pEngineName = "libonebit",
                                      .apiVersion = VK_API_VERSION_1_2 };
    VkInstanceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application };
    VkDebugUtilsMessengerCreateInfoEXT messenger = { .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
                                                     .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                                                                        VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
                                                     .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
                                                     .pfnUserCallback = on_message,
                                                     .pUserData = instance };
    VkValidationFeatureEnableEXT enables[] = { VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT };
    VkValidationFeaturesEXT features = { .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                         .enabledValidationFeatureCount = 1,
                                         .pEnabledValidationFeatures = enables };
    if (validation) {
        layers[layer_count++] = LAYER_VALIDATION;
        extensions[extension_count++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
        messenger.pNext = &features;
        info.pNext = &messenger; /* also catches messages of vkCreateInstance itself */
    }
    if (portability) {
        extensions[extension_count++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
        info.flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR; /* MoltenVK hides itself otherwise */
    }
    info.enabledLayerCount = layer_count;
    info.ppEnabledLayerNames = layers;
    info.enabledExtensionCount = extension_count;
    info.ppEnabledExtensionNames = extensions;
    result = vkCreateInstance(&info, NULL, &instance->handle);
    if (result != VK_SUCCESS) instance->handle = VK_NULL_HANDLE;
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
        status = obi_fail(OBI_ERROR_NO_DEVICE, "no Vulkan driver was found; install your GPU's driver, or a software one (on Debian: "
                                               "apt install mesa-vulkan-drivers)");
        goto done;
    }
    if (result != VK_SUCCESS) {
        status = obi_vk_fail(result, "vkCreateInstance");
        goto done;
    }
    (void)load_functions(instance, vkGetInstanceProcAddr);
    if (validation) {
        messenger.pNext = NULL;
        PFN_vkCreateDebugUtilsMessengerEXT create = instance->vk.vkCreateDebugUtilsMessengerEXT;
        result = create ? create(instance->handle, &messenger, NULL, &instance->messenger) : VK_ERROR_EXTENSION_NOT_PRESENT;
        if (result != VK_SUCCESS) {
            instance->messenger = VK_NULL_HANDLE; /* whatever is there after a failure */
            status = obi_vk_fail(result, "vkCreateDebugUtilsMessengerEXT");
        }
    }
done:
    if (status == OBI_ERROR_RUNTIME) status = OBI_ERROR_NO_DEVICE;
    if (status != OBI_OK) obi_instance_destroy(instance);
    else *out = instance;
    return status;
}

void obi_instance_destroy(obi_instance *instance)
{
    if (!instance) return;
    if (instance->messenger) instance->vk.vkDestroyDebugUtilsMessengerEXT(instance->handle, instance->messenger, NULL);
    if (instance->handle && !instance->adopted) instance->vk.vkDestroyInstance(instance->handle, NULL);
    obi_free(instance);
}

void obi_instance_load_device(const obi_instance *instance, VkDevice device, struct VolkDeviceTable *table)
{
    pthread_mutex_lock(&loader_lock);
    vkGetDeviceProcAddr = instance->vk.vkGetDeviceProcAddr; /* the one global that volk asks here */
    volkLoadDeviceTable(table, device);
    pthread_mutex_unlock(&loader_lock);
}

const char *obi_vk_result_name(VkResult result)
{
    switch (result) {
    case VK_SUCCESS: return "success";
    case VK_NOT_READY: return "not ready";
    case VK_TIMEOUT: return "no answer in time";
    case VK_ERROR_OUT_OF_HOST_MEMORY: return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "out of device memory";
    case VK_ERROR_INITIALIZATION_FAILED: return "initialization failed";
    case VK_ERROR_DEVICE_LOST: return "device lost";
    case VK_ERROR_MEMORY_MAP_FAILED: return "memory map failed";
    case VK_ERROR_LAYER_NOT_PRESENT: return "layer not present";
    case VK_ERROR_EXTENSION_NOT_PRESENT: return "extension not present";
    case VK_ERROR_FEATURE_NOT_PRESENT: return "feature not present";
    case VK_ERROR_INCOMPATIBLE_DRIVER: return "incompatible driver";
    case VK_ERROR_TOO_MANY_OBJECTS: return "too many objects";
    case VK_ERROR_FRAGMENTED_POOL: return "fragmented pool";
    case VK_ERROR_OUT_OF_POOL_MEMORY: return "out of pool memory";
    case VK_ERROR_INVALID_SHADER_NV: return "invalid shader";
    default: return "unknown error";
    }
}

obi_status obi_vk_fail(VkResult result, const char *call)
{
    obi_status status = OBI_ERROR_RUNTIME;
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_MEMORY_MAP_FAILED ||
        result == VK_ERROR_OUT_OF_POOL_MEMORY || result == VK_ERROR_FRAGMENTED_POOL)
        status = OBI_ERROR_MEMORY;
    else if (result == VK_ERROR_DEVICE_LOST || result == VK_TIMEOUT) status = OBI_ERROR_DEVICE_LOST;
    else if (result == VK_ERROR_INCOMPATIBLE_DRIVER || result == VK_ERROR_INITIALIZATION_FAILED) status = OBI_ERROR_NO_DEVICE;
    /* The call's name without its arguments is enough for a person: from the last "vk" in front of the bracket. */
    size_t length = strcspn(call, "(");
    for (size_t i = length; i-- > 1;)
        if (call[i - 1] == 'v' && call[i] == 'k') {
            call += i - 1;
            length -= i - 1;
            break;
        }
    const char *advice = "";
    if (status == OBI_ERROR_MEMORY) advice = "; use a smaller model, context (-c) or batch (-b), or close other programs";
    if (status == OBI_ERROR_DEVICE_LOST)
        advice = "; the device hung or was reset: run again, with a smaller batch (-b) if it happens again";
    return obi_fail(status, "the Vulkan driver failed in %.*s: %s (%d)%s", (int)length, call, obi_vk_result_name(result), (int)result,
                    advice);
}

/* loader: finds the Vulkan loader at run time (it is never linked) and makes an instance.
 * The only process-wide state is the loader's own entry points, read once. Volk's globals for the functions of an
 * instance are not used: they belong to whichever instance was loaded last, and threads would write them at once. */
#ifndef OBI_GPU_LOADER_H
#define OBI_GPU_LOADER_H

#include <stdatomic.h>
#include <stdbool.h>

#include <volk.h>

#include "core/status.h"

/* The functions of an instance that we call; those of a device are in obi_device. */
#define OBI_INSTANCE_FUNCTIONS(X)                                                                                  \
    X(vkDestroyInstance) X(vkEnumeratePhysicalDevices) X(vkGetPhysicalDeviceProperties) X(vkGetPhysicalDeviceProperties2) \
    X(vkGetPhysicalDeviceFeatures2) X(vkGetPhysicalDeviceMemoryProperties) X(vkGetPhysicalDeviceQueueFamilyProperties)    \
    X(vkGetPhysicalDeviceExternalBufferProperties) X(vkEnumerateDeviceExtensionProperties) X(vkCreateDevice)             \
    X(vkGetDeviceProcAddr)                                                                                              \
    X(vkCreateDebugUtilsMessengerEXT) X(vkDestroyDebugUtilsMessengerEXT)

#define OBI_INSTANCE_MEMBER(name) PFN_##name name;
typedef struct obi_instance_table { OBI_INSTANCE_FUNCTIONS(OBI_INSTANCE_MEMBER) } obi_instance_table;
#undef OBI_INSTANCE_MEMBER

typedef struct obi_instance {
    VkInstance handle;
    obi_instance_table vk;              /* the last two are NULL without validation */
    uint32_t api_version;               /* of the loader; of an adopted instance: the version its owner made it for */
    bool adopted;                       /* somebody else's: never destroyed here */
    bool validation;
    VkDebugUtilsMessengerEXT messenger;
    atomic_uint messages;               /* validation warnings and errors so far; also logged */
    char first_message[512];            /* for tests: the first of them */
} obi_instance;

/* OBI_ERROR_NO_DEVICE when there is no loader or no driver. `validation` asks for the Khronos layer with
 * synchronization validation and is OBI_ERROR_NO_DEVICE when the layer is not installed. */
obi_status obi_instance_create(obi_instance **out, bool validation);
/* Uses an instance that somebody else made, through its own vkGetInstanceProcAddr; the loader is not looked for. `api_version` is what
 * it was made for: below 1.1 is OBI_ERROR_NO_DEVICE. */
obi_status obi_instance_adopt(obi_instance **out, VkInstance handle, PFN_vkGetInstanceProcAddr get, uint32_t api_version);
void obi_instance_destroy(obi_instance *instance); /* NULL is allowed */

/* Fills the table of a device of this instance. */
void obi_instance_load_device(const obi_instance *instance, VkDevice device, struct VolkDeviceTable *table);

/* The words of a VkResult, and the obi_status it belongs to. */
const char *obi_vk_result_name(VkResult result);
/* obi_fail with the right code: "CALL: VK_ERROR_...". */
obi_status obi_vk_fail(VkResult result, const char *call);

/* OBI_VK(call): runs a Vulkan call that returns VkResult and returns its failure from the function. */
#define OBI_VK(call)                                                     \
    do {                                                                 \
        VkResult obi_vk_result_ = (call);                                \
        if (obi_vk_result_ < 0) return obi_vk_fail(obi_vk_result_, #call); \
    } while (0)

#endif

/* onebit_vulkan.h: run models on a VkDevice that a program already has.
 *
 * The library then makes its own buffers, pipelines, command pools and fences on that device, submits to the queue it was given, and
 * destroys what it made, nothing else. It links no Vulkan loader and keeps no functions of an instance or device in global variables: it
 * asks the vkGetInstanceProcAddr it is given. It never waits for the device or the queue to be idle, only for fences of its own.
 *
 *     ob_vulkan_features wanted;                                                   before the device is made:
 *     ob_vulkan_wanted_features(get, instance, VK_API_VERSION_1_2, physical, &wanted);
 *     ob_vulkan_chain chain;
 *     VkDeviceCreateInfo info = { ..., .pNext = ob_vulkan_features_chain(&wanted, &chain, my_chain) };
 *     ... add wanted.extensions to ppEnabledExtensionNames, vkCreateDevice ...
 *
 *     ob_vulkan_desc vulkan = { .get_instance_proc_addr = get, .instance = instance, .api_version = VK_API_VERSION_1_2,
 *                               .physical_device = physical, .device = device, .queue = queue, .queue_family = family,
 *                               .enabled = wanted, .lock_queue = lock, .unlock_queue = unlock, .user = app };
 *     ob_context_create_vulkan(&context, &(ob_context_desc){ 0 }, &vulkan);
 */
#ifndef ONEBIT_ONEBIT_VULKAN_H
#define ONEBIT_ONEBIT_VULKAN_H

#include <vulkan/vulkan_core.h>

#ifndef VK_VERSION_1_3
#error "onebit_vulkan.h needs Vulkan headers of version 1.3 or later (the device may be older)"
#endif

#include "onebit/onebit.h"

#ifdef __cplusplus
extern "C" {
#endif

#define OB_VULKAN_EXTENSIONS_MAX 8

/* The optional parts of a device that the library makes use of. None is needed: a device that was made without any runs the kernels of
 * tier A or B, more slowly. The members are those of Vulkan's own structures of these names. */
typedef struct ob_vulkan_features {
    bool shader_int64;                /* VkPhysicalDeviceFeatures.shaderInt64 */
    bool storage_buffer_16bit_access; /* VkPhysicalDevice16BitStorageFeatures, Vulkan11Features */
    bool shader_float16;              /* VkPhysicalDeviceShaderFloat16Int8Features, Vulkan12Features */
    bool buffer_device_address;       /* VkPhysicalDeviceBufferDeviceAddressFeatures, Vulkan12Features */
    bool shader_integer_dot_product;  /* VkPhysicalDeviceShaderIntegerDotProductFeatures, Vulkan13Features */
    /* Device extensions; the names are static. */
    uint32_t extension_count;
    const char *extensions[OB_VULKAN_EXTENSIONS_MAX];
} ob_vulkan_features;

/* What of these the physical device has and would help: enable what of it you can. `api_version` is what the instance was made for
 * (VkApplicationInfo.apiVersion). OB_ERROR_NO_DEVICE when the device cannot run this library at all. Any thread. */
OB_API ob_status ob_vulkan_wanted_features(PFN_vkGetInstanceProcAddr get_instance_proc_addr, VkInstance instance, uint32_t api_version,
                                           VkPhysicalDevice physical_device, ob_vulkan_features *wanted);

/* Room for the structures of ob_vulkan_features_chain. */
typedef struct ob_vulkan_chain {
    VkPhysicalDeviceFeatures2 features;
    VkPhysicalDevice16BitStorageFeatures storage16;
    VkPhysicalDeviceShaderFloat16Int8Features float16;
    VkPhysicalDeviceBufferDeviceAddressFeatures address;
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot;
} ob_vulkan_chain;

/* Fills `chain` with the structures that ask for `wanted` and returns what VkDeviceCreateInfo.pNext may be: `next` comes behind them.
 * Leave pEnabledFeatures NULL then and add what the program itself needs to chain->features.features. Not for a program whose own chain
 * has a VkPhysicalDeviceFeatures2, Vulkan11Features, Vulkan12Features or Vulkan13Features: that one sets the members there itself. */
OB_API const void *ob_vulkan_features_chain(const ob_vulkan_features *wanted, ob_vulkan_chain *chain, const void *next);

/* Reads what a device was made with from the very structure given to vkCreateDevice: its chain and its extension names. */
OB_API void ob_vulkan_features_of(const VkDeviceCreateInfo *info, ob_vulkan_features *enabled);

typedef struct ob_vulkan_desc { /* all required but for what is said to be optional */
    PFN_vkGetInstanceProcAddr get_instance_proc_addr;
    VkInstance instance;
    uint32_t api_version;             /* VkApplicationInfo.apiVersion of the instance; 1.1 or later */
    VkPhysicalDevice physical_device;
    VkDevice device;
    VkQueue queue;                    /* of a family that computes; one of its own, where there is one, disturbs rendering the least */
    uint32_t queue_family;
    ob_vulkan_features enabled;       /* what the device was made with; zeros: nothing optional */
    /* Optional, both or none: called around each vkQueueSubmit of the library, from whichever thread calls it. Needed when another
     * thread uses the queue, or another context of this library from another thread, as Vulkan demands. They must not call this library. */
    void (*lock_queue)(void *user);
    void (*unlock_queue)(void *user);
    void *user;
} ob_vulkan_desc;

/* As ob_context_create on the host's device. Instance, device and queue must live until the context is destroyed, and are not destroyed
 * by it; a context of the same desc can be made again. desc->device, desc->validation and desc->low_priority are not looked at. The first
 * time on a device the kernels are checked, as by ob_context_create: do it while loading, or set skip_selftest and do it there later.
 * OB_ERROR_ARGUMENT: a handle is missing or the family does not compute; OB_ERROR_NO_DEVICE: below Vulkan 1.1; OB_ERROR_DEVICE_LOST
 * from any later call means the host's device is lost: destroy the sessions, the models and the context, make a new device, begin anew. */
OB_API ob_status ob_context_create_vulkan(ob_context **out, const ob_context_desc *desc, const ob_vulkan_desc *vulkan);

#ifdef __cplusplus
}
#endif
#endif

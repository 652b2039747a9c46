/* gpu: the sample's instance, device and queues. The device is made as any renderer makes it; what is there for OneBit's sake is the
 * list of features it asks for and, where the device has one, a queue of its own for the model. */
#ifndef SCENE_GPU_H
#define SCENE_GPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <volk.h>

#include "onebit/onebit_vulkan.h"

typedef struct gpu {
    VkInstance instance;
    uint32_t api_version;
    VkDebugUtilsMessengerEXT messenger; /* with the validation layer only */
    atomic_uint messages;               /* of that layer */
    VkPhysicalDevice physical;
    VkPhysicalDeviceProperties properties;
    VkPhysicalDeviceMemoryProperties memory;
    VkDevice device;
    VkQueue graphics, compute; /* maybe the same */
    uint32_t graphics_family, compute_family;
    bool shared;               /* they are the same */
    pthread_mutex_t lock;      /* held around every submit and present on `graphics` */
    ob_vulkan_features enabled;
} gpu;

/* Exits with one sentence when a call of Vulkan fails: there is nothing that this program could do without it. */
#define VK(call) gpu_must((call), #call)
void gpu_must(VkResult result, const char *call);

/* `get`: the loader's vkGetInstanceProcAddr; NULL: volk finds it. The extensions are those that the window needs. */
void gpu_make_instance(gpu *own, PFN_vkGetInstanceProcAddr get, uint32_t extension_count, const char *const *extensions, bool validation);
/* The best device that draws, can present to `surface` (unless that is VK_NULL_HANDLE), and whose name contains `name` (unless NULL). */
void gpu_make_device(gpu *own, VkSurfaceKHR surface, const char *name);
/* Everything made on the device is gone and its queues are idle. Returns how many messages the validation layer had. */
unsigned gpu_destroy(gpu *own);

/* For ob_vulkan_desc; `user` is the gpu. */
void gpu_lock(void *user);
void gpu_unlock(void *user);

void gpu_submit(gpu *own, const VkSubmitInfo *submit, VkFence fence);

#endif

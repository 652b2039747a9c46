/* loader: finds the Vulkan loader at run time (it is never linked) and makes an instance.
 * The only process-wide state is volk's table of the loader's own entry points. */
#ifndef OBI_GPU_LOADER_H
#define OBI_GPU_LOADER_H

#include <stdatomic.h>
#include <stdbool.h>

#include <volk.h>

#include "core/status.h"

typedef struct obi_instance {
    VkInstance handle;
    uint32_t api_version;               /* of the instance */
    bool validation;
    VkDebugUtilsMessengerEXT messenger;
    atomic_uint messages;               /* validation warnings and errors so far; also logged */
    char first_message[512];            /* for tests: the first of them */
} obi_instance;

/* OBI_ERROR_NO_DEVICE when there is no loader or no driver. `validation` asks for the Khronos layer with
 * synchronization validation and is OBI_ERROR_NO_DEVICE when the layer is not installed. */
obi_status obi_instance_create(obi_instance **out, bool validation);
void obi_instance_destroy(obi_instance *instance); /* NULL is allowed */

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

#include "onebit/onebit_vulkan.h"

#include <string.h>

#include "api/api_internal.h"

static void add_extension(ob_vulkan_features *features, const char *name)
{
    features->extensions[features->extension_count++] = name;
}

/* The names that mean something to us, as static strings; NULL for others. */
static const char *known_extension(const char *name)
{
    static const char *const known[] = { VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME,
                                         VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME, OBI_PORTABILITY_SUBSET };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i], name) == 0) return known[i];
    return NULL;
}

static bool has_extension(const ob_vulkan_features *features, const char *name)
{
    for (uint32_t i = 0; i < features->extension_count && i < OB_VULKAN_EXTENSIONS_MAX; i++)
        if (features->extensions[i] && strcmp(features->extensions[i], name) == 0) return true;
    return false;
}

ob_status ob_vulkan_wanted_features(PFN_vkGetInstanceProcAddr get_instance_proc_addr, VkInstance instance, uint32_t api_version,
                                    VkPhysicalDevice physical_device, ob_vulkan_features *wanted)
{
    if (!wanted) return obi_public(obi_fail(OBI_ERROR_ARGUMENT, "there is no place for the wanted features"));
    memset(wanted, 0, sizeof *wanted);
    if (!physical_device) return obi_public(obi_fail(OBI_ERROR_ARGUMENT, "a physical device is needed"));
    obi_instance *adopted;
    obi_caps caps;
    obi_status status = obi_instance_adopt(&adopted, instance, get_instance_proc_addr, api_version);
    if (status != OBI_OK) return obi_public(status);
    status = obi_caps_read(&caps, adopted, physical_device);
    obi_instance_destroy(adopted);
    if (status != OBI_OK) return obi_public(status);
    wanted->storage_buffer_16bit_access = caps.tier >= OBI_TIER_C;
    wanted->shader_float16 = caps.tier >= OBI_TIER_C;
    wanted->shader_int64 = caps.straight;
    wanted->buffer_device_address = caps.straight;
    wanted->shader_integer_dot_product = caps.integer_dot;
    if (wanted->shader_float16 && caps.api_version < VK_API_VERSION_1_2)
        add_extension(wanted, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME);
    if (caps.integer_dot) add_extension(wanted, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
    if (caps.portability) add_extension(wanted, OBI_PORTABILITY_SUBSET);
    if (caps.import_alignment) add_extension(wanted, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
    return OB_OK;
}

const void *ob_vulkan_features_chain(const ob_vulkan_features *wanted, ob_vulkan_chain *chain, const void *next)
{
    void *rest = (void *)(uintptr_t)next; /* Vulkan's chain of what is read only has pointers that are not const */
    *chain = (ob_vulkan_chain){ .features = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2 } };
    chain->features.features.shaderInt64 = wanted->shader_int64;
    if (wanted->shader_integer_dot_product) {
        chain->dot = (VkPhysicalDeviceShaderIntegerDotProductFeatures){
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES, .pNext = rest,
            .shaderIntegerDotProduct = VK_TRUE };
        rest = &chain->dot;
    }
    if (wanted->buffer_device_address) {
        chain->address = (VkPhysicalDeviceBufferDeviceAddressFeatures){
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES, .pNext = rest, .bufferDeviceAddress = VK_TRUE };
        rest = &chain->address;
    }
    if (wanted->shader_float16) {
        chain->float16 = (VkPhysicalDeviceShaderFloat16Int8Features){
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES, .pNext = rest, .shaderFloat16 = VK_TRUE };
        rest = &chain->float16;
    }
    if (wanted->storage_buffer_16bit_access) {
        chain->storage16 = (VkPhysicalDevice16BitStorageFeatures){ .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
                                                                   .pNext = rest, .storageBuffer16BitAccess = VK_TRUE };
        rest = &chain->storage16;
    }
    chain->features.pNext = rest;
    return &chain->features;
}

/* One structure of the chain. Those of Vulkan 1.1 to 1.3 name the same features as those of the extensions. */
static void read_structure(const VkBaseInStructure *part, ob_vulkan_features *enabled)
{
    switch ((int)part->sType) {
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2:
        enabled->shader_int64 |= ((const VkPhysicalDeviceFeatures2 *)part)->features.shaderInt64;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES:
        enabled->storage_buffer_16bit_access |= ((const VkPhysicalDevice16BitStorageFeatures *)part)->storageBuffer16BitAccess;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES:
        enabled->storage_buffer_16bit_access |= ((const VkPhysicalDeviceVulkan11Features *)part)->storageBuffer16BitAccess;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES:
        enabled->shader_float16 |= ((const VkPhysicalDeviceShaderFloat16Int8Features *)part)->shaderFloat16;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES:
        enabled->buffer_device_address |= ((const VkPhysicalDeviceBufferDeviceAddressFeatures *)part)->bufferDeviceAddress;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES:
        enabled->shader_float16 |= ((const VkPhysicalDeviceVulkan12Features *)part)->shaderFloat16;
        enabled->buffer_device_address |= ((const VkPhysicalDeviceVulkan12Features *)part)->bufferDeviceAddress;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES:
        enabled->shader_integer_dot_product |= ((const VkPhysicalDeviceShaderIntegerDotProductFeatures *)part)->shaderIntegerDotProduct;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES:
        enabled->shader_integer_dot_product |= ((const VkPhysicalDeviceVulkan13Features *)part)->shaderIntegerDotProduct;
        break;
    default: break;
    }
}

void ob_vulkan_features_of(const VkDeviceCreateInfo *info, ob_vulkan_features *enabled)
{
    memset(enabled, 0, sizeof *enabled);
    if (info->pEnabledFeatures) enabled->shader_int64 = info->pEnabledFeatures->shaderInt64;
    for (const VkBaseInStructure *part = info->pNext; part; part = part->pNext) read_structure(part, enabled);
    for (uint32_t i = 0; i < info->enabledExtensionCount; i++) {
        const char *name = known_extension(info->ppEnabledExtensionNames[i]);
        if (name && !has_extension(enabled, name)) add_extension(enabled, name);
    }
}

ob_status ob_context_create_vulkan(ob_context **out, const ob_context_desc *desc, const ob_vulkan_desc *vulkan)
{
    *out = NULL;
    if (!vulkan) return obi_public(obi_fail(OBI_ERROR_ARGUMENT, "there is no desc of the host's device"));
    const ob_vulkan_features *enabled = &vulkan->enabled;
    obi_adoption adoption = { .instance = vulkan->instance,
                              .get_instance_proc_addr = vulkan->get_instance_proc_addr,
                              .api_version = vulkan->api_version,
                              .physical = vulkan->physical_device,
                              .device = vulkan->device,
                              .queue = vulkan->queue,
                              .queue_family = vulkan->queue_family,
                              .enabled = { .storage16 = enabled->storage_buffer_16bit_access,
                                           .fp16 = enabled->shader_float16,
                                           .shader_int64 = enabled->shader_int64,
                                           .addresses = enabled->buffer_device_address,
                                           .integer_dot = enabled->shader_integer_dot_product,
                                           .import = has_extension(enabled, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME) },
                              .lock_queue = vulkan->lock_queue,
                              .unlock_queue = vulkan->unlock_queue,
                              .user = vulkan->user };
    return obi_context_open(out, desc, &adoption);
}

/* clamp: a Vulkan layer for tests that makes a device look like a smaller one: ONEBIT_PROFILE names a row of profiles.h. It lowers what is
 * reported and refuses what the profile lacks when a device is made; what goes beyond a limit later is found by the validation layer,
 * which must lie above this one and so sees the lowered limits. Without a profile, or with an unknown one, no instance is made. */
#include <stddef.h>
#include <stdio.h>

#include "chain.h"
#include "profiles.h"

typedef struct clamp_instance {
    PFN_vkGetInstanceProcAddr next;
    PFN_vkDestroyInstance destroy;
    PFN_vkGetPhysicalDeviceProperties properties;
    PFN_vkGetPhysicalDeviceProperties2 properties2;
    PFN_vkGetPhysicalDeviceFeatures features;
    PFN_vkGetPhysicalDeviceFeatures2 features2;
    PFN_vkEnumerateDeviceExtensionProperties extensions;
    PFN_vkCreateDevice create_device;
    const profile *as;
} clamp_instance;

typedef struct clamp_device {
    PFN_vkGetDeviceProcAddr next;
    PFN_vkDestroyDevice destroy;
} clamp_device;

static clamp_instance *instance_of(const void *handle) { return chain_get(handle); }

static const profile *chosen_profile(void)
{
    const char *name = getenv("ONEBIT_PROFILE");
    for (int i = 0; i < PROFILE_COUNT; i++)
        if (name && strcmp(profiles[i].name, name) == 0) return &profiles[i];
    fprintf(stderr, "ONEBIT_PROFILE is \"%s\"; there are", name ? name : "");
    for (int i = 0; i < PROFILE_COUNT; i++) fprintf(stderr, " %s", profiles[i].name);
    fprintf(stderr, "\n");
    return NULL;
}

/* ---- limits ---------------------------------------------------------------------------------------------------------------- */

static void lower(uint32_t *value, uint32_t most)
{
    if (most && *value > most) *value = most;
}

static void raise_to(VkDeviceSize *value, VkDeviceSize least)
{
    if (*value < least) *value = least;
}

static void clamp_properties(const profile *as, VkPhysicalDeviceProperties *properties)
{
    VkPhysicalDeviceLimits *limits = &properties->limits;
    uint32_t version = VK_MAKE_API_VERSION(0, 1, as->api_minor, VK_API_VERSION_PATCH(properties->apiVersion));
    lower(&properties->apiVersion, version);
    if (as->storage_mib && limits->maxStorageBufferRange > (uint64_t)as->storage_mib << 20)
        limits->maxStorageBufferRange = as->storage_mib << 20;
    lower(&limits->maxComputeWorkGroupInvocations, as->invocations);
    lower(&limits->maxComputeWorkGroupSize[0], as->invocations);
    lower(&limits->maxComputeWorkGroupSize[1], as->invocations);
    lower(&limits->maxComputeWorkGroupSize[2], 64);
    for (int axis = 0; axis < 3; axis++) lower(&limits->maxComputeWorkGroupCount[axis], 65535);
    lower(&limits->maxComputeSharedMemorySize, as->shared_kib << 10);
    lower(&limits->maxPerStageDescriptorStorageBuffers, as->storage_buffers);
    lower(&limits->maxDescriptorSetStorageBuffers, as->storage_buffers);
    lower(&limits->maxBoundDescriptorSets, as->sets);
    lower(&limits->maxPushConstantsSize, as->push_bytes);
    lower(&limits->maxMemoryAllocationCount, as->allocations);
    raise_to(&limits->minStorageBufferOffsetAlignment, as->alignment);
    raise_to(&limits->nonCoherentAtomSize, as->alignment);
}

static VkSubgroupFeatureFlags clamp_operations(const profile *as, VkSubgroupFeatureFlags had)
{
    return as->subgroup_basic_only ? had & VK_SUBGROUP_FEATURE_BASIC_BIT : had;
}

static void clamp_property_chain(const profile *as, void *first)
{
    for (VkBaseOutStructure *at = first; at; at = at->pNext) {
        if (at->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES) {
            VkPhysicalDeviceSubgroupProperties *subgroup = (void *)at;
            subgroup->supportedOperations = clamp_operations(as, subgroup->supportedOperations);
        } else if (at->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES) {
            VkPhysicalDeviceVulkan11Properties *all = (void *)at;
            all->subgroupSupportedOperations = clamp_operations(as, all->subgroupSupportedOperations);
        }
    }
}

/* ---- features ---------------------------------------------------------------------------------------------------------------- */

/* Takes the features from a struct that the profile lacks; whether there were any. */
static bool take(VkBool32 *feature, bool has)
{
    bool taken = *feature && !has;
    if (taken) *feature = VK_FALSE;
    return taken;
}

static bool clamp_core_features(const profile *as, VkPhysicalDeviceFeatures *features)
{
    bool taken = take(&features->shaderInt16, as->int16);
    return take(&features->shaderInt64, as->int64) || taken;
}

static bool clamp_feature_struct(const profile *as, VkBaseOutStructure *at)
{
    bool taken = false;
    switch ((int)at->sType) {
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2: {
        VkPhysicalDeviceFeatures2 *all = (void *)at;
        return clamp_core_features(as, &all->features);
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES: {
        VkPhysicalDeviceShaderFloat16Int8Features *these = (void *)at;
        taken |= take(&these->shaderFloat16, as->fp16);
        taken |= take(&these->shaderInt8, as->int8);
        return taken;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES: {
        VkPhysicalDevice16BitStorageFeatures *these = (void *)at;
        taken |= take(&these->storageBuffer16BitAccess, as->storage16);
        taken |= take(&these->uniformAndStorageBuffer16BitAccess, as->storage16);
        taken |= take(&these->storagePushConstant16, as->storage16);
        taken |= take(&these->storageInputOutput16, as->storage16);
        return taken;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES: {
        VkPhysicalDevice8BitStorageFeatures *these = (void *)at;
        taken |= take(&these->storageBuffer8BitAccess, as->storage8);
        taken |= take(&these->uniformAndStorageBuffer8BitAccess, as->storage8);
        taken |= take(&these->storagePushConstant8, as->storage8);
        return taken;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES: {
        VkPhysicalDeviceBufferDeviceAddressFeatures *these = (void *)at;
        return take(&these->bufferDeviceAddress, as->addresses);
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES: {
        VkPhysicalDeviceVulkanMemoryModelFeatures *these = (void *)at;
        return take(&these->vulkanMemoryModel, as->memory_model);
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES: {
        VkPhysicalDeviceTimelineSemaphoreFeatures *these = (void *)at;
        return take(&these->timelineSemaphore, as->timeline);
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES: {
        VkPhysicalDeviceShaderIntegerDotProductFeatures *these = (void *)at;
        return take(&these->shaderIntegerDotProduct, as->dot);
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES: {
        VkPhysicalDeviceSubgroupSizeControlFeatures *these = (void *)at;
        return take(&these->subgroupSizeControl, as->size_control);
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES: {
        VkPhysicalDeviceVulkan11Features *these = (void *)at;
        taken |= take(&these->storageBuffer16BitAccess, as->storage16);
        taken |= take(&these->uniformAndStorageBuffer16BitAccess, as->storage16);
        return taken;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES: {
        VkPhysicalDeviceVulkan12Features *these = (void *)at;
        taken |= take(&these->shaderFloat16, as->fp16);
        taken |= take(&these->shaderInt8, as->int8);
        taken |= take(&these->storageBuffer8BitAccess, as->storage8);
        taken |= take(&these->uniformAndStorageBuffer8BitAccess, as->storage8);
        taken |= take(&these->bufferDeviceAddress, as->addresses);
        taken |= take(&these->vulkanMemoryModel, as->memory_model);
        taken |= take(&these->timelineSemaphore, as->timeline);
        return taken;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES: {
        VkPhysicalDeviceVulkan13Features *these = (void *)at;
        taken |= take(&these->shaderIntegerDotProduct, as->dot);
        taken |= take(&these->subgroupSizeControl, as->size_control);
        return taken;
    }
    default: return false;
    }
}

/* ---- extensions ------------------------------------------------------------------------------------------------------------------ */

static bool has_extension(const profile *as, const char *name)
{
    const struct { const char *name; bool has; } known[] = {
        { VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME, as->fp16 || as->int8 },
        { VK_KHR_16BIT_STORAGE_EXTENSION_NAME, as->storage16 },
        { VK_KHR_8BIT_STORAGE_EXTENSION_NAME, as->storage8 },
        { VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME, as->dot },
        { VK_KHR_BUFFER_DEVICE_ADDRESS_EXTENSION_NAME, as->addresses },
        { VK_EXT_BUFFER_DEVICE_ADDRESS_EXTENSION_NAME, as->addresses },
        { VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME, as->memory_model },
        { VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME, as->timeline },
        { VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME, as->size_control },
        { VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME, as->host_import },
        { VK_KHR_GLOBAL_PRIORITY_EXTENSION_NAME, as->low_priority },
        { VK_EXT_GLOBAL_PRIORITY_EXTENSION_NAME, as->low_priority },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].has;
    return true;
}

/* ---- hooks ------------------------------------------------------------------------------------------------------------------------- */

static VKAPI_ATTR void VKAPI_CALL get_properties(VkPhysicalDevice physical, VkPhysicalDeviceProperties *properties)
{
    const clamp_instance *instance = instance_of(physical);
    instance->properties(physical, properties);
    clamp_properties(instance->as, properties);
}

static VKAPI_ATTR void VKAPI_CALL get_properties2(VkPhysicalDevice physical, VkPhysicalDeviceProperties2 *properties)
{
    const clamp_instance *instance = instance_of(physical);
    instance->properties2(physical, properties);
    clamp_properties(instance->as, &properties->properties);
    clamp_property_chain(instance->as, properties->pNext);
}

static VKAPI_ATTR void VKAPI_CALL get_features(VkPhysicalDevice physical, VkPhysicalDeviceFeatures *features)
{
    const clamp_instance *instance = instance_of(physical);
    instance->features(physical, features);
    clamp_core_features(instance->as, features);
}

static VKAPI_ATTR void VKAPI_CALL get_features2(VkPhysicalDevice physical, VkPhysicalDeviceFeatures2 *features)
{
    const clamp_instance *instance = instance_of(physical);
    instance->features2(physical, features);
    for (VkBaseOutStructure *at = (void *)features; at; at = at->pNext) clamp_feature_struct(instance->as, at);
}

static VKAPI_ATTR VkResult VKAPI_CALL get_extensions(VkPhysicalDevice physical, const char *layer, uint32_t *count,
                                                     VkExtensionProperties *out)
{
    const clamp_instance *instance = instance_of(physical);
    if (layer) return instance->extensions(physical, layer, count, out);
    uint32_t all = 0, kept = 0, room = *count;
    VkResult result = instance->extensions(physical, NULL, &all, NULL);
    if (result != VK_SUCCESS) return result;
    VkExtensionProperties *list = calloc(all ? all : 1, sizeof *list);
    if (!list) return VK_ERROR_OUT_OF_HOST_MEMORY;
    result = instance->extensions(physical, NULL, &all, list);
    for (uint32_t i = 0; i < all && result >= 0; i++) {
        if (!has_extension(instance->as, list[i].extensionName)) continue;
        if (out && kept < room) out[kept] = list[i];
        kept++;
    }
    free(list);
    if (result < 0) return result;
    *count = out && kept > room ? room : kept;
    return out && kept > room ? VK_INCOMPLETE : VK_SUCCESS;
}

/* Looks at copies of what is asked for: if there is something to take from one, the profile lacks it. */
static bool asks_for_too_much(const profile *as, const VkDeviceCreateInfo *info)
{
#define SIZE(type, of) { VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_##type, sizeof(VkPhysicalDevice##of) }
    static const struct { VkStructureType type; size_t bytes; } sizes[] = {
        SIZE(FEATURES_2, Features2),
        SIZE(SHADER_FLOAT16_INT8_FEATURES, ShaderFloat16Int8Features),
        SIZE(16BIT_STORAGE_FEATURES, 16BitStorageFeatures),
        SIZE(8BIT_STORAGE_FEATURES, 8BitStorageFeatures),
        SIZE(BUFFER_DEVICE_ADDRESS_FEATURES, BufferDeviceAddressFeatures),
        SIZE(VULKAN_MEMORY_MODEL_FEATURES, VulkanMemoryModelFeatures),
        SIZE(TIMELINE_SEMAPHORE_FEATURES, TimelineSemaphoreFeatures),
        SIZE(SHADER_INTEGER_DOT_PRODUCT_FEATURES, ShaderIntegerDotProductFeatures),
        SIZE(SUBGROUP_SIZE_CONTROL_FEATURES, SubgroupSizeControlFeatures),
        SIZE(VULKAN_1_1_FEATURES, Vulkan11Features),
        SIZE(VULKAN_1_2_FEATURES, Vulkan12Features),
        SIZE(VULKAN_1_3_FEATURES, Vulkan13Features),
    };
#undef SIZE
    union { VkBaseOutStructure base; VkPhysicalDeviceFeatures2 largest; char bytes[1024]; } copy;
    if (info->pEnabledFeatures) {
        VkPhysicalDeviceFeatures features = *info->pEnabledFeatures;
        if (clamp_core_features(as, &features)) return true;
    }
    for (const VkBaseInStructure *at = info->pNext; at; at = at->pNext)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            if (sizes[i].type != at->sType) continue;
            memcpy(&copy, at, sizes[i].bytes);
            if (clamp_feature_struct(as, &copy.base)) return true;
        }
    return false;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator, VkDevice *out)
{
    const clamp_instance *instance = instance_of(physical);
    VkLayerDeviceCreateInfo *link = chain_device_link(info);
    if (!link) return VK_ERROR_INITIALIZATION_FAILED;
    for (uint32_t i = 0; i < info->enabledExtensionCount; i++)
        if (!has_extension(instance->as, info->ppEnabledExtensionNames[i])) return VK_ERROR_EXTENSION_NOT_PRESENT;
    if (asks_for_too_much(instance->as, info)) return VK_ERROR_FEATURE_NOT_PRESENT;
    PFN_vkGetDeviceProcAddr next = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkResult result = instance->create_device(physical, info, allocator, out);
    if (result != VK_SUCCESS) return result;
    clamp_device *device = calloc(1, sizeof *device);
    if (!device) abort();
    device->next = next;
    device->destroy = (PFN_vkDestroyDevice)next(*out, "vkDestroyDevice");
    chain_put(chain_key(*out), NULL, device);
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL destroy_device(VkDevice handle, const VkAllocationCallbacks *allocator)
{
    if (!handle) return;
    clamp_device *device = chain_get(handle);
    chain_put(chain_key(handle), device, NULL);
    device->destroy(handle, allocator);
    free(device);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *allocator,
                                                      VkInstance *out)
{
    const profile *as = chosen_profile();
    VkLayerInstanceCreateInfo *link = chain_instance_link(info);
    if (!as || !link) return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetInstanceProcAddr next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)next(NULL, "vkCreateInstance");
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkResult result = create(info, allocator, out);
    if (result != VK_SUCCESS) return result;
    clamp_instance *instance = calloc(1, sizeof *instance);
    if (!instance) abort();
    instance->next = next;
    instance->as = as;
    instance->destroy = (PFN_vkDestroyInstance)next(*out, "vkDestroyInstance");
    instance->properties = (PFN_vkGetPhysicalDeviceProperties)next(*out, "vkGetPhysicalDeviceProperties");
    instance->properties2 = (PFN_vkGetPhysicalDeviceProperties2)next(*out, "vkGetPhysicalDeviceProperties2");
    instance->features = (PFN_vkGetPhysicalDeviceFeatures)next(*out, "vkGetPhysicalDeviceFeatures");
    instance->features2 = (PFN_vkGetPhysicalDeviceFeatures2)next(*out, "vkGetPhysicalDeviceFeatures2");
    instance->extensions = (PFN_vkEnumerateDeviceExtensionProperties)next(*out, "vkEnumerateDeviceExtensionProperties");
    instance->create_device = (PFN_vkCreateDevice)next(*out, "vkCreateDevice");
    chain_put(chain_key(*out), NULL, instance);
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL destroy_instance(VkInstance handle, const VkAllocationCallbacks *allocator)
{
    if (!handle) return;
    clamp_instance *instance = instance_of(handle);
    chain_put(chain_key(handle), instance, NULL);
    instance->destroy(handle, allocator);
    free(instance);
}

/* ---- what the loader asks for ------------------------------------------------------------------------------------------------ */

/* Of a device nothing but its end is of interest here. */
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device(VkDevice device, const char *name)
{
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)get_device;
    if (strcmp(name, "vkDestroyDevice") == 0) return (PFN_vkVoidFunction)destroy_device;
    return device ? ((clamp_device *)chain_get(device))->next(device, name) : NULL;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_instance(VkInstance instance, const char *name)
{
    static const struct { const char *name; PFN_vkVoidFunction hook; } hooks[] = {
        { "vkGetInstanceProcAddr", (PFN_vkVoidFunction)get_instance },
        { "vkGetDeviceProcAddr", (PFN_vkVoidFunction)get_device },
        { "vkCreateInstance", (PFN_vkVoidFunction)create_instance },
        { "vkDestroyInstance", (PFN_vkVoidFunction)destroy_instance },
        { "vkCreateDevice", (PFN_vkVoidFunction)create_device },
        { "vkDestroyDevice", (PFN_vkVoidFunction)destroy_device },
        { "vkEnumerateDeviceExtensionProperties", (PFN_vkVoidFunction)get_extensions },
        { "vkGetPhysicalDeviceProperties", (PFN_vkVoidFunction)get_properties },
        { "vkGetPhysicalDeviceProperties2", (PFN_vkVoidFunction)get_properties2 },
        { "vkGetPhysicalDeviceProperties2KHR", (PFN_vkVoidFunction)get_properties2 },
        { "vkGetPhysicalDeviceFeatures", (PFN_vkVoidFunction)get_features },
        { "vkGetPhysicalDeviceFeatures2", (PFN_vkVoidFunction)get_features2 },
        { "vkGetPhysicalDeviceFeatures2KHR", (PFN_vkVoidFunction)get_features2 },
    };
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++)
        if (strcmp(hooks[i].name, name) == 0) return hooks[i].hook;
    return instance ? instance_of(instance)->next(instance, name) : NULL;
}

CHAIN_EXPORT VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *negotiation)
{
    if (negotiation->loaderLayerInterfaceVersion < 2) return VK_ERROR_INITIALIZATION_FAILED;
    negotiation->loaderLayerInterfaceVersion = 2;
    negotiation->pfnGetInstanceProcAddr = get_instance;
    negotiation->pfnGetDeviceProcAddr = get_device;
    negotiation->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}

#include "gpu/caps.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"

static bool has_extension(const VkExtensionProperties *extensions, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(extensions[i].extensionName, name) == 0) return true;
    return false;
}

#define FAMILIES_MAX 32u

/* A family for compute only runs beside a renderer; the first that computes will do. */
static bool choose_queue_family(obi_caps *caps, const obi_instance *instance, VkPhysicalDevice physical)
{
    VkQueueFamilyProperties families[FAMILIES_MAX];
    uint32_t count = FAMILIES_MAX;
    instance->vk.vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    bool found = false;
    for (uint32_t i = 0; i < count; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || families[i].queueCount == 0) continue;
        bool compute_only = !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT);
        if (found && !compute_only) continue;
        found = true;
        caps->queue_family = i;
        caps->timestamp_bits = families[i].timestampValidBits;
        if (compute_only) break;
    }
    return found;
}

static void read_memory(obi_caps *caps, const obi_instance *instance, VkPhysicalDevice physical)
{
    VkPhysicalDeviceMemoryProperties memory;
    instance->vk.vkGetPhysicalDeviceMemoryProperties(physical, &memory);
    caps->unified = true;
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++)
        if ((memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) && memory.memoryHeaps[i].size > caps->heap_bytes)
            caps->heap_bytes = memory.memoryHeaps[i].size;
    for (uint32_t i = 0; i < memory.memoryTypeCount; i++) {
        VkMemoryPropertyFlags flags = memory.memoryTypes[i].propertyFlags;
        if ((flags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT) && !(flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT)) caps->unified = false;
    }
}

/* Whether storage buffers over host memory may be. */
static bool can_import(const obi_instance *instance, VkPhysicalDevice physical)
{
    VkPhysicalDeviceExternalBufferInfo info = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO,
                                                .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT,
                                                .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT };
    VkExternalBufferProperties properties = { .sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES };
    instance->vk.vkGetPhysicalDeviceExternalBufferProperties(physical, &info, &properties);
    return properties.externalMemoryProperties.externalMemoryFeatures & VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT;
}

static void read_driver(obi_caps *caps, const VkPhysicalDeviceDriverProperties *driver)
{
    if (driver->driverName[0] || driver->driverInfo[0])
        snprintf(caps->driver, sizeof caps->driver, "%.255s %.63s", driver->driverName, driver->driverInfo);
    else
        snprintf(caps->driver, sizeof caps->driver, "version 0x%08x", caps->driver_version);
}

static obi_tier tier_of(const obi_caps *caps)
{
    return !caps->subgroup_arithmetic ? OBI_TIER_A : caps->fp16 && caps->storage16 ? OBI_TIER_C : OBI_TIER_B;
}

obi_status obi_caps_read(obi_caps *caps, const obi_instance *instance, VkPhysicalDevice physical)
{
    const obi_instance_table *vk = &instance->vk;
    memset(caps, 0, sizeof *caps);
    VkPhysicalDeviceProperties basic;
    vk->vkGetPhysicalDeviceProperties(physical, &basic);
    snprintf(caps->name, sizeof caps->name, "%s", basic.deviceName);
    caps->vendor_id = basic.vendorID;
    caps->device_id = basic.deviceID;
    caps->driver_version = basic.driverVersion;
    if (instance->adopted && instance->api_version < basic.apiVersion) basic.apiVersion = instance->api_version;
    caps->api_version = basic.apiVersion;
    caps->type = basic.deviceType;
    read_memory(caps, instance, physical);
    if (basic.apiVersion < VK_API_VERSION_1_1) return obi_fail(OBI_ERROR_NO_DEVICE, "%s offers Vulkan 1.0 only; 1.1 is needed", caps->name);
    if (!choose_queue_family(caps, instance, physical)) return obi_fail(OBI_ERROR_NO_DEVICE, "%s has no compute queue", caps->name);

    uint32_t extension_count = 0;
    OBI_VK(vk->vkEnumerateDeviceExtensionProperties(physical, NULL, &extension_count, NULL));
    VkExtensionProperties *extensions = obi_calloc(extension_count, sizeof *extensions);
    if (!extensions) return OBI_ERROR_MEMORY;
    VkResult result = vk->vkEnumerateDeviceExtensionProperties(physical, NULL, &extension_count, extensions);
    if (result < 0) {
        obi_free(extensions);
        return obi_vk_fail(result, "vkEnumerateDeviceExtensionProperties");
    }
    bool core12 = basic.apiVersion >= VK_API_VERSION_1_2;
    bool driver_known = core12 || has_extension(extensions, extension_count, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME);
    bool float16_known = core12 || has_extension(extensions, extension_count, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME);
    bool dot_known = has_extension(extensions, extension_count, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
    bool import_known = has_extension(extensions, extension_count, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
    caps->portability = has_extension(extensions, extension_count, OBI_PORTABILITY_SUBSET);
    static const char *const priorities[] = { VK_KHR_GLOBAL_PRIORITY_EXTENSION_NAME, VK_EXT_GLOBAL_PRIORITY_EXTENSION_NAME };
    for (size_t i = 0; i < sizeof priorities / sizeof *priorities && !caps->priority_extension; i++)
        if (has_extension(extensions, extension_count, priorities[i])) caps->priority_extension = priorities[i];
    obi_free(extensions);

    VkPhysicalDeviceDriverProperties driver = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES };
    VkPhysicalDeviceSubgroupProperties subgroup = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES };
    VkPhysicalDeviceMaintenance3Properties maintenance3 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES };
    VkPhysicalDeviceIDProperties id = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES };
    VkPhysicalDeviceProperties2 properties = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &subgroup };
    subgroup.pNext = &maintenance3;
    maintenance3.pNext = &id;
    VkPhysicalDeviceShaderIntegerDotProductProperties dot_rates = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES };
    if (driver_known) id.pNext = &driver;
    if (dot_known) {
        dot_rates.pNext = properties.pNext;
        properties.pNext = &dot_rates;
    }
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT import = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT };
    if (import_known) {
        import.pNext = properties.pNext;
        properties.pNext = &import;
    }
    vk->vkGetPhysicalDeviceProperties2(physical, &properties);
    if (import_known && can_import(instance, physical)) caps->import_alignment = import.minImportedHostPointerAlignment;
    const VkPhysicalDeviceLimits *limits = &properties.properties.limits;
    memcpy(caps->device_uuid, id.deviceUUID, sizeof caps->device_uuid);
    memcpy(caps->driver_uuid, id.driverUUID, sizeof caps->driver_uuid);
    read_driver(caps, &driver);
    caps->timestamp_period = limits->timestampPeriod;
    caps->storage_range = limits->maxStorageBufferRange;
    bool two_sets = limits->maxPerStageDescriptorStorageBuffers >= OBI_BINDINGS_MAX && /* of a layout, whether a kernel has them or not */
                    limits->maxDescriptorSetStorageBuffers >= OBI_BINDINGS_MAX;
    caps->bindings = two_sets ? OBI_BINDINGS_MAX : OBI_BINDINGS_SET;
    caps->allocation_max = maintenance3.maxMemoryAllocationSize;
    memcpy(caps->workgroup_count, limits->maxComputeWorkGroupCount, sizeof caps->workgroup_count);
    for (int axis = 0; axis < 3; axis++) /* more than the guaranteed 65535 would make tests pass that fail elsewhere */
        if (caps->workgroup_count[axis] > 65535) caps->workgroup_count[axis] = 65535;
    caps->workgroup_size = limits->maxComputeWorkGroupInvocations < limits->maxComputeWorkGroupSize[0]
                               ? limits->maxComputeWorkGroupInvocations : limits->maxComputeWorkGroupSize[0];
    caps->shared_bytes = limits->maxComputeSharedMemorySize;
    caps->buffer_alignment = (uint32_t)limits->minStorageBufferOffsetAlignment;
    caps->atom = limits->nonCoherentAtomSize;
    caps->subgroup_size = subgroup.subgroupSize;
    VkSubgroupFeatureFlags wanted = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT | VK_SUBGROUP_FEATURE_BALLOT_BIT;
    caps->subgroup_arithmetic = (subgroup.supportedOperations & wanted) == wanted &&
                                (subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) && subgroup.subgroupSize >= 4 &&
                                subgroup.subgroupSize <= 128;
    caps->subgroup_shuffle = caps->subgroup_arithmetic && (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT);

    VkPhysicalDeviceShaderFloat16Int8Features float16 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES };
    VkPhysicalDevice16BitStorageFeatures storage16 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES };
    VkPhysicalDeviceBufferDeviceAddressFeatures address = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES,
                                                            .pNext = &storage16 };
    VkPhysicalDeviceFeatures2 features = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &storage16 };
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES };
    if (float16_known) storage16.pNext = &float16;
    if (core12) features.pNext = &address;
    if (dot_known) {
        dot.pNext = features.pNext;
        features.pNext = &dot;
    }
    vk->vkGetPhysicalDeviceFeatures2(physical, &features);
    caps->integer_dot = dot.shaderIntegerDotProduct;
    caps->integer_dot_fast = caps->integer_dot && dot_rates.integerDotProduct4x8BitPackedSignedAccelerated;
    caps->fp16 = float16.shaderFloat16;
    caps->storage16 = storage16.storageBuffer16BitAccess;
    caps->software = caps->type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    caps->straight = caps->software && caps->subgroup_size == 8 && caps->workgroup_size >= 128 && features.features.shaderInt64 &&
                     (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) && address.bufferDeviceAddress;
    caps->tier = tier_of(caps);
    return OBI_OK;
}

void obi_caps_limit(obi_caps *caps, const obi_enabled *enabled)
{
    caps->storage16 &= enabled->storage16;
    caps->fp16 &= enabled->fp16;
    caps->integer_dot &= enabled->integer_dot;
    caps->integer_dot_fast &= enabled->integer_dot;
    caps->straight &= enabled->shader_int64 && enabled->addresses;
    if (!enabled->import) caps->import_alignment = 0;
    caps->tier = tier_of(caps);
}

obi_status obi_caps_use_family(obi_caps *caps, const obi_instance *instance, VkPhysicalDevice physical, uint32_t family)
{
    VkQueueFamilyProperties families[FAMILIES_MAX];
    uint32_t count = FAMILIES_MAX;
    instance->vk.vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    if (family >= count || !(families[family].queueFlags & VK_QUEUE_COMPUTE_BIT))
        return obi_fail(OBI_ERROR_ARGUMENT, "%s has no queue family %u that computes", caps->name, family);
    caps->queue_family = family;
    caps->timestamp_bits = families[family].timestampValidBits;
    return OBI_OK;
}

const char *obi_caps_type_name(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return "discrete GPU";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return "integrated GPU";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return "virtual GPU";
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return "CPU";
    default: return "other";
    }
}

const char *obi_tier_name(obi_tier tier)
{
    static const char *const names[OBI_TIER_COUNT] = { "A", "B", "C" };
    return tier >= 0 && tier < OBI_TIER_COUNT ? names[tier] : "?";
}

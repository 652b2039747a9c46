#include "gpu/device.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/alloc.h"
#include "core/log.h"

typedef struct candidate {
    VkPhysicalDevice physical;
    obi_device_entry entry;
    uint32_t order; /* as the loader lists them */
} candidate;

static int rank_of(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return 0;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return 1;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return 3;
    default: return 4;
    }
}

static int compare_candidates(const void *left, const void *right)
{
    const candidate *a = left, *b = right;
    if (a->entry.usable != b->entry.usable) return a->entry.usable ? -1 : 1;
    int difference = rank_of(a->entry.caps.type) - rank_of(b->entry.caps.type);
    if (difference) return difference;
    if (a->entry.caps.heap_bytes != b->entry.caps.heap_bytes) return a->entry.caps.heap_bytes > b->entry.caps.heap_bytes ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

/* All physical devices, best first; at least one, or OBI_ERROR_NO_DEVICE. */
static obi_status find_candidates(const obi_instance *instance, candidate **out, uint32_t *count)
{
    *out = NULL;
    *count = 0;
    uint32_t found = 0;
    OBI_VK(instance->vk.vkEnumeratePhysicalDevices(instance->handle, &found, NULL));
    if (found == 0)
        return obi_fail(OBI_ERROR_NO_DEVICE, "the Vulkan drivers here offer no device; install your GPU's driver, or a software one "
                                             "(on Debian: apt install mesa-vulkan-drivers)");
    VkPhysicalDevice *physical = obi_calloc(found, sizeof *physical);
    candidate *list = obi_calloc(found, sizeof *list);
    obi_status status = physical && list ? OBI_OK : OBI_ERROR_MEMORY;
    if (status == OBI_OK) {
        VkResult result = instance->vk.vkEnumeratePhysicalDevices(instance->handle, &found, physical);
        if (result < 0) status = obi_vk_fail(result, "vkEnumeratePhysicalDevices");
    }
    if (status != OBI_OK) {
        obi_free(physical);
        obi_free(list);
        return status;
    }
    for (uint32_t i = 0; i < found && status == OBI_OK; i++) {
        list[i].physical = physical[i];
        list[i].order = i;
        obi_status read = obi_caps_read(&list[i].entry.caps, instance, physical[i]);
        if (read == OBI_ERROR_MEMORY) status = read; /* says nothing about the device */
        list[i].entry.usable = read == OBI_OK;
        if (!list[i].entry.usable) snprintf(list[i].entry.reason, sizeof list[i].entry.reason, "%s", obi_last_error());
    }
    obi_free(physical);
    if (status == OBI_OK && found == 0) status = obi_fail(OBI_ERROR_NO_DEVICE, "the Vulkan devices went away while they were listed");
    if (status != OBI_OK) {
        obi_free(list);
        return status;
    }
    qsort(list, found, sizeof *list, compare_candidates);
    *out = list;
    *count = found;
    return OBI_OK;
}

obi_status obi_device_list(obi_device_entry **out, uint32_t *count)
{
    *out = NULL;
    *count = 0;
    obi_instance *instance;
    OBI_TRY(obi_instance_create(&instance, false));
    candidate *candidates;
    uint32_t found;
    obi_status status = find_candidates(instance, &candidates, &found);
    obi_instance_destroy(instance);
    if (status != OBI_OK) return status;
    obi_device_entry *entries = obi_calloc(found, sizeof *entries);
    if (!entries) status = OBI_ERROR_MEMORY;
    for (uint32_t i = 0; entries && i < found; i++) entries[i] = candidates[i].entry;
    obi_free(candidates);
    *out = entries;
    *count = entries ? found : 0;
    return status;
}

/* A UUID with or without dashes, any case. */
static bool same_uuid(const char *text, const uint8_t uuid[16])
{
    int digits = 0;
    for (; *text; text++) {
        if (*text == '-') continue;
        if (!isxdigit((unsigned char)*text) || digits == 32) return false;
        int value = isdigit((unsigned char)*text) ? *text - '0' : tolower((unsigned char)*text) - 'a' + 10;
        if ((digits % 2 ? uuid[digits / 2] & 15 : uuid[digits / 2] >> 4) != value) return false;
        digits++;
    }
    return digits == 32;
}

static obi_status select_candidate(const candidate *candidates, uint32_t count, const char *select, uint32_t *chosen)
{
    char names[300] = "";
    for (uint32_t i = 0; i < count; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%u: %s", i ? ", " : "", i, candidates[i].entry.caps.name);
    }
    *chosen = 0;
    if (select && select[0]) {
        char *end;
        unsigned long index = strtoul(select, &end, 10);
        uint32_t i = count;
        if (*end == 0 && index < count) i = (uint32_t)index;
        else if (*end != 0 || end - select > 2) /* "7" is an index that is not there, never the 7 of some name; "3090" is a name */
            for (i = 0; i < count; i++)
                if (same_uuid(select, candidates[i].entry.caps.device_uuid) || strcasestr(candidates[i].entry.caps.name, select)) break;
        if (i == count) return obi_fail(OBI_ERROR_NO_DEVICE, "there is no device \"%s\"; there is %s (see --list-devices)", select, names);
        *chosen = i;
    }
    if (!candidates[*chosen].entry.usable)
        return obi_fail(OBI_ERROR_NO_DEVICE, "the device cannot be used: %s", candidates[*chosen].entry.reason);
    return OBI_OK;
}

void obi_cache_directory(const char *requested, char *path, size_t room)
{
    const char *own = getenv("ONEBIT_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const char *local = getenv("LOCALAPPDATA"); /* Windows */
    int length;
    if (requested) length = snprintf(path, room, "%s", requested);
    else if (own) length = snprintf(path, room, "%s", own);
    else if (xdg && xdg[0] == '/') length = snprintf(path, room, "%s/onebit", xdg);
    else if (home && home[0] == '/') length = snprintf(path, room, "%s/.cache/onebit", home);
    else if (local && local[0]) length = snprintf(path, room, "%s/onebit", local);
    else length = snprintf(path, room, "%s", "");
    if (length < 0 || (size_t)length >= room) path[0] = 0;
}

/* The tier to use: the device's, lowered by the request and by ONEBIT_TIER. */
static obi_status choose_tier(obi_device *device, int requested)
{
    device->tier = device->caps.tier;
    const char *forced = getenv("ONEBIT_TIER");
    if (forced && forced[0]) {
        requested = toupper((unsigned char)forced[0]);
        if (forced[1] || requested < 'A' || requested > 'C')
            return obi_fail(OBI_ERROR_ARGUMENT, "ONEBIT_TIER is \"%.40s\", which is not A, B or C", forced);
    }
    if (requested == 0) return OBI_OK;
    if (requested < 'A' || requested > 'C')
        return obi_fail(OBI_ERROR_ARGUMENT, "the tier \"%c\" is not A, B or C", requested > ' ' && requested < 127 ? requested : '?');
    obi_tier tier = (obi_tier)(requested - 'A');
    if (tier > device->tier) {
        obi_log(OBI_LOG_WARNING, "%s cannot run tier %s; it runs tier %s", device->caps.name, obi_tier_name(tier),
                obi_tier_name(device->tier));
        return OBI_OK;
    }
    device->tier = tier;
    return OBI_OK;
}

/* Whether a projection and what follows it are one dispatch where they can be: on GPUs, or as ONEBIT_FUSED has it. */
static obi_status choose_fused(obi_device *device)
{
    const char *forced = getenv("ONEBIT_FUSED");
    device->fused = !device->caps.software;
    if (!forced || !forced[0]) return OBI_OK;
    if (strcmp(forced, "0") != 0 && strcmp(forced, "1") != 0)
        return obi_fail(OBI_ERROR_ARGUMENT, "ONEBIT_FUSED is \"%.40s\", which is neither 0 nor 1", forced);
    device->fused = forced[0] == '1';
    return OBI_OK;
}

static obi_status create_device(obi_device *device, bool low_priority)
{
    const obi_caps *caps = &device->caps;
    const obi_instance_table *vk = &device->instance->vk;
    const char *extensions[6], *priority_name = low_priority ? caps->priority_extension : NULL;
    uint32_t extension_count = 0;
    bool fp16 = device->tier >= OBI_TIER_C;
    if (fp16 && caps->api_version < VK_API_VERSION_1_2) extensions[extension_count++] = VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME;
    if (caps->integer_dot) /* the instance asks for 1.2, where it is no part of the core */
        extensions[extension_count++] = VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME;
    if (caps->import_alignment) extensions[extension_count++] = VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
    if (caps->portability) extensions[extension_count++] = OBI_PORTABILITY_SUBSET;
    if (priority_name) extensions[extension_count++] = priority_name;

    float priority = 0.5f;
    VkDeviceQueueGlobalPriorityCreateInfoKHR global = { .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_GLOBAL_PRIORITY_CREATE_INFO_KHR,
                                                        .globalPriority = VK_QUEUE_GLOBAL_PRIORITY_LOW_KHR };
    VkDeviceQueueCreateInfo queue = { .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                      .queueFamilyIndex = caps->queue_family,
                                      .queueCount = 1,
                                      .pQueuePriorities = &priority };
    VkPhysicalDevice16BitStorageFeatures storage16 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
                                                       .storageBuffer16BitAccess = VK_TRUE };
    VkPhysicalDeviceShaderFloat16Int8Features float16 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES,
                                                          .pNext = &storage16, .shaderFloat16 = VK_TRUE };
    VkPhysicalDeviceBufferDeviceAddressFeatures address = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES,
                                                            .pNext = fp16 ? &float16 : NULL, .bufferDeviceAddress = VK_TRUE };
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES,
                                                            .pNext = caps->straight ? (void *)&address : address.pNext,
                                                            .shaderIntegerDotProduct = VK_TRUE };
    VkPhysicalDeviceFeatures features = { .shaderInt64 = caps->straight };
    VkDeviceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = caps->integer_dot ? (void *)&dot : dot.pNext,
                                .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue, .enabledExtensionCount = extension_count,
                                .ppEnabledExtensionNames = extensions, .pEnabledFeatures = &features };
    if (priority_name) queue.pNext = &global;
    VkResult result = vk->vkCreateDevice(device->physical, &info, NULL, &device->handle);
    if (result == VK_ERROR_NOT_PERMITTED_KHR && priority_name) { /* a wish, no more */
        queue.pNext = NULL;
        result = vk->vkCreateDevice(device->physical, &info, NULL, &device->handle);
    }
    if (result != VK_SUCCESS) {
        device->handle = VK_NULL_HANDLE;
        return obi_vk_fail(result, "vkCreateDevice");
    }
    obi_instance_load_device(device->instance, device->handle, &device->vk);
    device->vk.vkGetDeviceQueue(device->handle, caps->queue_family, 0, &device->queue);
    return OBI_OK;
}

void obi_device_lock_queue(obi_device *device)
{
    if (device->adopted.lock_queue) device->adopted.lock_queue(device->adopted.user);
    else pthread_mutex_lock(&device->queue_lock);
}

void obi_device_unlock_queue(obi_device *device)
{
    if (device->adopted.unlock_queue) device->adopted.unlock_queue(device->adopted.user);
    else pthread_mutex_unlock(&device->queue_lock);
}

/* Finds the device to use, ours to make, and what it can do. */
static obi_status find_device(obi_device *device, const obi_device_desc *desc)
{
    const char *validate = getenv("ONEBIT_VALIDATION");
    bool validation = desc->validation || (validate && strcmp(validate, "1") == 0);
    candidate *candidates = NULL;
    uint32_t count, chosen;
    obi_status status;
    OBI_TRY_GOTO(obi_instance_create(&device->instance, validation));
    OBI_TRY_GOTO(find_candidates(device->instance, &candidates, &count));
    OBI_TRY_GOTO(select_candidate(candidates, count, desc->select, &chosen));
    device->physical = candidates[chosen].physical;
    device->caps = candidates[chosen].entry.caps;
done:
    obi_free(candidates);
    return status;
}

/* The same for a device of somebody else's. */
static obi_status adopt_device(obi_device *device, const obi_adoption *adopt)
{
    if (!adopt->physical || !adopt->device || !adopt->queue)
        return obi_fail(OBI_ERROR_ARGUMENT, "a physical device, a device and a queue are needed");
    if (!adopt->lock_queue != !adopt->unlock_queue)
        return obi_fail(OBI_ERROR_ARGUMENT, "the queue's lock and unlock functions come together or not at all");
    OBI_TRY(obi_instance_adopt(&device->instance, adopt->instance, adopt->get_instance_proc_addr, adopt->api_version));
    OBI_TRY(obi_caps_read(&device->caps, device->instance, adopt->physical));
    OBI_TRY(obi_caps_use_family(&device->caps, device->instance, adopt->physical, adopt->queue_family));
    obi_caps_limit(&device->caps, &adopt->enabled);
    device->adopted = *adopt;
    device->physical = adopt->physical;
    return OBI_OK;
}

/* Of what is adopted nothing is made, and so nothing destroyed. */
static obi_status make_device(obi_device *device, const obi_device_desc *desc)
{
    if (!desc->adopt) return create_device(device, desc->low_priority);
    device->handle = desc->adopt->device;
    device->queue = desc->adopt->queue;
    obi_instance_load_device(device->instance, device->handle, &device->vk);
    /* What was said to be enabled and is not would be called at address 0. */
    if (!device->vk.vkGetMemoryHostPointerPropertiesEXT) device->caps.import_alignment = 0;
    if (!device->vk.vkGetBufferDeviceAddress) device->caps.straight = device->addresses = false;
    return OBI_OK;
}

obi_status obi_device_open(obi_device **out, const obi_device_desc *desc)
{
    *out = NULL;
    obi_device *device = obi_calloc(1, sizeof *device);
    if (!device) return OBI_ERROR_MEMORY;
    pthread_mutex_init(&device->queue_lock, NULL);
    pthread_mutex_init(&device->choices.lock, NULL);
    obi_memory_init(&device->memory);
    char cache_dir[1024];
    obi_status status;
    OBI_TRY_GOTO(desc->adopt ? adopt_device(device, desc->adopt) : find_device(device, desc));
    device->addresses = device->caps.straight;
    device->exact = desc->exact;
    OBI_TRY_GOTO(choose_tier(device, desc->tier));
    OBI_TRY_GOTO(choose_fused(device));
    for (int i = 0; i < OBI_KERNEL_COUNT; i++) device->kernel_tier[i] = device->tier;
    OBI_TRY_GOTO(make_device(device, desc));
    obi_cache_directory(desc->cache_dir, cache_dir, sizeof cache_dir);
    OBI_TRY_GOTO(obi_pipelines_init(device, cache_dir));
    OBI_TRY_GOTO(obi_choices_init(&device->choices, cache_dir, obi_device_key(device)));
done:
    if (status == OBI_ERROR_RUNTIME) status = OBI_ERROR_NO_DEVICE; /* one that cannot be opened is none */
    if (status != OBI_OK) obi_device_close(device);
    else *out = device;
    return status;
}

uint64_t obi_device_key(const obi_device *device)
{
    const obi_caps *caps = &device->caps;
    uint8_t bytes[16 + 16 + 4 + 4 + 8 + sizeof caps->name + sizeof caps->driver];
    memset(bytes, 0, sizeof bytes);
    uint32_t tier = (uint32_t)device->tier | (uint32_t)device->fused << 8 | (uint32_t)caps->integer_dot << 9 |
                    (uint32_t)caps->straight << 10; /* what a host did not enable was not looked at */
    uint8_t *at = bytes;
    memcpy(at, caps->device_uuid, 16), at += 16;
    memcpy(at, caps->driver_uuid, 16), at += 16;
    memcpy(at, &caps->driver_version, 4), at += 4;
    memcpy(at, &tier, 4), at += 4; /* a run limited to tier A has shown nothing about B, nor one
                                       * without fused kernels about these */
    memcpy(at, &device->pipelines.shader_hash, 8), at += 8;
    memcpy(at, caps->name, strnlen(caps->name, sizeof caps->name)), at += sizeof caps->name;
    memcpy(at, caps->driver, strnlen(caps->driver, sizeof caps->driver));
    return XXH64(bytes, sizeof bytes, 0);
}

void obi_device_close(obi_device *device)
{
    if (!device) return;
    if (device->handle) {
        obi_pipelines_finish(device);
        obi_memory_finish(device);
        if (!device->adopted.device) device->vk.vkDestroyDevice(device->handle, NULL);
    } else {
        pthread_mutex_destroy(&device->memory.lock);
    }
    obi_instance_destroy(device->instance);
    obi_choices_finish(&device->choices);
    pthread_mutex_destroy(&device->queue_lock);
    obi_free(device);
}

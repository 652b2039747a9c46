#include "gpu/pipeline.h"

#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/alloc.h"
#include "core/file.h"
#include "core/log.h"
#include "core/workers.h"
#include "gpu/device.h"

struct obi_pipeline {
    int kernel;
    obi_tier tier;
    uint32_t spec[OBI_SPEC_MAX];
    uint32_t spec_count;
    VkPipeline handle;
    obi_pipeline *next;
};

/* ---- the cache file: our header with a checksum, then what the driver gave us -------------------------------- */

#define CACHE_MAGIC 0x4350424fu /* "OBPC" */
#define CACHE_VERSION 1u
#define CACHE_BYTES_MAX (64ull << 20)
#define CACHE_HEADER_BYTES 48u

static uint64_t hash_of_all_kernels(void)
{
    uint64_t hash = 0;
    for (int i = 0; i < OBI_KERNEL_COUNT; i++)
        for (int tier = 0; tier < OBI_TIER_COUNT; tier++)
            if (obi_kernels[i].tier[tier].words)
                hash = XXH3_64bits_withSeed(obi_kernels[i].tier[tier].words, obi_kernels[i].tier[tier].bytes, hash + 1);
    return hash;
}

/* The driver's bytes inside `file`, or NULL when it is damaged or belongs to another device, driver or shader set. */
static const uint8_t *check_cache_file(const obi_device *device, const obi_mapping *file, uint64_t *size)
{
    if (file->size > CACHE_BYTES_MAX) return NULL;
    obi_reader reader = obi_reader_over(file->data, file->size);
    uint32_t magic = obi_read_u32(&reader), version = obi_read_u32(&reader);
    const uint8_t *uuid = obi_read_bytes(&reader, 16);
    uint64_t shader_hash = obi_read_u64(&reader);
    *size = obi_read_u64(&reader);
    uint64_t checksum = obi_read_u64(&reader);
    const uint8_t *data = obi_read_bytes(&reader, *size);
    if (reader.failed || obi_reader_left(&reader) != 0 || magic != CACHE_MAGIC || version != CACHE_VERSION) return NULL;
    if (memcmp(uuid, device->caps.driver_uuid, 16) != 0 || shader_hash != device->pipelines.shader_hash) return NULL;
    if (XXH3_64bits(data, (size_t)*size) != checksum) return NULL;
    return data;
}

static void put_u32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (8 * i));
}

static void put_u64(uint8_t *to, uint64_t value)
{
    put_u32(to, (uint32_t)value);
    put_u32(to + 4, (uint32_t)(value >> 32));
}

void obi_pipelines_save(obi_device *device)
{
    obi_pipelines *pipelines = &device->pipelines;
    pthread_mutex_lock(&pipelines->lock);
    bool needed = pipelines->dirty && pipelines->cache_path && pipelines->cache;
    pipelines->dirty = false;
    pthread_mutex_unlock(&pipelines->lock);
    if (!needed) return;
    size_t size = 0;
    uint8_t *data = NULL;
    obi_writer writer;
    writer.descriptor = -1;
    if (device->vk.vkGetPipelineCacheData(device->handle, pipelines->cache, &size, NULL) != VK_SUCCESS || size == 0 ||
        size > CACHE_BYTES_MAX)
        return;
    data = obi_calloc(size + CACHE_HEADER_BYTES, 1);
    if (!data || device->vk.vkGetPipelineCacheData(device->handle, pipelines->cache, &size, data + CACHE_HEADER_BYTES) != VK_SUCCESS)
        goto done;
    put_u32(data, CACHE_MAGIC);
    put_u32(data + 4, CACHE_VERSION);
    memcpy(data + 8, device->caps.driver_uuid, 16);
    put_u64(data + 24, pipelines->shader_hash);
    put_u64(data + 32, size);
    put_u64(data + 40, XXH3_64bits(data + CACHE_HEADER_BYTES, size));
    char *slash = strrchr(pipelines->cache_path, '/');
    *slash = 0;
    obi_status status = obi_make_directories(pipelines->cache_path);
    *slash = '/';
    if (status == OBI_OK) status = obi_writer_open(&writer, pipelines->cache_path);
    if (status == OBI_OK) status = obi_write(&writer, data, size + CACHE_HEADER_BYTES);
    if (status == OBI_OK) status = obi_writer_commit(&writer);
    if (status != OBI_OK) obi_log(OBI_LOG_WARNING, "the pipeline cache was not saved: %s", obi_last_error());
done:
    obi_writer_abandon(&writer);
    obi_free(data);
}

static obi_status create_cache(obi_device *device, const char *cache_dir)
{
    obi_pipelines *pipelines = &device->pipelines;
    obi_mapping file = { 0 };
    const uint8_t *data = NULL;
    uint64_t size = 0;
    if (cache_dir[0]) {
        size_t room = strlen(cache_dir) + 96;
        pipelines->cache_path = obi_calloc(room, 1);
        if (!pipelines->cache_path) return OBI_ERROR_MEMORY;
        int length = snprintf(pipelines->cache_path, room, "%s/pipelines-", cache_dir);
        for (int i = 0; i < 16; i++)
            length += snprintf(pipelines->cache_path + length, room - (size_t)length, "%02x", device->caps.driver_uuid[i]);
        snprintf(pipelines->cache_path + length, room - (size_t)length, "-%016llx.bin", (unsigned long long)pipelines->shader_hash);
        if (obi_mapping_open(&file, pipelines->cache_path) == OBI_OK) {
            data = check_cache_file(device, &file, &size);
            if (!data) obi_log(OBI_LOG_INFO, "%s is damaged or foreign and is made anew", pipelines->cache_path);
        }
    }
    VkPipelineCacheCreateInfo info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                       .initialDataSize = data ? (size_t)size : 0,
                                       .pInitialData = data };
    VkResult result = device->vk.vkCreatePipelineCache(device->handle, &info, NULL, &pipelines->cache);
    if (result != VK_SUCCESS && data) { /* the driver may refuse its own old bytes: start empty */
        info.initialDataSize = 0;
        info.pInitialData = NULL;
        result = device->vk.vkCreatePipelineCache(device->handle, &info, NULL, &pipelines->cache);
    }
    obi_mapping_close(&file);
    if (result != VK_SUCCESS) {
        pipelines->cache = VK_NULL_HANDLE;
        return obi_vk_fail(result, "vkCreatePipelineCache");
    }
    return OBI_OK;
}

obi_status obi_pipelines_init(obi_device *device, const char *cache_dir)
{
    obi_pipelines *pipelines = &device->pipelines;
    pthread_mutex_init(&pipelines->lock, NULL);
    pipelines->shader_hash = hash_of_all_kernels();
    VkDescriptorSetLayoutBinding bindings[OBI_BINDINGS_SET];
    for (uint32_t i = 0; i < OBI_BINDINGS_SET; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){ .binding = i,
                                                      .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                      .descriptorCount = 1,
                                                      .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT };
    VkDescriptorSetLayoutCreateInfo set_info = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                                 .bindingCount = OBI_BINDINGS_SET,
                                                 .pBindings = bindings };
    VkResult result = device->vk.vkCreateDescriptorSetLayout(device->handle, &set_info, NULL, &pipelines->set_layout);
    if (result != VK_SUCCESS) {
        pipelines->set_layout = VK_NULL_HANDLE; /* whatever is there after a failure */
        return obi_vk_fail(result, "vkCreateDescriptorSetLayout");
    }
    VkPushConstantRange push = { .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .offset = 0, .size = OBI_PUSH_BYTES_MAX };
    VkPipelineLayoutCreateInfo layout_info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                               .setLayoutCount = device->caps.bindings / OBI_BINDINGS_SET,
                                               .pSetLayouts = (VkDescriptorSetLayout[]){ pipelines->set_layout, pipelines->set_layout },
                                               .pushConstantRangeCount = 1,
                                               .pPushConstantRanges = &push };
    result = device->vk.vkCreatePipelineLayout(device->handle, &layout_info, NULL, &pipelines->layout);
    if (result != VK_SUCCESS) {
        pipelines->layout = VK_NULL_HANDLE;
        return obi_vk_fail(result, "vkCreatePipelineLayout");
    }
    return create_cache(device, cache_dir);
}

void obi_pipelines_finish(obi_device *device)
{
    obi_pipelines *pipelines = &device->pipelines;
    obi_pipelines_save(device);
    while (pipelines->first) {
        obi_pipeline *next = pipelines->first->next;
        device->vk.vkDestroyPipeline(device->handle, pipelines->first->handle, NULL);
        obi_free(pipelines->first);
        pipelines->first = next;
    }
    if (pipelines->cache) device->vk.vkDestroyPipelineCache(device->handle, pipelines->cache, NULL);
    if (pipelines->layout) device->vk.vkDestroyPipelineLayout(device->handle, pipelines->layout, NULL);
    if (pipelines->set_layout) device->vk.vkDestroyDescriptorSetLayout(device->handle, pipelines->set_layout, NULL);
    obi_free(pipelines->cache_path);
    pthread_mutex_destroy(&pipelines->lock);
}

obi_tier obi_pipeline_tier(const obi_device *device, int kernel)
{
    int tier = (int)device->kernel_tier[kernel];
    if (device->exact && kernel == OBI_KERNEL_DENSE_GEMV_F16 && tier > OBI_TIER_B) tier = OBI_TIER_B; /* C multiplies halves */
    while (tier > 0 && !obi_kernels[kernel].tier[tier].words) tier--;
    return (obi_tier)tier;
}

static obi_status compile(obi_device *device, obi_pipeline *pipeline)
{
    const obi_kernel *kernel = &obi_kernels[pipeline->kernel];
    const obi_spirv *code = &kernel->tier[pipeline->tier];
    VkSpecializationMapEntry entries[OBI_SPEC_MAX];
    for (uint32_t i = 0; i < pipeline->spec_count; i++)
        entries[i] = (VkSpecializationMapEntry){ .constantID = i, .offset = i * 4, .size = 4 };
    VkSpecializationInfo specialization = {
        .mapEntryCount = pipeline->spec_count, .pMapEntries = entries, .dataSize = pipeline->spec_count * 4u, .pData = pipeline->spec
    };
    VkShaderModuleCreateInfo module_info = { .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                             .codeSize = code->bytes,
                                             .pCode = code->words };
    VkShaderModule module;
    OBI_VK(device->vk.vkCreateShaderModule(device->handle, &module_info, NULL, &module));
    VkComputePipelineCreateInfo info = { .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                         .stage = { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                    .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                    .module = module,
                                                    .pName = "main",
                                                    .pSpecializationInfo = &specialization },
                                         .layout = device->pipelines.layout };
    VkResult result = device->vk.vkCreateComputePipelines(device->handle, device->pipelines.cache, 1, &info, NULL, &pipeline->handle);
    device->vk.vkDestroyShaderModule(device->handle, module, NULL);
    /* Some drivers report success with a null handle. */
    if (result != VK_SUCCESS || pipeline->handle == VK_NULL_HANDLE) {
        obi_status status = obi_vk_fail(result, "vkCreateComputePipelines");
        return obi_fail_prefix(status, "kernel %s, tier %s", kernel->name, obi_tier_name(pipeline->tier));
    }
    return OBI_OK;
}

/* Finds it and moves it to the front: a decode loop asks for the same few. NULL: it is not there. The lock is held. */
static obi_pipeline *find(obi_pipelines *pipelines, int kernel, obi_tier tier, const uint32_t *spec, uint32_t spec_count)
{
    for (obi_pipeline **link = &pipelines->first; *link; link = &(*link)->next) {
        obi_pipeline *found = *link;
        if (found->kernel != kernel || found->tier != tier || found->spec_count != spec_count ||
            memcmp(found->spec, spec, spec_count * 4u) != 0)
            continue;
        *link = found->next;
        found->next = pipelines->first;
        pipelines->first = found;
        return found;
    }
    return NULL;
}

static obi_pipeline *new_pipeline(int kernel, obi_tier tier, const uint32_t *spec, uint32_t spec_count)
{
    obi_pipeline *pipeline = obi_calloc(1, sizeof *pipeline);
    if (!pipeline) return NULL;
    pipeline->kernel = kernel;
    pipeline->tier = tier;
    pipeline->spec_count = spec_count;
    memcpy(pipeline->spec, spec, spec_count * 4u);
    return pipeline;
}

static void keep(obi_pipelines *pipelines, obi_pipeline *pipeline)
{
    pipeline->next = pipelines->first;
    pipelines->first = pipeline;
    pipelines->dirty = true;
}

obi_status obi_pipeline_get(obi_device *device, int kernel, const uint32_t *spec, uint32_t spec_count, VkPipeline *handle)
{
    if (kernel < 0 || kernel >= OBI_KERNEL_COUNT || spec_count > OBI_SPEC_MAX)
        return obi_fail(OBI_ERROR_ARGUMENT, "there is no kernel %d", kernel);
    obi_tier tier = obi_pipeline_tier(device, kernel);
    obi_pipelines *pipelines = &device->pipelines;
    obi_status status;
    pthread_mutex_lock(&pipelines->lock);
    obi_pipeline *pipeline = find(pipelines, kernel, tier, spec, spec_count);
    if (pipeline) *handle = pipeline->handle;
    pthread_mutex_unlock(&pipelines->lock);
    if (pipeline) return OBI_OK;
    pipeline = new_pipeline(kernel, tier, spec, spec_count); /* without the lock: a thread with a frame to render may want another */
    if (!pipeline) return OBI_ERROR_MEMORY;
    status = compile(device, pipeline);
    if (status != OBI_OK) {
        obi_free(pipeline);
        return status;
    }
    pthread_mutex_lock(&pipelines->lock);
    obi_pipeline *other = find(pipelines, kernel, tier, spec, spec_count); /* made in the meantime */
    if (!other) keep(pipelines, pipeline);
    *handle = other ? other->handle : pipeline->handle;
    pthread_mutex_unlock(&pipelines->lock);
    if (other) {
        device->vk.vkDestroyPipeline(device->handle, pipeline->handle, NULL);
        obi_free(pipeline);
    }
    return OBI_OK;
}

/* ---- many at once ------------------------------------------------------------------------------------------------ */

typedef struct preparation {
    obi_device *device;
    obi_pipeline **pipelines;
} preparation;

static void compile_some(void *user, uint32_t first, uint32_t count)
{
    preparation *of = user;
    for (uint32_t i = first; i < first + count; i++)
        if (compile(of->device, of->pipelines[i]) != OBI_OK) of->pipelines[i]->handle = VK_NULL_HANDLE;
}

/* What others have made in the meantime is dropped. */
static void keep_all(obi_device *device, obi_pipeline **made, uint32_t count)
{
    pthread_mutex_lock(&device->pipelines.lock);
    for (uint32_t i = 0; i < count; i++) {
        obi_pipeline *pipeline = made[i];
        if (pipeline->handle && !find(&device->pipelines, pipeline->kernel, pipeline->tier, pipeline->spec, pipeline->spec_count)) {
            keep(&device->pipelines, pipeline);
            continue;
        }
        if (pipeline->handle) device->vk.vkDestroyPipeline(device->handle, pipeline->handle, NULL);
        obi_free(pipeline);
    }
    pthread_mutex_unlock(&device->pipelines.lock);
}

void obi_pipelines_prepare(obi_device *device, const obi_pipeline_key *keys, uint32_t count)
{
    obi_pipeline **missing = obi_calloc(count, sizeof *missing);
    uint32_t missing_count = 0;
    if (!missing) return;
    pthread_mutex_lock(&device->pipelines.lock);
    for (uint32_t i = count; i-- > 0;) { /* the last first: a model's head is used last, and its kernel takes longest on lavapipe */
        const obi_pipeline_key *key = &keys[i];
        if (key->kernel < 0 || key->kernel >= OBI_KERNEL_COUNT || key->spec_count > OBI_SPEC_MAX) continue;
        obi_tier tier = obi_pipeline_tier(device, key->kernel);
        if (find(&device->pipelines, key->kernel, tier, key->spec, key->spec_count)) continue;
        missing[missing_count] = new_pipeline(key->kernel, tier, key->spec, key->spec_count);
        if (missing[missing_count]) missing_count++;
    }
    pthread_mutex_unlock(&device->pipelines.lock);
    if (missing_count > 0) {
        preparation of = { device, missing };
        obi_workers *workers = missing_count > 1 ? obi_workers_create() : NULL;
        obi_workers_run(workers, compile_some, &of, missing_count, 1);
        obi_workers_destroy(workers);
        keep_all(device, missing, missing_count);
    }
    obi_free(missing);
}

#include "gpu/descriptors.h"

#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/alloc.h"

#define SETS_PER_POOL 256u
#define SETS_KEPT_MAX 8192u
#define BUCKETS 1024u

typedef struct set_key {
    uint32_t id[OBI_BINDINGS_SET]; /* of the buffer; 0 = not bound */
    uint64_t offset[OBI_BINDINGS_SET], size[OBI_BINDINGS_SET];
} set_key;

typedef struct kept_set {
    set_key key;
    VkDescriptorSet handle;
    struct kept_set *next;
} kept_set;

typedef struct pool {
    VkDescriptorPool handle;
    uint32_t used;
    struct pool *next;
} pool;

struct obi_descriptors {
    obi_device *device;
    pool *pools;
    kept_set *buckets[BUCKETS];
    uint32_t count;
};

obi_status obi_descriptors_create(obi_device *device, obi_descriptors **out)
{
    *out = obi_calloc(1, sizeof **out);
    if (!*out) return OBI_ERROR_MEMORY;
    (*out)->device = device;
    return OBI_OK;
}

static void forget_all(obi_descriptors *sets)
{
    for (uint32_t i = 0; i < BUCKETS; i++) {
        while (sets->buckets[i]) {
            kept_set *next = sets->buckets[i]->next;
            obi_free(sets->buckets[i]);
            sets->buckets[i] = next;
        }
    }
    while (sets->pools) {
        pool *next = sets->pools->next;
        sets->device->vk.vkDestroyDescriptorPool(sets->device->handle, sets->pools->handle, NULL);
        obi_free(sets->pools);
        sets->pools = next;
    }
    sets->count = 0;
}

void obi_descriptors_destroy(obi_descriptors *sets)
{
    if (!sets) return;
    forget_all(sets);
    obi_free(sets);
}

void obi_descriptors_trim(obi_descriptors *sets)
{
    if (sets->count > SETS_KEPT_MAX) forget_all(sets);
}

static obi_status pool_with_room(obi_descriptors *sets)
{
    if (sets->pools && sets->pools->used < SETS_PER_POOL) return OBI_OK;
    pool *fresh = obi_calloc(1, sizeof *fresh);
    if (!fresh) return OBI_ERROR_MEMORY;
    VkDescriptorPoolSize size = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, SETS_PER_POOL * OBI_BINDINGS_SET };
    VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = SETS_PER_POOL, .poolSizeCount = 1, .pPoolSizes = &size
    };
    VkResult result = sets->device->vk.vkCreateDescriptorPool(sets->device->handle, &info, NULL, &fresh->handle);
    if (result != VK_SUCCESS) {
        obi_free(fresh);
        return obi_vk_fail(result, "vkCreateDescriptorPool");
    }
    fresh->next = sets->pools;
    sets->pools = fresh;
    return OBI_OK;
}

obi_status obi_descriptors_get(obi_descriptors *sets, const obi_binding *bindings, uint32_t count, VkDescriptorSet *set)
{
    set_key key;
    memset(&key, 0, sizeof key);
    for (uint32_t i = 0; i < count; i++) {
        key.id[i] = bindings[i].view.buffer->id;
        key.offset[i] = bindings[i].view.offset;
        key.size[i] = bindings[i].view.size;
    }
    kept_set **bucket = &sets->buckets[XXH3_64bits(&key, sizeof key) % BUCKETS];
    for (kept_set *kept = *bucket; kept; kept = kept->next)
        if (memcmp(&kept->key, &key, sizeof key) == 0) {
            *set = kept->handle;
            return OBI_OK;
        }
    OBI_TRY(pool_with_room(sets));
    kept_set *kept = obi_calloc(1, sizeof *kept);
    if (!kept) return OBI_ERROR_MEMORY;
    obi_device *device = sets->device;
    VkDescriptorSetAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                         .descriptorPool = sets->pools->handle,
                                         .descriptorSetCount = 1,
                                         .pSetLayouts = &device->pipelines.set_layout };
    VkResult result = device->vk.vkAllocateDescriptorSets(device->handle, &info, &kept->handle);
    if (result == VK_ERROR_OUT_OF_POOL_MEMORY || result == VK_ERROR_FRAGMENTED_POOL) { /* a driver may count otherwise than we do */
        sets->pools->used = SETS_PER_POOL;
        obi_status status = pool_with_room(sets);
        if (status != OBI_OK) {
            obi_free(kept);
            return status;
        }
        info.descriptorPool = sets->pools->handle;
        result = device->vk.vkAllocateDescriptorSets(device->handle, &info, &kept->handle);
    }
    if (result != VK_SUCCESS) {
        obi_free(kept);
        return obi_vk_fail(result, "vkAllocateDescriptorSets");
    }
    VkDescriptorBufferInfo buffers[OBI_BINDINGS_SET];
    VkWriteDescriptorSet writes[OBI_BINDINGS_SET];
    for (uint32_t i = 0; i < count; i++) {
        buffers[i] = (VkDescriptorBufferInfo){ bindings[i].view.buffer->handle, bindings[i].view.buffer->first + bindings[i].view.offset,
                                               bindings[i].view.size };
        writes[i] = (VkWriteDescriptorSet){ .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                            .dstSet = kept->handle,
                                            .dstBinding = i,
                                            .descriptorCount = 1,
                                            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                            .pBufferInfo = &buffers[i] };
    }
    device->vk.vkUpdateDescriptorSets(device->handle, count, writes, 0, NULL);
    sets->pools->used++;
    sets->count++;
    kept->key = key;
    kept->next = *bucket;
    *bucket = kept;
    *set = kept->handle;
    return OBI_OK;
}

/* chain: what the Vulkan layers of the tests share: the loader's links to the next layer, and what a layer keeps for an
 * instance or a device, found again by any handle of it. Included by one source file of a layer. */
#ifndef OB_TESTS_LAYERS_CHAIN_H
#define OB_TESTS_LAYERS_CHAIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <vulkan/vk_layer.h>

#define CHAIN_EXPORT __attribute__((visibility("default")))

/* The link of a kind in a create info's chain: const there, but the loader wants it to be moved on. */
static inline VkLayerInstanceCreateInfo *chain_instance_link(const VkInstanceCreateInfo *info)
{
    const VkBaseInStructure *at = info->pNext;
    for (; at; at = at->pNext)
        if (at->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO &&
            ((const VkLayerInstanceCreateInfo *)(const void *)at)->function == VK_LAYER_LINK_INFO)
            break;
    return (VkLayerInstanceCreateInfo *)(uintptr_t)at;
}

static inline VkLayerDeviceCreateInfo *chain_device_link(const VkDeviceCreateInfo *info)
{
    const VkBaseInStructure *at = info->pNext;
    for (; at; at = at->pNext)
        if (at->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO &&
            ((const VkLayerDeviceCreateInfo *)(const void *)at)->function == VK_LAYER_LINK_INFO)
            break;
    return (VkLayerDeviceCreateInfo *)(uintptr_t)at;
}

/* Handles of an instance (its physical devices too), and those of a device (queues, command buffers), begin with the same
 * pointer, which the loader has put there. */
enum { CHAIN_MAX = 64 };
static struct {
    pthread_mutex_t lock;
    struct { const void *key; void *data; } entry[CHAIN_MAX];
} chain = { .lock = PTHREAD_MUTEX_INITIALIZER };

static inline const void *chain_key(const void *handle) { return *(const void *const *)handle; }

/* Replaces what `from` had in its place by `to`: NULL data makes room. Ends the process when there is none: this is a test. */
static inline void chain_put(const void *key, const void *from, void *to)
{
    int i = 0;
    pthread_mutex_lock(&chain.lock);
    while (i < CHAIN_MAX && !(chain.entry[i].data == from && (!from || chain.entry[i].key == key))) i++;
    if (i == CHAIN_MAX) abort();
    chain.entry[i].key = key;
    chain.entry[i].data = to;
    pthread_mutex_unlock(&chain.lock);
}

static inline void *chain_get(const void *handle)
{
    void *data = NULL;
    const void *key = chain_key(handle);
    pthread_mutex_lock(&chain.lock);
    for (int i = 0; i < CHAIN_MAX && !data; i++)
        if (chain.entry[i].data && chain.entry[i].key == key) data = chain.entry[i].data;
    pthread_mutex_unlock(&chain.lock);
    if (!data) abort();
    return data;
}

#endif

#include "gpu/memory.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/host_memory.h"
#include "gpu/device.h"

/* Arenas grow from 16 to 256 MiB, so that a tiny model does not take a quarter of a phone's memory and a large one
 * stays far below the 4096 allocations a driver allows. */
#define ARENA_BYTES_FIRST (16ull << 20)
#define ARENA_BYTES_MAX (256ull << 20)
/* When the need is known, large buffers have an arena of their own, as long as there are few; so do those of transfers, which
 * come and go, from a smaller size on. */
#define BUFFER_ALONE_BYTES (32ull << 20)
#define TRANSFER_ALONE_BYTES (1ull << 20)
#define BUFFERS_ALONE_MAX 1024u
#define ARENA_BYTES_LAST (1ull << 20) /* beyond the expected */
#define BUFFER_USAGE (VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT)

typedef struct free_range {
    uint64_t offset, size;
    struct free_range *next; /* by offset */
} free_range;

struct obi_arena {
    VkDeviceMemory memory;
    uint64_t size;
    uint32_t type;
    bool coherent;
    bool transfer; /* for one buffer of a transfer */
    bool imported; /* the host's memory, for one buffer that is not in the device's list and counts */
    uint8_t *mapped;
    free_range *free;
    uint32_t buffers;
    obi_arena *next;
};

obi_status obi_memory_init(obi_memory *memory)
{
    memset(memory, 0, sizeof *memory);
    pthread_mutex_init(&memory->lock, NULL);
    return OBI_OK;
}

static void arena_free(obi_device *device, obi_arena *arena)
{
    while (arena->free) {
        free_range *next = arena->free->next;
        obi_free(arena->free);
        arena->free = next;
    }
    if (arena->memory) device->vk.vkFreeMemory(device->handle, arena->memory, NULL); /* unmaps */
    if (arena->memory && !arena->imported) {
        device->memory.allocations--;
        device->memory.reserved_bytes -= arena->size;
        if (arena->transfer) device->memory.transfer_bytes -= arena->size;
    }
    obi_free(arena);
}

void obi_memory_finish(obi_device *device)
{
    while (device->memory.arenas) {
        obi_arena *next = device->memory.arenas->next;
        arena_free(device, device->memory.arenas);
        device->memory.arenas = next;
    }
    pthread_mutex_destroy(&device->memory.lock);
}

uint64_t obi_memory_left(obi_device *device)
{
    uint64_t left = device->caps.unified ? obi_host_memory_available() : device->caps.heap_bytes;
    if (left == 0) return UINT64_MAX;
    pthread_mutex_lock(&device->memory.lock);
    /* What the host says is available has what we took gone from it, but not the pages of files, which it would read again. */
    uint64_t used = device->caps.unified                      ? device->memory.imported_bytes
                    : device->memory.expected_bytes > 0 ? device->memory.used_bytes
                                                        : device->memory.reserved_bytes;
    pthread_mutex_unlock(&device->memory.lock);
    return used < left ? left - used : 0;
}

obi_status obi_memory_fits(obi_device *device, uint64_t bytes, const char *what)
{
    uint64_t left = obi_memory_left(device);
    if (bytes <= left) return OBI_OK;
    return obi_fail(OBI_ERROR_MEMORY,
                    "%s need %.1f MiB and %s has %.1f MiB left; use a smaller model or context (-c), or close other programs", what,
                    (double)bytes / 1048576.0, device->caps.unified ? "this machine" : device->caps.name, (double)left / 1048576.0);
}

void obi_memory_expect(obi_device *device, uint64_t bytes)
{
    obi_memory *memory = &device->memory;
    pthread_mutex_lock(&memory->lock);
    memory->expected_bytes = bytes > 0 ? memory->reserved_bytes - memory->transfer_bytes + bytes : 0;
    memory->peak_bytes = memory->reserved_bytes;
    pthread_mutex_unlock(&memory->lock);
}

/* The memory type for `kind` among `allowed`, best first; -1 when there is none. */
static int choose_type(const obi_device *device, uint32_t allowed, obi_memory_kind kind)
{
    const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, visible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT,
                                coherent = VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    const VkMemoryPropertyFlags wishes[OBI_MEMORY_KIND_COUNT][3] = {
        { local, 0, 0 }, { visible | coherent, visible, visible }, { visible | cached | coherent, visible | cached, visible } };
    VkPhysicalDeviceMemoryProperties memory;
    device->instance->vk.vkGetPhysicalDeviceMemoryProperties(device->physical, &memory);
    for (int wish = 0; wish < 3; wish++)
        for (uint32_t i = 0; i < memory.memoryTypeCount; i++) {
            VkMemoryPropertyFlags flags = memory.memoryTypes[i].propertyFlags;
            if (flags & (VK_MEMORY_PROPERTY_PROTECTED_BIT | VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT |
                         VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD)) /* each needs a feature or a use that we have not */
                continue;
            if ((allowed >> i & 1) && (flags & wishes[kind][wish]) == wishes[kind][wish]) return (int)i;
        }
    return -1;
}

static VkResult arena_allocate(obi_device *device, uint64_t size, uint32_t type, obi_arena *arena)
{
    VkMemoryAllocateFlagsInfo address = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                          .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT };
    VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .pNext = device->addresses ? &address : NULL,
                                  .allocationSize = size, .memoryTypeIndex = type };
    VkResult result = device->vk.vkAllocateMemory(device->handle, &info, NULL, &arena->memory);
    if (result != VK_SUCCESS) {
        arena->memory = VK_NULL_HANDLE;
        return result;
    }
    device->memory.allocations++;
    device->memory.reserved_bytes += size;
    if (device->memory.reserved_bytes > device->memory.peak_bytes) device->memory.peak_bytes = device->memory.reserved_bytes;
    arena->size = size;
    return VK_SUCCESS;
}

static bool is_alone(const obi_device *device, uint64_t needed, obi_memory_kind kind)
{
    uint64_t most = kind == OBI_MEMORY_DEVICE ? BUFFER_ALONE_BYTES : TRANSFER_ALONE_BYTES;
    return device->memory.expected_bytes > 0 && needed >= most && device->memory.allocations < BUFFERS_ALONE_MAX;
}

/* Bytes of a new arena that `needed` are taken from. */
static uint64_t arena_size(const obi_device *device, uint64_t needed, uint32_t type, obi_memory_kind kind)
{
    const obi_memory *memory = &device->memory;
    uint64_t size = ARENA_BYTES_FIRST;
    if (memory->expected_bytes > 0) {
        uint64_t there = memory->reserved_bytes - memory->transfer_bytes;
        uint64_t left = memory->expected_bytes > there ? memory->expected_bytes - there : 0;
        size = is_alone(device, needed, kind) || kind != OBI_MEMORY_DEVICE || left < ARENA_BYTES_LAST ? ARENA_BYTES_LAST : left;
        if (size > ARENA_BYTES_MAX) size = ARENA_BYTES_MAX;
    } else {
        for (const obi_arena *other = memory->arenas; other; other = other->next)
            if (other->type == type && size < ARENA_BYTES_MAX) size *= 2;
    }
    if (device->caps.allocation_max && size > device->caps.allocation_max) size = device->caps.allocation_max;
    return size < needed ? needed : size;
}

static obi_status arena_create(obi_device *device, uint64_t needed, uint32_t type, obi_memory_kind kind, obi_arena **out)
{
    VkPhysicalDeviceMemoryProperties memory;
    device->instance->vk.vkGetPhysicalDeviceMemoryProperties(device->physical, &memory);
    VkMemoryPropertyFlags flags = memory.memoryTypes[type].propertyFlags;
    uint64_t size = arena_size(device, needed, type, kind);
    obi_arena *arena = obi_calloc(1, sizeof *arena);
    free_range *range = obi_calloc(1, sizeof *range);
    if (!arena || !range) {
        obi_free(arena);
        obi_free(range);
        return OBI_ERROR_MEMORY;
    }
    arena->type = type;
    arena->transfer = kind != OBI_MEMORY_DEVICE && is_alone(device, needed, kind);
    arena->coherent = (flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) != 0;
    VkResult result = arena_allocate(device, size, type, arena);
    if (result != VK_SUCCESS && size > needed) result = arena_allocate(device, needed, type, arena);
    if (result != VK_SUCCESS) {
        obi_free(range);
        obi_free(arena);
        obi_status status = obi_vk_fail(result, "vkAllocateMemory");
        if (status != OBI_ERROR_MEMORY) return status;
        return obi_fail(OBI_ERROR_MEMORY, "%s has no memory left: %.1f MiB were refused, %.1f MiB are in use of a heap of %.1f MiB; "
                        "use a smaller model or context (-c), or close other programs", device->caps.name, (double)needed / 1048576.0,
                        (double)device->memory.used_bytes / 1048576.0, (double)device->caps.heap_bytes / 1048576.0);
    }
    if (arena->transfer) device->memory.transfer_bytes += arena->size;
    range->size = arena->size;
    arena->free = range;
    if (flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) {
        void *mapped = NULL;
        result = device->vk.vkMapMemory(device->handle, arena->memory, 0, VK_WHOLE_SIZE, 0, &mapped);
        if (result != VK_SUCCESS) {
            arena_free(device, arena);
            return obi_vk_fail(result, "vkMapMemory");
        }
        arena->mapped = mapped;
    }
    arena->next = device->memory.arenas;
    device->memory.arenas = arena;
    *out = arena;
    return OBI_OK;
}

/* First fit. Offsets and sizes are kept multiples of `alignment` by rounding every size up. */
static bool arena_take(obi_arena *arena, uint64_t size, uint64_t *offset)
{
    for (free_range **link = &arena->free; *link; link = &(*link)->next) {
        free_range *range = *link;
        if (range->size < size) continue;
        *offset = range->offset;
        range->offset += size;
        range->size -= size;
        if (range->size == 0) {
            *link = range->next;
            obi_free(range);
        }
        arena->buffers++;
        return true;
    }
    return false;
}

static void arena_give_back(obi_arena *arena, uint64_t offset, uint64_t size)
{
    arena->buffers--;
    free_range **link = &arena->free, *before = NULL;
    while (*link && (*link)->offset < offset) {
        before = *link;
        link = &(*link)->next;
    }
    free_range *after = *link;
    if (before && before->offset + before->size == offset) {
        before->size += size;
        if (after && before->offset + before->size == after->offset) {
            before->size += after->size;
            before->next = after->next;
            obi_free(after);
        }
        return;
    }
    if (after && offset + size == after->offset) {
        after->offset = offset;
        after->size += size;
        return;
    }
    free_range *range = obi_calloc(1, sizeof *range);
    if (!range) return; /* the space is lost until the arena goes; nothing dangles */
    range->offset = offset;
    range->size = size;
    range->next = after;
    *link = range;
}

static obi_status take_memory(obi_device *device, obi_buffer *buffer, uint64_t size, uint64_t alignment, uint32_t type)
{
    bool alone = is_alone(device, size, buffer->kind);
    for (obi_arena *arena = device->memory.arenas; arena && !alone; arena = arena->next)
        if (arena->type == type && arena_take(arena, size, &buffer->offset)) {
            buffer->arena = arena;
            return OBI_OK;
        }
    obi_arena *arena = NULL;
    OBI_TRY(arena_create(device, obi_align_up(size, alignment), type, buffer->kind, &arena));
    if (!arena_take(arena, size, &buffer->offset)) return obi_fail(OBI_ERROR_MEMORY, "a new arena had no room");
    buffer->arena = arena;
    return OBI_OK;
}

static uint32_t new_id(void)
{
    static atomic_uint next_id;
    return atomic_fetch_add(&next_id, 1) + 1;
}

obi_status obi_buffer_create(obi_device *device, uint64_t size, obi_memory_kind kind, obi_buffer **out)
{
    *out = NULL;
    if (size == 0) return obi_fail(OBI_ERROR_ARGUMENT, "a buffer of 0 bytes cannot be");
    obi_buffer *buffer = obi_calloc(1, sizeof *buffer);
    if (!buffer) return OBI_ERROR_MEMORY;
    buffer->size = size;
    buffer->kind = kind;
    buffer->id = new_id();
    obi_status status = OBI_OK;
    VkBufferCreateInfo info = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = obi_align_up(size, 4), .usage = BUFFER_USAGE,
                                .sharingMode = VK_SHARING_MODE_EXCLUSIVE };
    if (device->addresses) info.usage |= VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
    VkResult result = device->vk.vkCreateBuffer(device->handle, &info, NULL, &buffer->handle);
    if (result != VK_SUCCESS) {
        buffer->handle = VK_NULL_HANDLE;
        status = obi_vk_fail(result, "vkCreateBuffer");
        goto done;
    }
    VkMemoryRequirements needs;
    device->vk.vkGetBufferMemoryRequirements(device->handle, buffer->handle, &needs);
    int type = choose_type(device, needs.memoryTypeBits, kind);
    if (type < 0) {
        status = obi_fail(OBI_ERROR_RUNTIME, "%s offers no memory type for buffers that we can use", device->caps.name);
        goto done;
    }
    uint64_t alignment = OBI_BUFFER_ALIGNMENT;
    if (needs.alignment > alignment) alignment = needs.alignment;
    if (device->caps.atom > alignment) alignment = device->caps.atom;
    buffer->reserved = obi_align_up(needs.size, alignment);
    pthread_mutex_lock(&device->memory.lock);
    status = take_memory(device, buffer, buffer->reserved, alignment, (uint32_t)type);
    if (status == OBI_OK) device->memory.used_bytes += buffer->reserved;
    pthread_mutex_unlock(&device->memory.lock);
    if (status != OBI_OK) goto done;
    result = device->vk.vkBindBufferMemory(device->handle, buffer->handle, buffer->arena->memory, buffer->offset);
    if (result != VK_SUCCESS) {
        status = obi_vk_fail(result, "vkBindBufferMemory");
        goto done;
    }
    VkBufferDeviceAddressInfo address = { .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, .buffer = buffer->handle };
    if (device->addresses) buffer->address = device->vk.vkGetBufferDeviceAddress(device->handle, &address);
    if (kind != OBI_MEMORY_DEVICE) buffer->mapped = buffer->arena->mapped + buffer->offset;
done:
    if (status != OBI_OK) obi_buffer_destroy(device, buffer);
    else *out = buffer;
    return status;
}

void obi_buffer_destroy(obi_device *device, obi_buffer *buffer)
{
    if (!buffer) return;
    if (buffer->handle) device->vk.vkDestroyBuffer(device->handle, buffer->handle, NULL);
    if (buffer->arena && buffer->arena->imported) {
        pthread_mutex_lock(&device->memory.lock);
        device->memory.imported_bytes -= buffer->reserved;
        pthread_mutex_unlock(&device->memory.lock);
        arena_free(device, buffer->arena);
    } else if (buffer->arena) {
        pthread_mutex_lock(&device->memory.lock);
        device->memory.used_bytes -= buffer->reserved;
        obi_arena *arena = buffer->arena;
        arena_give_back(arena, buffer->offset, buffer->reserved);
        if (arena->buffers == 0) { /* give the memory back at once: quantising frees and takes layer by layer */
            for (obi_arena **link = &device->memory.arenas; *link; link = &(*link)->next)
                if (*link == arena) {
                    *link = arena->next;
                    break;
                }
            arena_free(device, arena);
        }
        pthread_mutex_unlock(&device->memory.lock);
    }
    obi_free(buffer);
}

/* ---- a mapped file as a buffer ---------------------------------------------------------------------------------- */

/* A part of a mapped file, and the pages around it. */
typedef struct import_part {
    const obi_mapping *mapping;
    uint64_t offset, size;
    uintptr_t begin, end;
} import_part;

/* Finds the pages that hold `more` bytes behind the part too, whole as the driver wants them; false when they leave the mapping's. */
static bool find_pages(const obi_device *device, uint64_t more, import_part *part)
{
    uint64_t unit = device->caps.import_alignment, page = (uint64_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)part->mapping->data, last = first + obi_align_up(part->mapping->size, page);
    part->begin = (first + part->offset) / unit * unit;
    part->end = obi_align_up(first + part->offset + part->size + more, unit);
    return part->begin >= first && part->end <= last && part->end - part->begin <= device->caps.allocation_max;
}

/* A type that is the device's own and needs no flush; -1 when there is none: the pages would be read from afar, or never arrive. */
static int shared_type(const obi_device *device, uint32_t allowed)
{
    const VkMemoryPropertyFlags wanted = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkPhysicalDeviceMemoryProperties memory;
    device->instance->vk.vkGetPhysicalDeviceMemoryProperties(device->physical, &memory);
    for (uint32_t i = 0; i < memory.memoryTypeCount; i++)
        if ((allowed >> i & 1) && (memory.memoryTypes[i].propertyFlags & wanted) == wanted) return (int)i;
    return -1;
}

static bool import_memory(obi_device *device, const import_part *part, uint32_t allowed, VkDeviceMemory *memory)
{
    VkMemoryHostPointerPropertiesEXT host = { .sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT };
    const VkExternalMemoryHandleTypeFlagBits kind = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
    if (device->vk.vkGetMemoryHostPointerPropertiesEXT(device->handle, kind, (void *)part->begin, &host) != VK_SUCCESS) return false;
    int type = shared_type(device, allowed & host.memoryTypeBits);
    if (type < 0) return false;
    VkMemoryAllocateFlagsInfo address = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                          .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT };
    VkImportMemoryHostPointerInfoEXT import = { .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
                                                .pNext = device->addresses ? &address : NULL, .handleType = kind,
                                                .pHostPointer = (void *)part->begin };
    VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .pNext = &import,
                                  .allocationSize = part->end - part->begin, .memoryTypeIndex = (uint32_t)type };
    if (device->vk.vkAllocateMemory(device->handle, &info, NULL, memory) == VK_SUCCESS) return true;
    *memory = VK_NULL_HANDLE; /* whatever the driver left there */
    return false;
}

/* A driver that refused one refuses all: no model waits for hundreds. */
static bool refused(obi_device *device)
{
    atomic_store(&device->memory.import_failed, true);
    return false;
}

static bool make_import(obi_device *device, import_part *part, obi_buffer *buffer)
{
    /* The VkBuffer begins at a multiple of an alignment that is known once it is made, of 256 at most: it has room for that. */
    uint64_t place = ((uintptr_t)part->mapping->data + part->offset) % device->caps.import_alignment;
    VkExternalMemoryBufferCreateInfo external = { .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
                                                  .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT };
    VkBufferCreateInfo info = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .pNext = &external,
                                .size = place % OBI_BUFFER_ALIGNMENT + part->size,
                                .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT,
                                .sharingMode = VK_SHARING_MODE_EXCLUSIVE };
    if (device->addresses) info.usage |= VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
    if (device->vk.vkCreateBuffer(device->handle, &info, NULL, &buffer->handle) != VK_SUCCESS) {
        buffer->handle = VK_NULL_HANDLE;
        return refused(device);
    }
    VkMemoryRequirements needs;
    device->vk.vkGetBufferMemoryRequirements(device->handle, buffer->handle, &needs);
    if (needs.alignment == 0) return refused(device);
    uint64_t at = place / needs.alignment * needs.alignment; /* of the VkBuffer in the memory */
    buffer->first = place - at;
    /* Kernels that read by addresses load fours of words at once. */
    uint64_t alignment = device->addresses && device->caps.buffer_alignment < 16 ? 16 : device->caps.buffer_alignment;
    if (buffer->first + part->size > info.size || buffer->first % alignment != 0) return false;
    uint64_t beyond = at + needs.size - (place + part->size); /* the last page may not be the part's last */
    if (!find_pages(device, beyond, part)) return false;
    if (!import_memory(device, part, needs.memoryTypeBits, &buffer->arena->memory)) return refused(device);
    if (device->vk.vkBindBufferMemory(device->handle, buffer->handle, buffer->arena->memory, at) != VK_SUCCESS) return refused(device);
    VkBufferDeviceAddressInfo address = { .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, .buffer = buffer->handle };
    if (device->addresses) buffer->address = device->vk.vkGetBufferDeviceAddress(device->handle, &address) + buffer->first;
    return true;
}

/* A discrete device whose memory the host sees whole counts as unified, but it would read the pages over the bus. */
bool obi_memory_imports(const obi_device *device)
{
    return device->caps.unified && device->caps.type != VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU && device->caps.import_alignment > 0 &&
           device->caps.buffer_alignment > 0 && !atomic_load(&device->memory.import_failed);
}

bool obi_buffer_import(obi_device *device, const obi_mapping *mapping, uint64_t offset, uint64_t size, obi_buffer **out)
{
    import_part part = { .mapping = mapping, .offset = offset, .size = size };
    *out = NULL;
    if (!obi_memory_imports(device) || !mapping->users || size == 0 || size % 4 || offset % 4 || offset > mapping->size ||
        size > mapping->size - offset || !find_pages(device, 0, &part))
        return false;
    obi_buffer *buffer = obi_calloc(1, sizeof *buffer);
    if (!buffer) return false;
    buffer->size = size;
    buffer->id = new_id();
    buffer->arena = obi_calloc(1, sizeof *buffer->arena);
    bool made = buffer->arena != NULL;
    if (made) {
        buffer->arena->imported = true;
        made = make_import(device, &part, buffer);
    }
    if (made) {
        pthread_mutex_lock(&device->memory.lock);
        device->memory.imported_bytes += size;
        pthread_mutex_unlock(&device->memory.lock);
        buffer->reserved = size;
        *out = buffer;
    } else {
        obi_buffer_destroy(device, buffer);
    }
    return made;
}

void *obi_buffer_host(const obi_buffer *buffer) { return buffer->arena->mapped ? buffer->arena->mapped + buffer->offset : NULL; }

static obi_status sync_range(obi_device *device, const obi_buffer *buffer, uint64_t offset, uint64_t size, bool flush)
{
    if (buffer->arena->coherent || !buffer->arena->mapped) return OBI_OK;
    uint64_t atom = device->caps.atom;
    uint64_t begin = (buffer->offset + offset) / atom * atom, end = obi_align_up(buffer->offset + offset + size, atom);
    if (end > buffer->arena->size) end = buffer->arena->size;
    VkMappedMemoryRange range = { .sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE, .memory = buffer->arena->memory, .offset = begin,
                                  .size = end - begin };
    VkResult result = flush ? device->vk.vkFlushMappedMemoryRanges(device->handle, 1, &range)
                            : device->vk.vkInvalidateMappedMemoryRanges(device->handle, 1, &range);
    return result < 0 ? obi_vk_fail(result, flush ? "vkFlushMappedMemoryRanges" : "vkInvalidateMappedMemoryRanges") : OBI_OK;
}

obi_status obi_buffer_flush(obi_device *device, const obi_buffer *buffer, uint64_t offset, uint64_t size)
{
    return sync_range(device, buffer, offset, size, true);
}

obi_status obi_buffer_invalidate(obi_device *device, const obi_buffer *buffer, uint64_t offset, uint64_t size)
{
    return sync_range(device, buffer, offset, size, false);
}

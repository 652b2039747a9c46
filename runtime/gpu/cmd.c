#include "gpu/cmd.h"

#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "gpu/barrier.h"
#include "gpu/descriptors.h"
#include "gpu/profile.h"

#define WAIT_SECONDS 60u
#define PART_BYTES_CPU (4ull << 20) /* well below a millisecond of reading memory, on a CPU and on a small GPU */
#define PART_BYTES_GPU (32ull << 20)
#define SCRATCH_SIZES 64 /* each is at least twice as large as the one before */
#define WAITS_MAX 5u /* 5 minutes in all: a software driver under a sanitizer is that slow */

struct obi_cmd {
    obi_device *device;
    VkCommandPool pool;
    VkCommandBuffer handle;
    VkFence fence;
    obi_descriptors *descriptors;
    obi_profile *profile; /* NULL: off */
    obi_tracker tracker;
    obi_status status;
    bool recording, submitted;
    double submitted_at, longest;
    obi_slice *slice; /* NULL: everything is recorded; set until it was waited for */
    bool noting; /* between obi_cmd_begin_noting and obi_cmd_prepare */
    obi_pipeline_key *noted;
    uint32_t noted_count, noted_room;
    bool kept; /* begun to be submitted more than once */
    unsigned kept_kernels; /* device->kernels_changed then */
    bool host_reads; /* a READBACK buffer was written: a barrier to the host at the end */
    VkPipeline bound;
    uint32_t submits, barriers, dispatches;
    obi_buffer *scratch;
    obi_buffer *counters;
    bool counting; /* the command buffer puts the counters to zero */
    obi_buffer *outgrown[SCRATCH_SIZES]; /* earlier ones, which this command buffer may still use; NULL at the end */
};

obi_status obi_cmd_create(obi_device *device, obi_cmd **out)
{
    *out = NULL;
    obi_cmd *cmd = obi_calloc(1, sizeof *cmd);
    if (!cmd) return OBI_ERROR_MEMORY;
    cmd->device = device;
    obi_status status;
    VkCommandPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                     .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                     .queueFamilyIndex = device->caps.queue_family };
    VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    VkResult result = device->vk.vkCreateCommandPool(device->handle, &pool, NULL, &cmd->pool);
    if (result != VK_SUCCESS) cmd->pool = VK_NULL_HANDLE; /* whatever is there after a failure */
    if (result == VK_SUCCESS) {
        VkCommandBufferAllocateInfo buffer = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                               .commandPool = cmd->pool,
                                               .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                               .commandBufferCount = 1 };
        result = device->vk.vkAllocateCommandBuffers(device->handle, &buffer, &cmd->handle);
    }
    if (result == VK_SUCCESS) {
        result = device->vk.vkCreateFence(device->handle, &fence, NULL, &cmd->fence);
        if (result != VK_SUCCESS) cmd->fence = VK_NULL_HANDLE;
    }
    status = result == VK_SUCCESS ? obi_descriptors_create(device, &cmd->descriptors) : obi_vk_fail(result, "vkCreateCommandPool");
    if (status != OBI_OK) obi_cmd_destroy(cmd);
    else *out = cmd;
    return status;
}

static void drop_outgrown(obi_cmd *cmd)
{
    for (int i = 0; i < SCRATCH_SIZES && cmd->outgrown[i]; i++) {
        obi_buffer_destroy(cmd->device, cmd->outgrown[i]);
        cmd->outgrown[i] = NULL;
    }
}

void obi_cmd_destroy(obi_cmd *cmd)
{
    if (!cmd) return;
    if (cmd->submitted) obi_cmd_wait(cmd);
    obi_device *device = cmd->device;
    obi_profile_destroy(device, cmd->profile);
    drop_outgrown(cmd);
    obi_free(cmd->noted);
    obi_buffer_destroy(device, cmd->scratch);
    obi_buffer_destroy(device, cmd->counters);
    obi_descriptors_destroy(cmd->descriptors);
    if (cmd->fence) device->vk.vkDestroyFence(device->handle, cmd->fence, NULL);
    if (cmd->pool) device->vk.vkDestroyCommandPool(device->handle, cmd->pool, NULL); /* frees the command buffer */
    obi_free(cmd);
}

obi_device *obi_cmd_device(const obi_cmd *cmd) { return cmd->device; }
obi_status obi_cmd_status(const obi_cmd *cmd) { return cmd->status; }
uint32_t obi_cmd_submits(const obi_cmd *cmd) { return cmd->submits; }
double obi_cmd_longest(const obi_cmd *cmd) { return cmd->longest; }
uint32_t obi_cmd_barriers(const obi_cmd *cmd) { return cmd->barriers; }
uint32_t obi_cmd_dispatches(const obi_cmd *cmd) { return cmd->dispatches; }

static obi_status make_counters(obi_cmd *cmd)
{
    return cmd->counters ? OBI_OK : obi_buffer_create(cmd->device, OBI_COUNTERS * 4, OBI_MEMORY_DEVICE, &cmd->counters);
}

obi_status obi_cmd_reserve(obi_cmd *cmd, uint64_t bytes)
{
    if (cmd->device->fused) OBI_TRY(make_counters(cmd)); /* so that no memory is taken later */
    if (bytes == 0 || (cmd->scratch && cmd->scratch->size >= bytes)) return OBI_OK;
    obi_buffer *larger;
    OBI_TRY(obi_buffer_create(cmd->device, bytes, OBI_MEMORY_DEVICE, &larger));
    int used = 0;
    while (cmd->outgrown[used]) used++;
    cmd->outgrown[used] = cmd->scratch;
    cmd->scratch = larger;
    return OBI_OK;
}

bool obi_cmd_scratch(obi_cmd *cmd, uint64_t bytes, obi_view *view)
{
    if (cmd->status != OBI_OK) return false;
    if (!cmd->scratch || cmd->scratch->size < bytes) {
        uint64_t twice = cmd->scratch ? cmd->scratch->size * 2 : 0;
        cmd->status = obi_cmd_reserve(cmd, twice > bytes ? twice : bytes);
        if (cmd->status != OBI_OK) return false;
    }
    view->buffer = cmd->scratch;
    view->offset = 0;
    view->size = bytes;
    return true;
}

/* Zeros are stored once in a command buffer, by which what was left behind by a run that broke off is of no matter either. */
bool obi_cmd_counters(obi_cmd *cmd, obi_view *view)
{
    if (cmd->status == OBI_OK) cmd->status = make_counters(cmd);
    if (cmd->status != OBI_OK) return false;
    *view = obi_view_of(cmd->counters);
    if (!cmd->counting) obi_cmd_fill(cmd, *view, 0);
    cmd->counting = !cmd->noting;
    return cmd->status == OBI_OK;
}

void obi_cmd_fail(obi_cmd *cmd, obi_status status)
{
    if (cmd->status == OBI_OK) cmd->status = status;
}

static void record_barrier(obi_cmd *cmd)
{
    VkMemoryBarrier barrier = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                                .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                                                 VK_ACCESS_TRANSFER_WRITE_BIT };
    VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    cmd->device->vk.vkCmdPipelineBarrier(cmd->handle, stages, stages, 0, 1, &barrier, 0, NULL, 0, NULL);
    obi_tracker_reset(&cmd->tracker);
}

static void begin(obi_cmd *cmd, bool kept)
{
    if (cmd->noting) return;
    cmd->kept = false;
    if (cmd->submitted) {
        obi_status status = obi_cmd_wait(cmd);
        cmd->status = status;
    } else {
        cmd->status = OBI_OK;
    }
    if (cmd->device->lost) cmd->status = obi_fail(OBI_ERROR_DEVICE_LOST, "%s was lost earlier; open it again", cmd->device->caps.name);
    cmd->slice = NULL;
    if (cmd->status != OBI_OK) return;
    if (cmd->recording) cmd->device->vk.vkResetCommandBuffer(cmd->handle, 0); /* begun and never submitted */
    cmd->recording = false;
    obi_descriptors_trim(cmd->descriptors);
    drop_outgrown(cmd);
    obi_tracker_reset(&cmd->tracker);
    cmd->barriers = 0;
    cmd->dispatches = 0;
    cmd->bound = VK_NULL_HANDLE;
    cmd->host_reads = false;
    cmd->counting = false;
    VkCommandBufferBeginInfo info = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                      .flags = kept ? 0 : VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT };
    VkResult result = cmd->device->vk.vkBeginCommandBuffer(cmd->handle, &info);
    if (result != VK_SUCCESS) {
        cmd->status = obi_vk_fail(result, "vkBeginCommandBuffer");
        return;
    }
    cmd->recording = true;
    cmd->kept = kept && !cmd->profile;
    cmd->kept_kernels = atomic_load(&cmd->device->kernels_changed);
    record_barrier(cmd); /* after whatever was submitted before, by any cmd of this queue */
    if (cmd->profile) obi_profile_begin(cmd->device, cmd->profile, cmd->handle);
}

void obi_cmd_begin(obi_cmd *cmd) { begin(cmd, false); }
void obi_cmd_begin_kept(obi_cmd *cmd) { begin(cmd, true); }

void obi_cmd_begin_slice(obi_cmd *cmd, obi_slice *slice)
{
    if (cmd->noting) return;
    begin(cmd, false);
    if (cmd->status != OBI_OK) return;
    cmd->slice = slice;
    obi_slice_begin(cmd->device, slice, cmd->handle);
}

bool obi_cmd_sliced(const obi_cmd *cmd) { return cmd->slice; }

uint64_t obi_cmd_part_bytes(const obi_cmd *cmd)
{
    if (!cmd->slice) return UINT64_MAX;
    return cmd->device->caps.software ? PART_BYTES_CPU : PART_BYTES_GPU;
}

void obi_cmd_begin_noting(obi_cmd *cmd)
{
    begin(cmd, false);
    cmd->noting = cmd->status == OBI_OK;
}

/* Without memory for it, it will be made at its first use. */
static void note(obi_cmd *cmd, const obi_dispatch *dispatch)
{
    obi_pipeline_key key = { .kernel = dispatch->kernel, .spec_count = dispatch->spec_count };
    if (key.spec_count > OBI_SPEC_MAX) return;
    memcpy(key.spec, dispatch->spec, key.spec_count * sizeof *key.spec);
    for (uint32_t i = cmd->noted_count; i-- > 0;)
        if (memcmp(&cmd->noted[i], &key, sizeof key) == 0) return;
    if (cmd->noted_count == cmd->noted_room) {
        obi_pipeline_key *grown = obi_realloc(cmd->noted, cmd->noted_room + 32u, sizeof *grown);
        if (!grown) return;
        cmd->noted = grown;
        cmd->noted_room += 32;
    }
    cmd->noted[cmd->noted_count++] = key;
}

obi_status obi_cmd_prepare(obi_cmd *cmd)
{
    cmd->noting = false;
    if (cmd->status == OBI_OK) obi_pipelines_prepare(cmd->device, cmd->noted, cmd->noted_count);
    obi_free(cmd->noted);
    cmd->noted = NULL;
    cmd->noted_count = cmd->noted_room = 0;
    return cmd->status;
}

/* A barrier before the next command if one of its bindings needs it; then notes them all. */
static void order_accesses(obi_cmd *cmd, const obi_binding *bindings, uint32_t count)
{
    bool needed = false;
    for (uint32_t i = 0; i < count; i++) needed |= obi_tracker_conflicts(&cmd->tracker, bindings[i].view, bindings[i].access);
    if (needed) {
        record_barrier(cmd);
        cmd->barriers++;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!obi_tracker_note(&cmd->tracker, bindings[i].view, bindings[i].access)) {
            record_barrier(cmd);
            cmd->barriers++;
            i = UINT32_MAX; /* note this command's accesses from the first again */
            continue;
        }
        if ((bindings[i].access & OBI_WRITE) && bindings[i].view.buffer->kind == OBI_MEMORY_READBACK) cmd->host_reads = true;
    }
}

static bool can_record(obi_cmd *cmd)
{
    if (cmd->status == OBI_OK && !cmd->recording) cmd->status = obi_fail(OBI_ERROR_RUNTIME, "a command was recorded before obi_cmd_begin");
    return cmd->status == OBI_OK;
}

static bool check_view(obi_cmd *cmd, const char *what, obi_view view)
{
    if (view.buffer && view.size > 0 && view.offset % OBI_BUFFER_ALIGNMENT == 0 && view.offset <= view.buffer->size &&
        view.size <= view.buffer->size - view.offset && view.size <= cmd->device->caps.storage_range)
        return true;
    cmd->status = obi_fail(OBI_ERROR_ARGUMENT, "%s: a binding of %llu bytes at %llu is not possible (buffer %llu bytes, device limit %llu)",
                           what, (unsigned long long)view.size, (unsigned long long)view.offset,
                           (unsigned long long)(view.buffer ? view.buffer->size : 0), (unsigned long long)cmd->device->caps.storage_range);
    return false;
}

void obi_cmd_dispatch(obi_cmd *cmd, const obi_dispatch *dispatch)
{
    if (!can_record(cmd)) return;
    obi_device *device = cmd->device;
    const char *name = dispatch->kernel >= 0 && dispatch->kernel < OBI_KERNEL_COUNT ? obi_kernels[dispatch->kernel].name : "kernel";
    if (dispatch->binding_count > device->caps.bindings || dispatch->push_bytes > OBI_PUSH_BYTES_MAX || dispatch->push_bytes % 4) {
        cmd->status = obi_fail(OBI_ERROR_ARGUMENT, "%s: too many bindings or push constants", name);
        return;
    }
    for (int axis = 0; axis < 3; axis++)
        if (dispatch->groups[axis] == 0 || dispatch->groups[axis] > device->caps.workgroup_count[axis]) {
            cmd->status = obi_fail(OBI_ERROR_ARGUMENT, "%s: a grid of %u x %u x %u workgroups is not possible here", name,
                                   dispatch->groups[0], dispatch->groups[1], dispatch->groups[2]);
            return;
        }
    for (uint32_t i = 0; i < dispatch->binding_count; i++)
        if (!check_view(cmd, name, dispatch->bindings[i].view)) return;
    if (cmd->noting) {
        note(cmd, dispatch);
        return;
    }
    if (cmd->slice && !obi_slice_takes(cmd->slice, dispatch->kernel, dispatch->bytes)) return;
    VkPipeline pipeline;
    VkDescriptorSet sets[OBI_BINDINGS_MAX / OBI_BINDINGS_SET];
    uint32_t set_count = 0;
    cmd->status = obi_pipeline_get(device, dispatch->kernel, dispatch->spec, dispatch->spec_count, &pipeline);
    if (cmd->status != OBI_OK) return;
    for (uint32_t first = 0; first < dispatch->binding_count; first += OBI_BINDINGS_SET) {
        uint32_t left = dispatch->binding_count - first, count = left < OBI_BINDINGS_SET ? left : OBI_BINDINGS_SET;
        cmd->status = obi_descriptors_get(cmd->descriptors, dispatch->bindings + first, count, &sets[set_count++]);
        if (cmd->status != OBI_OK) return;
    }

    order_accesses(cmd, dispatch->bindings, dispatch->binding_count);
    if (pipeline != cmd->bound) device->vk.vkCmdBindPipeline(cmd->handle, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    cmd->bound = pipeline;
    if (set_count > 0)
        device->vk.vkCmdBindDescriptorSets(cmd->handle, VK_PIPELINE_BIND_POINT_COMPUTE, device->pipelines.layout, 0, set_count, sets, 0,
                                           NULL);
    if (dispatch->push_bytes > 0)
        device->vk.vkCmdPushConstants(cmd->handle, device->pipelines.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, dispatch->push_bytes,
                                      dispatch->push);
    bool timed = cmd->profile && obi_profile_start(device, cmd->profile, cmd->handle, dispatch->kernel, dispatch->bytes);
    device->vk.vkCmdDispatch(cmd->handle, dispatch->groups[0], dispatch->groups[1], dispatch->groups[2]);
    if (timed) obi_profile_stop(device, cmd->profile, cmd->handle);
    if (cmd->slice) obi_slice_taken(device, cmd->slice, cmd->handle);
    cmd->dispatches++;
}

void obi_cmd_copy(obi_cmd *cmd, obi_view to, obi_view from)
{
    if (!can_record(cmd)) return;
    from.size = to.size;
    if (!to.buffer || !from.buffer || to.size == 0 || to.offset > to.buffer->size || to.size > to.buffer->size - to.offset ||
        from.offset > from.buffer->size || from.size > from.buffer->size - from.offset) {
        cmd->status = obi_fail(OBI_ERROR_ARGUMENT, "a copy of %llu bytes runs past the end of a buffer", (unsigned long long)to.size);
        return;
    }
    if (cmd->noting || (cmd->slice && !obi_slice_takes(cmd->slice, OBI_SLICE_TRANSFER, to.size))) return;
    obi_binding bindings[2] = { obi_writes(to), obi_reads(from) };
    order_accesses(cmd, bindings, 2);
    VkBufferCopy region = { from.buffer->first + from.offset, to.buffer->first + to.offset, to.size };
    cmd->device->vk.vkCmdCopyBuffer(cmd->handle, from.buffer->handle, to.buffer->handle, 1, &region);
    if (cmd->slice) obi_slice_taken(cmd->device, cmd->slice, cmd->handle);
}

void obi_cmd_fill(obi_cmd *cmd, obi_view view, uint32_t word)
{
    if (!can_record(cmd)) return;
    if (!view.buffer || view.size == 0 || view.size % 4 || view.offset % 4 || view.offset > view.buffer->size ||
        view.size > view.buffer->size - view.offset) {
        cmd->status = obi_fail(OBI_ERROR_ARGUMENT, "a fill of %llu bytes runs past the end of a buffer", (unsigned long long)view.size);
        return;
    }
    if (cmd->noting || (cmd->slice && !obi_slice_takes(cmd->slice, OBI_SLICE_TRANSFER, view.size))) return;
    obi_binding binding = obi_writes(view);
    order_accesses(cmd, &binding, 1);
    cmd->device->vk.vkCmdFillBuffer(cmd->handle, view.buffer->handle, view.buffer->first + view.offset, view.size, word);
    if (cmd->slice) obi_slice_taken(cmd->device, cmd->slice, cmd->handle);
}

static obi_status submit(obi_cmd *cmd)
{
    obi_device *device = cmd->device;
    VkSubmitInfo info = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &cmd->handle };
    VkResult result = device->vk.vkResetFences(device->handle, 1, &cmd->fence);
    if (result == VK_SUCCESS) {
        obi_device_lock_queue(device);
        result = device->vk.vkQueueSubmit(device->queue, 1, &info, cmd->fence);
        obi_device_unlock_queue(device);
    }
    if (result != VK_SUCCESS) {
        if (result == VK_ERROR_DEVICE_LOST) device->lost = true;
        return cmd->status = obi_vk_fail(result, "vkQueueSubmit");
    }
    cmd->submitted = true;
    cmd->submitted_at = obi_clock_seconds();
    cmd->submits++;
    return OBI_OK;
}

obi_status obi_cmd_submit(obi_cmd *cmd)
{
    obi_device *device = cmd->device;
    if (cmd->noting) return cmd->status;
    if (cmd->recording) {
        if (cmd->host_reads) {
            VkMemoryBarrier barrier = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                                        .dstAccessMask = VK_ACCESS_HOST_READ_BIT };
            device->vk.vkCmdPipelineBarrier(cmd->handle, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                                            VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
        }
        VkResult result = device->vk.vkEndCommandBuffer(cmd->handle);
        cmd->recording = false;
        if (result != VK_SUCCESS && cmd->status == OBI_OK) cmd->status = obi_vk_fail(result, "vkEndCommandBuffer");
    } else if (cmd->status == OBI_OK) {
        cmd->status = obi_fail(OBI_ERROR_RUNTIME, "there is nothing to submit");
    }
    if (cmd->status != OBI_OK) return cmd->status;
    return submit(cmd);
}

obi_status obi_cmd_again(obi_cmd *cmd)
{
    if (cmd->submitted) OBI_TRY(obi_cmd_wait(cmd));
    if (!obi_cmd_kept(cmd)) return obi_fail(OBI_ERROR_RUNTIME, "there are no commands to submit again");
    return submit(cmd);
}

bool obi_cmd_profiled(const obi_cmd *cmd) { return cmd->profile; }

bool obi_cmd_kept(const obi_cmd *cmd)
{
    return cmd->kept && !cmd->recording && cmd->status == OBI_OK && !cmd->device->lost &&
           cmd->kept_kernels == atomic_load(&cmd->device->kernels_changed);
}

/* What follows when the fence was signalled, or will not be. */
static obi_status finished(obi_cmd *cmd, VkResult result, const char *call)
{
    double seconds = obi_clock_seconds() - cmd->submitted_at;
    if (seconds > cmd->longest) cmd->longest = seconds;
    cmd->submitted = false;
    if (result != VK_SUCCESS) {
        cmd->device->lost = true; /* or as good as that: nobody knows what it does */
        if (result == VK_ERROR_DEVICE_LOST || result == VK_TIMEOUT) return cmd->status = obi_vk_fail(result, call);
        return cmd->status = obi_fail(OBI_ERROR_DEVICE_LOST, "%s cannot be waited for any more (%s: %s, %d); open it again",
                                      cmd->device->caps.name, call, obi_vk_result_name(result), (int)result);
    }
    if (cmd->profile) obi_profile_collect(cmd->device, cmd->profile);
    if (cmd->slice) obi_slice_collect(cmd->device, cmd->slice);
    cmd->slice = NULL;
    return OBI_OK;
}

obi_status obi_cmd_wait(obi_cmd *cmd)
{
    if (!cmd->submitted) return cmd->status;
    obi_device *device = cmd->device;
    /* The work goes on whatever a failed wait says, and what it uses must not go before it: ask again. */
    VkResult result = VK_TIMEOUT;
    for (unsigned wait = 0; wait < WAITS_MAX && result != VK_SUCCESS && result != VK_ERROR_DEVICE_LOST; wait++)
        result = device->vk.vkWaitForFences(device->handle, 1, &cmd->fence, VK_TRUE, WAIT_SECONDS * 1000000000ull);
    return finished(cmd, result, "vkWaitForFences");
}

obi_status obi_cmd_poll(obi_cmd *cmd, bool *done)
{
    *done = true;
    if (!cmd->submitted) return cmd->status;
    VkResult result = cmd->device->vk.vkGetFenceStatus(cmd->device->handle, cmd->fence);
    if (result == VK_NOT_READY) {
        *done = obi_clock_seconds() - cmd->submitted_at > WAIT_SECONDS * WAITS_MAX;
        if (!*done) return OBI_OK;
        result = VK_TIMEOUT;
    } else if (result != VK_SUCCESS && result != VK_ERROR_DEVICE_LOST) {
        return obi_cmd_wait(cmd);
    }
    return finished(cmd, result, "vkGetFenceStatus");
}

obi_status obi_cmd_run(obi_cmd *cmd)
{
    OBI_TRY(obi_cmd_submit(cmd));
    return obi_cmd_wait(cmd);
}

void obi_cmd_profile(obi_cmd *cmd, bool on)
{
    cmd->kept = false;
    if (cmd->submitted) obi_cmd_wait(cmd);
    obi_profile_destroy(cmd->device, cmd->profile);
    cmd->profile = on ? obi_profile_create(cmd->device) : NULL;
}

uint32_t obi_cmd_profile_rows(const obi_cmd *cmd, obi_profile_row rows[OBI_KERNEL_COUNT])
{
    return cmd->profile ? obi_profile_rows(cmd->profile, rows) : 0;
}

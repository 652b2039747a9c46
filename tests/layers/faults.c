/* faults: a Vulkan layer for tests in which calls fail on demand; faults.h says how. The hooks are made from the registry. */
#include "faults.h"

#include <stddef.h>
#include <stdio.h>

#include "chain.h"
#include "faults_hooks.h"

#define NUMBER(name) FAULT_##name,
enum { FAULT_RESULTS(NUMBER) FAULT_COUNT };
#undef NUMBER

#define MEMBER(name) PFN_##name name;
typedef struct faults_instance {
    PFN_vkGetInstanceProcAddr next;
    FAULT_INSTANCE(MEMBER)
} faults_instance;

typedef struct faults_device {
    PFN_vkGetDeviceProcAddr next;
    FAULT_DEVICE(MEMBER)
} faults_device;

static struct { FAULT_GLOBALS(MEMBER) } faults_global;
#undef MEMBER

static faults_instance *instance_of(const void *handle) { return chain_get(handle); }
static faults_device *device_of(const void *handle) { return chain_get(handle); }

/* ---- what fails ---------------------------------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    uint32_t calls[FAULT_COUNT];
    uint32_t command, call; /* call 0: nothing */
    VkResult error;
    bool lasting, reached;
} plan = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool can_return(uint32_t command, VkResult error);

/* Counts a call; what it shall return. */
static VkResult step(uint32_t command)
{
    pthread_mutex_lock(&plan.lock);
    bool now = ++plan.calls[command] == plan.call && command == plan.command;
    bool fails = now || (plan.reached && plan.lasting && can_return(command, plan.error));
    plan.reached |= now;
    VkResult result = fails ? plan.error : VK_SUCCESS;
    pthread_mutex_unlock(&plan.lock);
    return result;
}

/* A list asked for its length cannot be incomplete. */
static void does_not_apply(void)
{
    pthread_mutex_lock(&plan.lock);
    if (!plan.lasting) plan.reached = false;
    pthread_mutex_unlock(&plan.lock);
}

/* What a failed call leaves in a handle is undefined: something that must not be used. */
static void poison(void *handle, size_t bytes) { memset(handle, 0xa5, bytes); }

/* ---- what lives ------------------------------------------------------------------------------------------------------------ */

enum { OBJECTS_MAX = 4096 };
typedef struct object { const char *kind; uint64_t handle; bool busy; } object;

static struct {
    pthread_mutex_t lock;
    object list[OBJECTS_MAX];
    uint32_t count;
    char wrong[256];
} objects = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint64_t handle_bits(const void *handle, size_t bytes)
{
    uint64_t bits = 0;
    memcpy(&bits, handle, bytes);
    return bits;
}
#define HANDLE(handle) handle_bits(&(handle), sizeof(handle))

static void say_wrong(const char *what, const char *kind)
{
    if (!objects.wrong[0]) snprintf(objects.wrong, sizeof objects.wrong, "a %s %s", kind, what);
}

static object *find(const char *kind, uint64_t handle)
{
    for (uint32_t i = objects.count; i-- > 0;)
        if (objects.list[i].handle == handle && strcmp(objects.list[i].kind, kind) == 0) return &objects.list[i];
    return NULL;
}

static void made(const char *kind, uint64_t handle)
{
    pthread_mutex_lock(&objects.lock);
    if (objects.count < OBJECTS_MAX) objects.list[objects.count++] = (object){ kind, handle, false };
    else say_wrong("is one too many to be watched", kind);
    pthread_mutex_unlock(&objects.lock);
}

/* Whether to hand the destruction on. */
static bool gone(const char *kind, uint64_t handle)
{
    if (handle == 0) return false;
    pthread_mutex_lock(&objects.lock);
    object *found = find(kind, handle);
    if (!found) say_wrong("was destroyed that did not live", kind);
    else {
        if (found->busy) say_wrong("was destroyed whose work was not known to be done", kind);
        *found = objects.list[--objects.count];
    }
    pthread_mutex_unlock(&objects.lock);
    return found != NULL;
}

static void set_busy(VkFence fence, bool busy, bool reset)
{
    pthread_mutex_lock(&objects.lock);
    object *found = find("VkFence", HANDLE(fence));
    if (found && reset && found->busy) say_wrong("was reset whose work was not known to be done", "VkFence");
    else if (found) found->busy = busy;
    pthread_mutex_unlock(&objects.lock);
}

/* ---- hooks ------------------------------------------------------------------------------------------------------------------- */

#define FAULT_HOOKS
#include "faults_hooks.h"

static VKAPI_ATTR VkResult VKAPI_CALL hook_vkQueueSubmit(VkQueue queue, uint32_t count, const VkSubmitInfo *submits, VkFence fence)
{
    VkResult result = step(FAULT_vkQueueSubmit);
    if (result != VK_SUCCESS) return result;
    result = device_of(queue)->vkQueueSubmit(queue, count, submits, fence);
    if (result == VK_SUCCESS && fence) set_busy(fence, true, false);
    return result;
}

/* A device that is lost, or will not answer, does nothing more: the driver here ends its work first. After any other failure the
 * work may still go on, and nobody has heard that it is done. */
static VKAPI_ATTR VkResult VKAPI_CALL hook_vkWaitForFences(VkDevice device, uint32_t count, const VkFence *fences, VkBool32 all,
                                                           uint64_t timeout)
{
    VkResult fault = step(FAULT_vkWaitForFences);
    bool over = fault == VK_SUCCESS || fault == VK_ERROR_DEVICE_LOST || fault == VK_TIMEOUT || plan.lasting;
    VkResult result = over ? device_of(device)->vkWaitForFences(device, count, fences, all, timeout) : fault;
    for (uint32_t i = 0; i < count && over && result == VK_SUCCESS; i++) set_busy(fences[i], false, false);
    return fault != VK_SUCCESS ? fault : result;
}

static VKAPI_ATTR VkResult VKAPI_CALL hook_vkGetFenceStatus(VkDevice device, VkFence fence)
{
    VkResult result = step(FAULT_vkGetFenceStatus);
    if (result == VK_SUCCESS) result = device_of(device)->vkGetFenceStatus(device, fence);
    else if (result == VK_ERROR_DEVICE_LOST) (void)device_of(device)->vkWaitForFences(device, 1, &fence, VK_TRUE, UINT64_MAX);
    if (result == VK_SUCCESS || result == VK_ERROR_DEVICE_LOST) set_busy(fence, false, false);
    return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL hook_vkResetFences(VkDevice device, uint32_t count, const VkFence *fences)
{
    VkResult result = step(FAULT_vkResetFences);
    if (result != VK_SUCCESS) return result;
    for (uint32_t i = 0; i < count; i++) set_busy(fences[i], false, true);
    return device_of(device)->vkResetFences(device, count, fences);
}

static VKAPI_ATTR VkResult VKAPI_CALL hook_vkCreateInstance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *allocator,
                                                            VkInstance *out)
{
    VkResult result = step(FAULT_vkCreateInstance);
    if (result != VK_SUCCESS) return result; /* the loader looks after the handle */
    VkLayerInstanceCreateInfo *link = chain_instance_link(info);
    if (!link) return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetInstanceProcAddr next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)next(NULL, "vkCreateInstance");
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    result = create(info, allocator, out);
    if (result != VK_SUCCESS) return result;
    faults_instance *instance = calloc(1, sizeof *instance);
    if (!instance) abort();
    instance->next = next;
#define LOAD(name) instance->name = (PFN_##name)next(*out, #name);
    FAULT_INSTANCE(LOAD)
#undef LOAD
    chain_put(chain_key(*out), NULL, instance);
    made("VkInstance", HANDLE(*out));
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL hook_vkDestroyInstance(VkInstance handle, const VkAllocationCallbacks *allocator)
{
    if (!gone("VkInstance", HANDLE(handle))) return;
    faults_instance *instance = instance_of(handle);
    chain_put(chain_key(handle), instance, NULL);
    instance->vkDestroyInstance(handle, allocator);
    free(instance);
}

static VKAPI_ATTR VkResult VKAPI_CALL hook_vkCreateDevice(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                                          const VkAllocationCallbacks *allocator, VkDevice *out)
{
    VkResult result = step(FAULT_vkCreateDevice);
    if (result != VK_SUCCESS) return result;
    VkLayerDeviceCreateInfo *link = chain_device_link(info);
    if (!link) return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetDeviceProcAddr next = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    result = instance_of(physical)->vkCreateDevice(physical, info, allocator, out);
    if (result != VK_SUCCESS) return result;
    faults_device *device = calloc(1, sizeof *device);
    if (!device) abort();
    device->next = next;
#define LOAD(name) device->name = (PFN_##name)next(*out, #name);
    FAULT_DEVICE(LOAD)
#undef LOAD
    chain_put(chain_key(*out), NULL, device);
    made("VkDevice", HANDLE(*out));
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL hook_vkDestroyDevice(VkDevice handle, const VkAllocationCallbacks *allocator)
{
    if (!handle || !gone("VkDevice", HANDLE(handle))) return;
    faults_device *device = device_of(handle);
    chain_put(chain_key(handle), device, NULL);
    device->vkDestroyDevice(handle, allocator);
    free(device);
}

/* ---- what the loader asks for ------------------------------------------------------------------------------------------------ */

#define MATCH(function) \
    if (strcmp(name, #function) == 0) return (PFN_vkVoidFunction)hook_##function;

static PFN_vkVoidFunction device_hook(const char *name)
{
    FAULT_DEVICE(MATCH)
    return NULL;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device(VkDevice device, const char *name)
{
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)get_device;
    PFN_vkVoidFunction own = device_hook(name), next = device ? device_of(device)->next(device, name) : NULL;
    return own && (next || !device) ? own : next;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_instance(VkInstance instance, const char *name)
{
    if (strcmp(name, "vkGetInstanceProcAddr") == 0) return (PFN_vkVoidFunction)get_instance;
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)get_device;
    MATCH(vkCreateInstance)
    FAULT_INSTANCE(MATCH)
    PFN_vkVoidFunction own = device_hook(name);
    return own ? own : instance ? instance_of(instance)->next(instance, name) : NULL;
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

/* ---- what the test asks for -------------------------------------------------------------------------------------------------- */

#define COMMAND(name) { #name, errors_##name, sizeof errors_##name / sizeof errors_##name[0] },
static const faults_command commands[] = { FAULT_RESULTS(COMMAND) };
#undef COMMAND

static bool can_return(uint32_t command, VkResult error)
{
    for (uint32_t i = 0; i < commands[command].error_count; i++)
        if (commands[command].errors[i] == error) return true;
    return false;
}

static void set_plan(uint32_t command, uint32_t call, VkResult error, bool lasting)
{
    pthread_mutex_lock(&plan.lock);
    memset(plan.calls, 0, sizeof plan.calls);
    plan.command = command;
    plan.call = call;
    plan.error = error;
    plan.lasting = lasting;
    plan.reached = false;
    objects.wrong[0] = 0;
    pthread_mutex_unlock(&plan.lock);
}

static uint32_t count_calls(uint32_t command) { return plan.calls[command]; }
static bool was_reached(void) { return plan.reached; }

static const char *what_is_wrong(uint32_t *live, const char **kind)
{
    if (live) *live = objects.count;
    if (kind) *kind = objects.count ? objects.list[0].kind : "";
    return objects.wrong;
}

static void forget(void) { objects.count = 0; }

static PFN_vkVoidFunction global_hook(const char *name, PFN_vkVoidFunction own)
{
#define GLOBAL(function)                                 \
    if (strcmp(name, #function) == 0) {                  \
        faults_global.function = (PFN_##function)own;    \
        return (PFN_vkVoidFunction)hook_##function;      \
    }
    FAULT_GLOBALS(GLOBAL)
#undef GLOBAL
    return NULL;
}

static const faults_control control = { commands,      sizeof commands / sizeof commands[0], set_plan, count_calls, was_reached,
                                        what_is_wrong, forget,                               global_hook };

CHAIN_EXPORT const faults_control *onebit_faults(void);
const faults_control *onebit_faults(void) { return &control; }

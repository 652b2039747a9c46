/* device: one opened GPU with its queue, memory arenas and pipelines. Thread-safe unless a function says otherwise. */
#ifndef OBI_GPU_DEVICE_H
#define OBI_GPU_DEVICE_H

#include <pthread.h>

#include "gpu/caps.h"
#include "gpu/choices.h"
#include "gpu/memory.h"
#include "gpu/pipeline.h"

/* A device that somebody else made: nothing of it is destroyed here, and the queue is shared. */
typedef struct obi_adoption {
    VkInstance instance;
    PFN_vkGetInstanceProcAddr get_instance_proc_addr;
    uint32_t api_version;          /* that the instance was made for */
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t queue_family;
    obi_enabled enabled;
    void (*lock_queue)(void *user); /* around every use of the queue; both or none */
    void (*unlock_queue)(void *user);
    void *user;
} obi_adoption;

typedef struct obi_device_desc {
    const char *select;      /* index, name (part of it, any case) or UUID; NULL or "": the best one */
    int tier;                /* 0: the best the device has; 'A', 'B' or 'C': at most that one (ONEBIT_TIER does the same) */
    bool validation;         /* turn the validation layer on; ONEBIT_VALIDATION=1 does the same */
    bool low_priority;       /* of the queue among all programs on the device, where the driver has such a thing */
    const obi_adoption *adopt; /* instead of making a device; `select` and `validation` are not looked at */
    bool exact;              /* no kernel that rounds activations to bytes or halves */
    const char *cache_dir; /* of the pipeline cache; NULL: $ONEBIT_CACHE_DIR, else $XDG_CACHE_HOME/onebit, else ~/.cache/onebit; "": none */
} obi_device_desc;

typedef struct obi_device {
    obi_instance *instance;
    VkPhysicalDevice physical;
    VkDevice handle;
    struct VolkDeviceTable vk;     /* this device's functions: device->vk.vkQueueSubmit(...) */
    VkQueue queue;
    pthread_mutex_t queue_lock;    /* obi_device_lock_queue */
    obi_adoption adopted;          /* zeros when the device is our own */
    obi_caps caps;
    bool addresses;                /* buffers have addresses in shaders: caps.straight when the device was opened */
    obi_tier tier;                 /* the tier in use */
    obi_tier kernel_tier[OBI_KERNEL_COUNT]; /* caps a single kernel below `tier`; lowered by the self-test */
    atomic_uint kernels_changed;   /* counts runs of the self-test and kernels taken off: commands recorded before are not submitted after */
    atomic_bool kernel_off[OBI_KERNEL_COUNT]; /* found wrong, or not to be made, and others do its work (ops/sign_family.h) */
    bool fused;                    /* a projection and what follows it may be one dispatch (ops/op_bitlinear_post.h): not on software
                                    * drivers, unless ONEBIT_FUSED or a test says so */
    bool exact;                    /* no kernel may round activations to bytes or halves */
    obi_memory memory;
    obi_pipelines pipelines;
    obi_choices choices;           /* what trials found fastest here */
    atomic_bool lost;              /* set once a call returned VK_ERROR_DEVICE_LOST */
} obi_device;

/* Opens the device that `desc` names. Ranking when nothing is named: discrete, integrated, virtual, CPU; the larger
 * memory first among equals. OBI_ERROR_NO_DEVICE lists what there is. Close with obi_device_close. */
obi_status obi_device_open(obi_device **out, const obi_device_desc *desc);
void obi_device_close(obi_device *device); /* waits for this library's own work only; NULL is allowed */

/* Between these the queue may be used: in vkQueueSubmit. */
void obi_device_lock_queue(obi_device *device);
void obi_device_unlock_queue(obi_device *device);

/* What is there, in ranking order: index i is what "--device i" opens. Devices below the baseline are listed with
 * usable = false. Free with obi_free. */
typedef struct obi_device_entry {
    obi_caps caps;
    bool usable;
    char reason[128]; /* why not */
} obi_device_entry;
obi_status obi_device_list(obi_device_entry **out, uint32_t *count);

/* A number that stands for device, driver, shaders and tier: what is found out about kernels is kept under it. */
uint64_t obi_device_key(const obi_device *device);

/* Puts the cache directory for `desc` into `path` (room bytes); "" when there is none. */
void obi_cache_directory(const char *requested, char *path, size_t room);

#endif

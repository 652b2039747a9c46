/* caps: what one physical device offers, as plain numbers and bools. Everything that decides about kernels reads this. */
#ifndef OBI_GPU_CAPS_H
#define OBI_GPU_CAPS_H

#include "gpu/kernel.h"
#include "gpu/loader.h"

#define OBI_BINDINGS_SET 4        /* storage buffers of a descriptor set: the Vulkan minimum, and all that most kernels bind */
#define OBI_BINDINGS_MAX 8        /* two sets of them: only where caps.bindings says so */
#define OBI_PUSH_BYTES_MAX 128
#define OBI_BUFFER_ALIGNMENT 256  /* of every range we bind: the largest minStorageBufferOffsetAlignment there is */
#define OBI_LOOP_MAX 65535u       /* one driver silently ends an invocation's loops there (docs/portability.md) */

#define OBI_PORTABILITY_SUBSET "VK_KHR_portability_subset" /* of a beta header; it must be enabled where it exists */

typedef struct obi_caps {
    char name[256];
    char driver[320];               /* "llvmpipe Mesa 22.3.6 (LLVM 15.0.6)" */
    uint8_t device_uuid[16];
    uint8_t driver_uuid[16];
    uint32_t vendor_id, device_id, driver_version;
    uint32_t api_version;
    VkPhysicalDeviceType type;
    uint32_t queue_family;          /* the compute family we use; prefers one without graphics */
    uint32_t timestamp_bits;        /* 0: the queue has no timestamps */
    float timestamp_period;         /* ns per tick */
    /* limits */
    uint64_t storage_range;         /* maxStorageBufferRange */
    uint32_t bindings;              /* storage buffers that a kernel may bind: OBI_BINDINGS_SET or OBI_BINDINGS_MAX */
    uint64_t allocation_max;        /* maxMemoryAllocationSize */
    uint32_t workgroup_count[3];
    uint32_t workgroup_size;        /* the smaller of maxComputeWorkGroupInvocations and maxComputeWorkGroupSize[0] */
    uint32_t shared_bytes;
    uint32_t buffer_alignment;      /* minStorageBufferOffsetAlignment */
    uint64_t atom;                  /* nonCoherentAtomSize */
    uint64_t heap_bytes;            /* of the largest device-local heap */
    bool unified;                   /* all device-local memory is host-visible */
    uint64_t import_alignment;      /* of host memory that becomes a buffer (VK_EXT_external_memory_host); 0: it cannot */
    /* features */
    bool portability;               /* has OBI_PORTABILITY_SUBSET */
    const char *priority_extension; /* by which a queue steps back behind those of other programs; NULL: there is none. Static */
    uint32_t subgroup_size;
    bool subgroup_arithmetic;       /* BASIC, ARITHMETIC and BALLOT in compute */
    bool subgroup_shuffle;          /* SHUFFLE too */
    bool integer_dot;               /* shaderIntegerDotProduct: dot products of four bytes */
    bool integer_dot_fast;          /* and of signed ones one instruction makes one, not many */
    bool fp16;                      /* shaderFloat16 */
    bool storage16;                 /* storageBuffer16BitAccess */
    bool software;                  /* the driver computes on the CPU (lavapipe, SwiftShader) */
    bool straight;                  /* software, with 8 lanes a subgroup, shuffles and buffer addresses: takes the kernels
                                     * named ..._straight (shaders/common/straight.glsl) where an op has one */
    obi_tier tier;                  /* the highest that the flags above allow */
} obi_caps;

/* What of the optional parts a device was made with that its owner made. */
typedef struct obi_enabled {
    bool storage16, fp16, shader_int64, addresses, integer_dot, import;
} obi_enabled;

/* Reads everything. OBI_ERROR_NO_DEVICE when the device is below the baseline (no compute queue, Vulkan 1.0). */
obi_status obi_caps_read(obi_caps *caps, const obi_instance *instance, VkPhysicalDevice physical);

/* Takes away what needs more than is enabled. */
void obi_caps_limit(obi_caps *caps, const obi_enabled *enabled);
/* Makes `family` the queue family in use. OBI_ERROR_ARGUMENT when there is no such one, or it does not compute. */
obi_status obi_caps_use_family(obi_caps *caps, const obi_instance *instance, VkPhysicalDevice physical, uint32_t family);

const char *obi_caps_type_name(VkPhysicalDeviceType type); /* "discrete GPU", "integrated GPU", "virtual GPU", "CPU", "other" */
const char *obi_tier_name(obi_tier tier);                  /* "A", "B", "C" */

#endif

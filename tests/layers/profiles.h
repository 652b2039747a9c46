/* profiles: what some kinds of devices have, for clamp.c. A value of 0 leaves what the driver has; a layer can only lower it, and
 * subgroups stay as wide as lavapipe makes them (LP_NATIVE_VECTOR_WIDTH: `width` is the nearest to the device's).
 *
 * Where the values are from: "floor": the specification's table of required limits, Vulkan 1.1. The others: what Mesa 26's drivers
 * for these chips report (vulkaninfo over their null devices), NVIDIA's and MoltenVK's from public reports of their
 * drivers. Sizes of heaps are not imitated. */
#ifndef OB_TESTS_LAYERS_PROFILES_H
#define OB_TESTS_LAYERS_PROFILES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct profile {
    const char *name;
    uint32_t api_minor;          /* Vulkan 1.x */
    uint32_t storage_mib;        /* maxStorageBufferRange */
    uint32_t invocations;        /* of a workgroup, and its x */
    uint32_t shared_kib;
    uint32_t storage_buffers;    /* per stage and per set */
    uint32_t sets;               /* bound at once */
    uint32_t push_bytes;
    uint32_t alignment;          /* minStorageBufferOffsetAlignment and nonCoherentAtomSize */
    uint32_t allocations;
    bool subgroup_basic_only;
    bool fp16, int8, storage16, storage8, int16, int64, dot; /* dot: VK_KHR_shader_integer_dot_product */
    bool addresses, memory_model, timeline, size_control, host_import, low_priority;
    uint32_t width;              /* of lavapipe's vectors, bits */
} profile;

#define PROFILE_ALL                                                                                                              \
    .fp16 = true, .int8 = true, .storage16 = true, .storage8 = true, .int16 = true, .int64 = true, .dot = true, .addresses = true, \
    .memory_model = true, .timeline = true, .size_control = true, .host_import = true, .low_priority = true

static const profile profiles[] = {
    { .name = "floor", .api_minor = 1, .storage_mib = 128, .invocations = 128, .shared_kib = 16, .storage_buffers = 4, .sets = 4,
      .push_bytes = 128, .alignment = 256, .allocations = 4096, .subgroup_basic_only = true, .width = 128 },
    { .name = "powervr", /* GX6250, BXM, BXS */
      .api_minor = 2, .storage_mib = 128, .invocations = 128, .shared_kib = 16, .storage_buffers = 16, .sets = 4, .push_bytes = 128,
      .alignment = 256, .allocations = 4096, .timeline = true, .width = 512 },
    { .name = "adreno6xx", /* 660: 16-bit storage, no 8-bit; 618 has neither */
      .api_minor = 3, .storage_mib = 128, .invocations = 1024, .shared_kib = 32, .storage_buffers = 24, .sets = 4, .push_bytes = 128,
      .alignment = 64, .fp16 = true, .int8 = true, .int16 = true, .addresses = true, .memory_model = true,
      .timeline = true, .size_control = true, .width = 512 },
    { .name = "adreno7xx", .api_minor = 3, .storage_mib = 128, .invocations = 1024, .shared_kib = 32, .storage_buffers = 24, .sets = 4,
      .push_bytes = 128, .alignment = 64, PROFILE_ALL, .width = 512 },
    { .name = "mali-v7", /* G31, G52: Mesa says Vulkan 1.0, which we refuse; Arm's driver says 1.1 */
      .api_minor = 1, .invocations = 256, .shared_kib = 32, .storage_buffers = 16, .sets = 4, .push_bytes = 128, .alignment = 16,
      .int8 = true, .storage16 = true, .storage8 = true, .int16 = true, .int64 = true, .width = 256 },
    { .name = "mali-v10", /* G310, G610 */
      .api_minor = 3, .invocations = 1024, .shared_kib = 32, .sets = 4, .push_bytes = 128, .alignment = 16, PROFILE_ALL, .width = 512 },
    { .name = "apple", /* M1, Honeykrisp */
      .api_minor = 3, .invocations = 1024, .shared_kib = 32, .push_bytes = 128, .alignment = 16, PROFILE_ALL, .width = 512 },
    { .name = "moltenvk", /* ranges of 256 MB as reported, no import, no dot product */
      .api_minor = 2, .storage_mib = 244, .invocations = 1024, .shared_kib = 32, .storage_buffers = 31, .alignment = 16, .fp16 = true,
      .int8 = true, .storage16 = true, .storage8 = true, .int16 = true, .int64 = true, .addresses = true, .timeline = true, .width = 512 },
    { .name = "dozen", .api_minor = 1, .storage_mib = 128, .invocations = 1024, .shared_kib = 32, .sets = 8, .alignment = 256, .int16 = true,
      .int64 = true, .width = 128 },
    { .name = "intel", .api_minor = 3, .invocations = 1024, .shared_kib = 48, .push_bytes = 128, .alignment = 4, PROFILE_ALL, .width = 256 },
    { .name = "rdna", .api_minor = 3, .invocations = 1024, .shared_kib = 64, PROFILE_ALL, .width = 512 },
    { .name = "polaris", /* GFX8: no fp16 arithmetic */
      .api_minor = 3, .invocations = 1024, .shared_kib = 64, .int8 = true, .storage16 = true, .storage8 = true, .int16 = true, .int64 = true,
      .addresses = true, .memory_model = true, .timeline = true, .size_control = true, .host_import = true, .low_priority = true,
      .width = 512 },
    { .name = "nvidia", .api_minor = 3, .invocations = 1024, .shared_kib = 48, .allocations = 4096, PROFILE_ALL, .width = 512 },
};
enum { PROFILE_COUNT = sizeof profiles / sizeof *profiles };

#endif

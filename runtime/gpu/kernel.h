/* kernel: the SPIR-V that the build embedded, one entry per kernel of shaders/kernels.cmake, one blob per tier. */
#ifndef OBI_GPU_KERNEL_H
#define OBI_GPU_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "kernel_list.h" /* OBI_KERNEL_<FAMILY>_<VERB>, OBI_KERNEL_COUNT; made by the build */

/* What a device must offer for a variant (portability notes in docs/portability.md). Each tier includes the one before. */
typedef enum obi_tier {
    OBI_TIER_A = 0, /* fp32, shared memory, nothing optional: every Vulkan 1.1 device */
    OBI_TIER_B = 1, /* subgroup arithmetic and ballot in compute, any subgroup size */
    OBI_TIER_C = 2, /* fp16 arithmetic and 16-bit storage */
    OBI_TIER_COUNT = 3
} obi_tier;

typedef struct obi_spirv { const uint32_t *words; size_t bytes; } obi_spirv;

typedef struct obi_kernel {
    const char *name;
    obi_spirv tier[OBI_TIER_COUNT]; /* words NULL where the kernel has no variant of its own */
} obi_kernel;

extern const obi_kernel obi_kernels[OBI_KERNEL_COUNT];

#endif

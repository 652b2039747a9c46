/* pipeline: blob + specialisation constants -> VkPipeline, made on first use and kept; and the cache file on disk.
 *
 * All kernels share one layout: set 0, and where caps.bindings allows it set 1, with OBI_BINDINGS_SET storage buffers each, and
 * OBI_PUSH_BYTES_MAX of push constants.
 * Specialisation constant ids are 0, 1, 2, ... in the order of the values given; id 0 is the workgroup size (x). */
#ifndef OBI_GPU_PIPELINE_H
#define OBI_GPU_PIPELINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <volk.h>

#include "core/status.h"
#include "gpu/kernel.h"

#define OBI_SPEC_MAX 8

typedef struct obi_pipeline obi_pipeline;
struct obi_device;

typedef struct obi_pipelines {
    pthread_mutex_t lock;
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipelineCache cache;
    char *cache_path;        /* NULL: no file */
    uint64_t shader_hash;    /* of all blobs; part of the file's name and of the self-test's key */
    bool dirty;              /* something was compiled since the file was read */
    obi_pipeline *first;
} obi_pipelines;

/* The pipeline of the highest tier <= device->kernel_tier[kernel] that the kernel has. Compiled under a lock at first
 * use. *handle stays valid until the device is closed. */
obi_status obi_pipeline_get(struct obi_device *device, int kernel, const uint32_t *spec, uint32_t spec_count, VkPipeline *handle);

/* A pipeline that will be asked for. */
typedef struct obi_pipeline_key {
    int kernel;
    uint32_t spec[OBI_SPEC_MAX];
    uint32_t spec_count;
} obi_pipeline_key;

/* Makes those of `keys` that are not there yet on several threads at once: most of the time to a first token is their making. One that
 * cannot be made stays away; obi_pipeline_get will say why. */
void obi_pipelines_prepare(struct obi_device *device, const obi_pipeline_key *keys, uint32_t count);

/* Which variant obi_pipeline_get would take. */
obi_tier obi_pipeline_tier(const struct obi_device *device, int kernel);

/* Writes the cache file if something new was compiled; failure to write is logged, never an error. */
void obi_pipelines_save(struct obi_device *device);

obi_status obi_pipelines_init(struct obi_device *device, const char *cache_dir);
void obi_pipelines_finish(struct obi_device *device);

#endif

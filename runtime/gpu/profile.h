/* profile: a pair of GPU timestamps around each dispatch, summed by kernel. Used by cmd only. */
#ifndef OBI_GPU_PROFILE_H
#define OBI_GPU_PROFILE_H

#include "gpu/cmd.h"

typedef struct obi_profile obi_profile;

obi_profile *obi_profile_create(obi_device *device); /* NULL when the queue has no timestamps */
void obi_profile_destroy(obi_device *device, obi_profile *profile);
void obi_profile_begin(obi_device *device, obi_profile *profile, VkCommandBuffer buffer);
/* False when this command buffer already holds as many timed dispatches as fit. */
bool obi_profile_start(obi_device *device, obi_profile *profile, VkCommandBuffer buffer, int kernel, uint64_t bytes);
void obi_profile_stop(obi_device *device, obi_profile *profile, VkCommandBuffer buffer);
void obi_profile_collect(obi_device *device, obi_profile *profile); /* after the fence */
uint32_t obi_profile_rows(const obi_profile *profile, obi_profile_row *rows);

#endif

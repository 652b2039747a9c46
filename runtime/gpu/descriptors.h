/* descriptors: descriptor sets for one cmd, kept by what they bind, so that a decode loop that binds the same buffers
 * for every token writes each set once. */
#ifndef OBI_GPU_DESCRIPTORS_H
#define OBI_GPU_DESCRIPTORS_H

#include "gpu/cmd.h"

typedef struct obi_descriptors obi_descriptors;

obi_status obi_descriptors_create(obi_device *device, obi_descriptors **out);
void obi_descriptors_destroy(obi_descriptors *sets); /* NULL is allowed */

/* Called when no submitted command uses any set: forgets all of them once there are very many. */
void obi_descriptors_trim(obi_descriptors *sets);

/* A set with `count` storage buffers bound, at most OBI_BINDINGS_SET. Valid until the trim after next. */
obi_status obi_descriptors_get(obi_descriptors *sets, const obi_binding *bindings, uint32_t count, VkDescriptorSet *set);

#endif

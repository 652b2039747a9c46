/* random_weights: a 1-bit model of a given shape that nobody trained, for measurements. What it computes is noise; what it costs is
 * what a trained model of the shape costs. */
#ifndef OBI_ENGINE_RANDOM_WEIGHTS_H
#define OBI_ENGINE_RANDOM_WEIGHTS_H

#include "engine/weights.h"

/* The config of a OneBit model (post-norm, head apart from the embedding) with heads of width / heads. OBI_ERROR_ARGUMENT says
 * which size cannot be. */
obi_status obi_random_config(uint32_t width, uint32_t ffn, uint32_t layers, uint32_t heads, uint32_t kv_heads, uint32_t vocabulary,
                             uint32_t context, obi_config *out);

/* Makes it one of `planes` sign planes, 1 to OBI_PLANES_MAX, with an offset, without g and post-norm, as codes of so many bits are kept. */
obi_status obi_random_config_planes(obi_config *config, uint32_t planes);

/* Bytes that its weights take on the device at the most: signs with the padding of their layout, value vectors (f32), embedding and
 * head (f16), norms (f32). */
uint64_t obi_random_weights_bytes(const obi_device *device, const obi_config *config);

/* Makes them, each tensor straight into the upload: the host never holds more than a piece of one. The same seed gives the same
 * weights. OBI_ERROR_MEMORY, before anything is allocated, when they do not fit. To be freed with obi_weights_free. */
obi_status obi_random_weights_create(obi_device *device, const obi_config *config, uint64_t seed, obi_weights_progress progress, void *user,
                                     obi_weights **out);

#endif

/* ref_embed: scalar reference of the embedding lookup: the specification of shaders/embed. */
#ifndef OBI_REF_EMBED_H
#define OBI_REF_EMBED_H

#include <stdint.h>

/* x[t] = table[ids[t]]; zeros where ids[t] >= V */
void ref_embed_gather(float *x /* (T,D) */, const uint32_t *ids /* (T) */, const float *table /* (V,D) */, uint64_t T, uint64_t D,
                      uint64_t V);

#endif

/* ref_embed_bwd: scalar reference of the embedding's gradient: the specification of shaders/embed/scatter_bwd. */
#ifndef OBI_REF_EMBED_BWD_H
#define OBI_REF_EMBED_BWD_H

#include <stdint.h>

/* dtable[id] += sum of dx[t] over the t with ids[t] = id; an id of V or more has no row. */
void ref_embed_scatter_add(float *dtable /* (V,D) */, const float *dx /* (T,D) */, const uint32_t *ids /* (T) */, uint64_t T, uint64_t D,
                           uint64_t V);

#endif

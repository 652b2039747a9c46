#include "ref/ref_embed.h"

void ref_embed_gather(float *x, const uint32_t *ids, const float *table, uint64_t T, uint64_t D, uint64_t V)
{
    for (uint64_t t = 0; t < T; t++)
        for (uint64_t d = 0; d < D; d++) x[t * D + d] = ids[t] < V ? table[ids[t] * D + d] : 0;
}

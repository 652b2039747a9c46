#include "ref/ref_embed_bwd.h"

/* The sum for (id,d) is made when its first token is met, in double and in the order of the tokens. */
void ref_embed_scatter_add(float *dtable, const float *dx, const uint32_t *ids, uint64_t T, uint64_t D, uint64_t V)
{
    for (uint64_t t = 0; t < T; t++) {
        uint64_t earlier = 0;
        while (earlier < t && ids[earlier] != ids[t]) earlier++;
        if (ids[t] >= V || earlier < t) continue;
        for (uint64_t d = 0; d < D; d++) {
            double sum = 0;
            for (uint64_t other = t; other < T; other++)
                if (ids[other] == ids[t]) sum += (double)dx[other * D + d];
            float *to = &dtable[ids[t] * D + d];
            *to = (float)((double)*to + sum);
        }
    }
}

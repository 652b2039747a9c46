/* bench_complexity: what the bracket saves. X W^T with W = S * (h g^T) made first, against [(X * g) S^T] * h, on one device with the
 * same numbers (OneBit, arXiv 2402.11295, eq. 3-5 and proposition 1). */
#ifndef OBI_ENGINE_BENCH_COMPLEXITY_H
#define OBI_ENGINE_BENCH_COMPLEXITY_H

#include "engine/bench.h"

typedef enum obi_complexity_way {
    OBI_WAY_MATERIALISED = 0, /* W made of S in f32, then the product in f32: 2mn + Tmn multiplications */
    OBI_WAY_BRACKETED = 1,    /* the same product in f32, with S; X and the result scaled: Tn + Tmn + Tm multiplications */
    OBI_WAY_SIGNS = 2,        /* the layer as it runs: packed signs, no multiplication by them */
    OBI_WAYS = 3
} obi_complexity_way;

typedef struct obi_complexity_times {
    double
        *seconds[OBI_WAYS]; /* of each round, by the device's timestamps, by the clock where it has none; the caller's, `rounds` of each */
    double *outside[OBI_WAYS]; /* of these outside the product; likewise, 0 of SIGNS and without timestamps */
    bool timestamps;
    double difference[OBI_WAYS]; /* root mean square of the difference from MATERIALISED's result, relative to it */
} obi_complexity_times;

/* Each round runs every way once, one submit each, MATERIALISED first in even rounds and last in odd ones; `warmup` rounds are not
 * timed. OBI_ERROR_RUNTIME when two ways give different results: there is then nothing to compare. */
obi_status obi_complexity_run(obi_device *device, obi_bench_shape shape, uint32_t warmup, uint32_t rounds, obi_complexity_times *times);

#endif

/* rng: a small seeded generator (SplitMix64), the same sequence on every machine. Not for cryptography. */
#ifndef OBI_CORE_RNG_H
#define OBI_CORE_RNG_H

#include <math.h>
#include <stdint.h>

typedef struct obi_rng { uint64_t state; } obi_rng;

static inline obi_rng obi_rng_seed(uint64_t seed) { obi_rng rng = { seed }; return rng; }

static inline uint64_t obi_rng_next(obi_rng *rng)
{
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Uniform in [0, 1), 53 bits. */
static inline double obi_rng_uniform(obi_rng *rng) { return (double)(obi_rng_next(rng) >> 11) * 0x1p-53; }

/* Standard normal by Box-Muller; one draw of the pair is used, so that the state is all there is to save. */
static inline double obi_rng_normal(obi_rng *rng)
{
    double radius = sqrt(-2.0 * log(1.0 - obi_rng_uniform(rng)));
    return radius * cos(6.283185307179586 * obi_rng_uniform(rng));
}

#endif

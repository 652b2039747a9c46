/* sampler: from logits to one token. Host only; the device may have picked the candidates already. */
#ifndef OBI_ENGINE_SAMPLER_H
#define OBI_ENGINE_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "core/rng.h"
#include "core/status.h"

#define OBI_CANDIDATES_MAX 128 /* that the device's top-k gives */

typedef struct obi_sampling {
    float repeat_penalty; /* 1: off */
    uint32_t repeat_last;
    uint32_t top_k;       /* 0: off */
    float top_p;          /* 1: off */
    float min_p;          /* 0: off */
    float temperature;    /* 0: greedy */
    uint64_t seed;
} obi_sampling;

typedef struct obi_candidate { uint32_t id; float logit; } obi_candidate; /* the layout of the top-k kernel's output */

/* Resolves defaults (0 -> off values, repeat_last 0 -> 64) and refuses what has no meaning. */
obi_status obi_sampling_resolve(obi_sampling *sampling);

/* How many candidates the device must give for an exact choice: 1 for greedy, top_k when it is small enough; 0 when all
 * logits are needed. */
uint32_t obi_sampling_candidates(const obi_sampling *sampling);

/* Chooses among `count` candidates sorted by falling logit (top-k already applied). OBI_ERROR_RUNTIME when none is finite. */
obi_status obi_sample_candidates(const obi_sampling *sampling, obi_rng *rng, const obi_candidate *candidates, size_t count, uint32_t *id);

/* Chooses from all logits (changed by the penalty). `recent` are the last tokens, oldest first. */
obi_status obi_sample_logits(const obi_sampling *sampling, obi_rng *rng, float *logits, uint32_t vocabulary, const uint32_t *recent,
                             size_t recent_count, uint32_t *id);

#endif

/* ranks: the processes that train one model together, each on its own device, and what they agree on. The transport is the
 * caller's (MPI in onebit-train-vk); NULL, or a size of 1, is one process alone, and then nothing here does anything.
 *
 * All functions are collective: every rank calls them, in the same order. A rank that fails between two of them leaves the
 * others waiting: whoever started them ends them (MPI_Abort). */
#ifndef OBI_QUANT_TRAIN_RANKS_H
#define OBI_QUANT_TRAIN_RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct obi_ranks {
    uint32_t rank, size;
    bool (*sum_floats)(float *values, size_t count, void *user);   /* in place, the same bits on every rank; false: it failed */
    bool (*sum_doubles)(double *values, size_t count, void *user); /* likewise */
    bool (*broadcast)(void *bytes, size_t count, void *user);      /* from rank 0 */
    void *user;
} obi_ranks;

static inline uint32_t obi_ranks_size(const obi_ranks *ranks) { return ranks ? ranks->size : 1; }
static inline uint32_t obi_ranks_rank(const obi_ranks *ranks) { return ranks ? ranks->rank : 0; }

obi_status obi_ranks_sum_floats(const obi_ranks *ranks, float *values, size_t count);
obi_status obi_ranks_sum_doubles(const obi_ranks *ranks, double *values, size_t count);
obi_status obi_ranks_broadcast(const obi_ranks *ranks, void *bytes, size_t count);

/* *flag becomes whether any rank's is set. */
obi_status obi_ranks_any(const obi_ranks *ranks, bool *flag);

/* *value becomes the smallest of all ranks'. */
obi_status obi_ranks_least(const obi_ranks *ranks, uint32_t *value);

#endif

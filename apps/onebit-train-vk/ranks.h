/* ranks: the processes of one training run, started by mpirun or srun. ranks_mpi.c is built with ONEBIT_MPI, ranks_alone.c
 * without. A program that nobody started so is one process alone, and MPI is not even initialised. */
#ifndef ONEBIT_APPS_TRAIN_RANKS_H
#define ONEBIT_APPS_TRAIN_RANKS_H

#include "onebit/onebit_train.h"

typedef struct app_ranks {
    ob_ranks ranks;
    uint32_t local; /* rank among the processes on this machine */
} app_ranks;

/* Whether the environment says that MPI started this process beside others. */
bool app_ranks_started(void);

/* Fills in the ranks; size 1 when alone. False, with a sentence said, when they cannot be had. */
bool app_ranks_open(app_ranks *ranks);
void app_ranks_close(const app_ranks *ranks);

/* The largest of all ranks' numbers; collective. */
int app_ranks_largest(const app_ranks *ranks, int number);

/* Ends all ranks with this exit code, without waiting for them; returns when alone. */
void app_ranks_abort(const app_ranks *ranks, int code);

/* The device of this rank. `devices` is what the user gave: one for all, or a list with commas (indices or UUIDs) from which
 * the ranks of a machine take in turn. NULL: in turn from the devices of the best one's type. The result is NULL, for the best
 * device, or lies in `room`. */
const char *app_ranks_device(const app_ranks *ranks, const char *devices, char *room, size_t bytes);

#endif

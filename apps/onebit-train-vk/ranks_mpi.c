#include "ranks.h"

#include <mpi.h>
#include <stdlib.h>

#include "common/term.h"

#define PIECE_MAX (1u << 30) /* elements of one call: MPI counts with int */

/* How `count` values are divided among the ranks: each adds up one part and hands the result to all. So every rank gets
 * the same bits, whatever way the MPI library likes to go, and each value crosses the wire twice. */
typedef struct division {
    int *counts, *offsets;
    void *part;
} division;

static bool divide(division *parts, size_t count, size_t bytes, int size)
{
    parts->counts = calloc((size_t)size, sizeof(int));
    parts->offsets = calloc((size_t)size, sizeof(int));
    parts->part = malloc((count / (size_t)size + 1) * bytes);
    if (!parts->counts || !parts->offsets || !parts->part) return false;
    for (int i = 0, offset = 0; i < size; i++) {
        parts->counts[i] = (int)(count / (size_t)size) + ((size_t)i < count % (size_t)size);
        parts->offsets[i] = offset;
        offset += parts->counts[i];
    }
    return true;
}

static bool sum(void *values, size_t count, size_t bytes, MPI_Datatype type)
{
    int size, rank;
    division parts = { 0 };
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    bool done =
        divide(&parts, count, bytes, size) &&
        MPI_Reduce_scatter(values, parts.part, parts.counts, type, MPI_SUM, MPI_COMM_WORLD) == MPI_SUCCESS &&
        MPI_Allgatherv(parts.part, parts.counts[rank], type, values, parts.counts, parts.offsets, type, MPI_COMM_WORLD) == MPI_SUCCESS;
    free(parts.counts);
    free(parts.offsets);
    free(parts.part);
    return done;
}

static bool sum_floats(float *values, size_t count, void *user)
{
    (void)user;
    for (size_t at = 0; at < count; at += PIECE_MAX)
        if (!sum(values + at, count - at < PIECE_MAX ? count - at : PIECE_MAX, sizeof *values, MPI_FLOAT)) return false;
    return true;
}

static bool sum_doubles(double *values, size_t count, void *user)
{
    (void)user;
    for (size_t at = 0; at < count; at += PIECE_MAX)
        if (!sum(values + at, count - at < PIECE_MAX ? count - at : PIECE_MAX, sizeof *values, MPI_DOUBLE)) return false;
    return true;
}

static bool broadcast(void *bytes, size_t count, void *user)
{
    (void)user;
    for (size_t at = 0; at < count; at += PIECE_MAX) {
        size_t piece = count - at < PIECE_MAX ? count - at : PIECE_MAX;
        if (MPI_Bcast((char *)bytes + at, (int)piece, MPI_BYTE, 0, MPI_COMM_WORLD) != MPI_SUCCESS) return false;
    }
    return true;
}

bool app_ranks_open(app_ranks *ranks)
{
    *ranks = (app_ranks){ .ranks = { .size = 1 } };
    if (!app_ranks_started()) return true;
    int provided, rank, size, local;
    MPI_Comm machine;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
        app_refuse(1, "MPI cannot be initialised; start the program with mpirun or srun of the MPI that it was built with, or alone");
        return false;
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
    MPI_Comm_rank(machine, &local);
    MPI_Comm_free(&machine);
    ranks->ranks = (ob_ranks){ (uint32_t)rank, (uint32_t)size, sum_floats, sum_doubles, broadcast, NULL };
    ranks->local = (uint32_t)local;
    return true;
}

static bool initialised(void)
{
    int begun = 0, ended = 0;
    MPI_Initialized(&begun);
    MPI_Finalized(&ended);
    return begun && !ended;
}

void app_ranks_close(const app_ranks *ranks)
{
    (void)ranks;
    if (initialised()) MPI_Finalize();
}

int app_ranks_largest(const app_ranks *ranks, int number)
{
    int largest = number;
    if (ranks->ranks.size > 1) MPI_Allreduce(&number, &largest, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    return largest;
}

void app_ranks_abort(const app_ranks *ranks, int code)
{
    if (ranks->ranks.size > 1) MPI_Abort(MPI_COMM_WORLD, code);
}

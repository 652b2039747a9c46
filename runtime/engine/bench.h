/* bench: single operations timed on random data: matrix products, the other steps of a forward pass, and those of training. */
#ifndef OBI_ENGINE_BENCH_H
#define OBI_ENGINE_BENCH_H

#include "ops/tensor.h"

#define OBI_BENCH_SHAPES 4
#define OBI_BENCH_KERNELS 8

typedef struct obi_bench_shape {
    uint32_t T, m, n;
} obi_bench_shape; /* letters as in ops/tensor.h; an operation's formula says what they are to it */

typedef struct obi_bench_times {
    double *seconds;        /* of each round, from submit to the end of waiting; the caller's, `rounds` of them */
    double *device_seconds; /* by timestamps; 0 where the device has none */
    double operations;      /* floating-point, of a round: a multiply and an add are two */
    uint64_t bytes;         /* that it must move at the least */
    uint64_t signs;         /* one-bit weights that it goes through; 0: it has none */
    int kernels[OBI_BENCH_KERNELS]; /* that ran; none where the device has no timestamps */
    uint32_t kernel_count;
} obi_bench_times;

/* Name and formula of operation i, and the shapes it is measured at where none is asked for, `shape_count` of them, at least one;
 * false behind the last. */
bool obi_bench_describe(uint32_t i, const char **name, const char **formula, const obi_bench_shape **shapes, uint32_t *shape_count);

/* Runs operation i `warmup` times untimed and `rounds` times timed, one submit each. */
obi_status obi_bench_run(obi_device *device, uint32_t i, obi_bench_shape shape, uint32_t warmup, uint32_t rounds, obi_bench_times *times);

#endif

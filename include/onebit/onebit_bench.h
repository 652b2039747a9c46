/* onebit_bench.h: times of this device, from models of random weights and from single operations. */
#ifndef ONEBIT_BENCH_H
#define ONEBIT_BENCH_H

#include "onebit/onebit.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- one operation (libonebit) ---------------------------------------------------------------------------------- */

/* Letters of the formulas: T rows of activations, a matrix (m,n); of attention T queries over m positions; of a loss or a choice
 * m words of the vocabulary. A letter that a formula has not means nothing to it. */
typedef struct ob_bench_kernel_info {
    const char *name, *formula;
    uint32_t shapes[4][3];           /* T, m, n: to be measured at where none is asked for */
    uint32_t shape_count;            /* at least one */
} ob_bench_kernel_info;

/* Operation i: the matrix products, then the other steps of a forward pass, then those of training. False behind the last. */
OB_API bool ob_bench_kernel_describe(uint32_t i, ob_bench_kernel_info *info);

typedef struct ob_bench_kernel_desc {
    uint32_t index;                  /* of the operation */
    uint32_t T, m, n;
    uint32_t warmup, rounds;         /* untimed, timed; rounds > 0 */
    double *seconds;                 /* filled: of each round, submit and wait; `rounds` of them */
    double *device_seconds;          /* filled: of each round, by the device's timestamps; 0 where it has none */
} ob_bench_kernel_desc;

typedef struct ob_bench_kernel_cost {
    double operations;               /* floating-point, of a round: a multiply and an add are two, and so is a weight of one bit; an
                                        exponential, a root, a division or a comparison is one */
    uint64_t bytes;                  /* that a round must move at the least: inputs and outputs once, what is added to twice */
    uint64_t signs;                  /* one-bit weights that it goes through; 0: it has none */
    const char *kernels[8];          /* the names of those that ran, as ob_session_kernel_times has them */
    uint32_t kernel_count;           /* 0: the device has no timestamps */
} ob_bench_kernel_cost;

/* Times it on random data. What it changes in place is put back before each round, untimed. */
OB_API ob_status ob_bench_kernel(ob_context *context, const ob_bench_kernel_desc *desc, ob_bench_kernel_cost *cost);

/* ---- what the bracket saves (libonebit) ----------------------------------------------------------------------------- */

/* Three ways to X W^T with W = S * (h g^T), X (T,n), S (m,n) of +-1; the number of multiplications is the formula's (OneBit, arXiv
 * 2402.11295, proposition 1). 2mn - Tn - Tm = ((2m - T)(2n - T) - T^2) / 2, so the bracket needs fewer wherever T < m and T < n. */
typedef enum ob_bench_way {
    OB_BENCH_MATERIALISED = 0, /* W is made of S, f32, and multiplied with: 2mn + Tmn */
    OB_BENCH_BRACKETED = 1,    /* [(X * g) S^T] * h, the same f32 product with S: Tn + Tmn + Tm */
    OB_BENCH_SIGNS = 2,        /* the same bracket as a 1-bit layer has it: packed signs, nothing multiplied by them */
    OB_BENCH_WAYS = 3
} ob_bench_way;

typedef struct ob_bench_complexity_desc {
    uint32_t T, m, n;                /* each at most 65536 */
    uint32_t warmup, rounds;         /* untimed, timed; rounds > 0. Each round runs all ways, one after the other, in turning order */
    double *seconds[OB_BENCH_WAYS];  /* filled: of each round, by the device's timestamps, by the clock where it has none */
    double *outside[OB_BENCH_WAYS];  /* filled: of these outside the product; 0 of SIGNS, whose kernels scale as they go, and without
                                        timestamps */
} ob_bench_complexity_desc;

typedef struct ob_bench_complexity_result {
    bool timestamps;
    double difference[OB_BENCH_WAYS]; /* of the results from MATERIALISED's: root of the mean squares, as a share of it */
} ob_bench_complexity_result;

/* Times them on the same random numbers. OB_ERROR_RUNTIME when results differ by more than rounding explains: then there is nothing
 * to compare. Blocks; one thread for a context. */
OB_API ob_status ob_bench_complexity(ob_context *context, const ob_bench_complexity_desc *desc, ob_bench_complexity_result *result);

/* ---- the device itself (libonebit) -------------------------------------------------------------------------------- */

typedef struct ob_bench_rates {
    double bytes_per_second;         /* moved by the better of a buffer copy and an addition of vectors, which the caches do not hold
                                        where memory allows: what is read and what is written both count */
    double operations_per_second;    /* of f32 multiply-adds without memory; each counts as two */
} ob_bench_rates;

/* Measures both, the best of some rounds, in about a second on a CPU driver. */
OB_API ob_status ob_bench_rates_get(ob_context *context, ob_bench_rates *rates);

typedef struct ob_bench_point {
    const char *label;
    double operations, bytes;        /* of a round, as in ob_bench_kernel_cost */
    double seconds;
} ob_bench_point;

/* Draws the two rates as roofs over arithmetic intensity (operations a byte, both axes logarithmic) and the points below them, as
 * an SVG file; `path` appears whole. Points without a positive finite place are left out. `title` and labels are UTF-8. */
OB_API ob_status ob_bench_roofline(const char *path, const char *title, const ob_bench_rates *rates, const ob_bench_point *points,
                                   size_t count);

/* ---- a whole model (libonebit) ----------------------------------------------------------------------------------- */

typedef struct ob_bench_model_desc {
    uint32_t width, ffn, layers, heads, kv_heads, vocabulary; /* kv_heads 0: as many as heads; heads divide the width */
    uint32_t context;                /* positions it claims to be trained for; 0: 2048 */
    uint64_t seed;
    uint32_t planes;                 /* 2 to 4: each linear is a sum of so many sign matrices, with an offset; 0, 1: OneBit's form */
    const char *name;                /* NULL: "random" */
    ob_progress_function progress;   /* NULL: none */
    void *user;
} ob_bench_model_desc;

/* Makes a 1-bit model of random weights on the device, without a file and without a tokenizer: embedding and head are f16, the
 * linear layers signs with value vectors. Use and destroy it like a loaded one. OB_ERROR_MEMORY, before anything is allocated, when
 * it does not fit. */
OB_API ob_status ob_bench_model(ob_model **out, ob_context *context, const ob_bench_model_desc *desc);

typedef struct ob_bench_memory {
    uint64_t used_bytes;             /* in live buffers */
    uint64_t reserved_bytes;         /* taken from the driver now */
    uint64_t peak_bytes;             /* the most that was taken so far */
} ob_bench_memory;
/* Device memory of this context. Thread-safe. */
OB_API ob_status ob_bench_memory_get(ob_context *context, ob_bench_memory *memory);

/* ---- a training step (libonebit_train) -------------------------------------------------------------------------- */

typedef struct ob_bench_train_desc {
    const char *const *overrides;    /* key, value, key, value, ... as for ob_train: shape, batch, stage, method; names of files
                                        and directories mean nothing here */
    size_t override_count;           /* pairs */
    uint32_t vocabulary;
    uint32_t warmup, steps;          /* untimed, timed; steps > 0 */
    uint32_t profiled;               /* steps after these whose kernels are timed; 0: none */
    bool (*progress)(uint32_t done, uint32_t all, void *user); /* asked after each step; false stops; may be NULL */
    void *user;
} ob_bench_train_desc;

typedef struct ob_bench_train_result {
    double *seconds;                 /* of each timed step */
    uint32_t steps;
    ob_kernel_time *kernels;         /* sums over the profiled steps, longest first */
    uint32_t kernel_count;           /* 0: not asked for, or the device has no timestamps */
    uint32_t profiled;
    double profiled_seconds;         /* of the profiled steps, by the clock */
    uint64_t tokens;                 /* of a step */
    uint64_t parameters, linear_weights; /* of the model being trained; those inside linear layers */
    double operations;               /* of a step: onebit-bench-vk --help has the formula */
    uint64_t model_bytes, teacher_bytes, work_bytes; /* on the device, as planned */
    uint64_t used_bytes, reserved_bytes; /* on the device, as allocated: in buffers, and taken from the driver */
    double loss;                     /* of the last step */
} ob_bench_train_result;

/* Makes a model with random weights (kd: a teacher, and its student by SVID), and times steps of ob_train over random
 * tokens. Free the result with ob_bench_train_free. */
OB_API ob_status ob_bench_train(ob_context *context, const ob_bench_train_desc *desc, ob_bench_train_result **out);
OB_API void ob_bench_train_free(ob_bench_train_result *result); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif

/* bench: training steps of a random model, timed: the trainer's own step, without files. */
#ifndef OBI_QUANT_TRAIN_BENCH_H
#define OBI_QUANT_TRAIN_BENCH_H

#include "quant/train/trainer.h"

typedef struct obi_train_bench {
    /* asked for */
    uint32_t vocabulary, warmup, steps, profiled;
    bool (*progress)(uint32_t done, uint32_t all, void *user); /* may be NULL */
    void *user;
    /* found */
    double *seconds;          /* `steps` of them, the caller's */
    obi_profile_row *kernels; /* OBI_KERNEL_COUNT of them, the caller's; longest first */
    uint32_t kernel_count;
    double profiled_seconds;
    uint64_t tokens, parameters, linear_weights;
    double operations; /* floating-point, of a step */
    uint64_t model_bytes, teacher_bytes, work_bytes;
    uint64_t used_bytes, reserved_bytes;
    double loss;
} obi_train_bench;

/* Options must have been checked; names of files in them are not used. OBI_ERROR_CANCELLED when progress says so. */
obi_status obi_train_bench_run(obi_device *device, const obi_train_options *options, obi_train_bench *bench);

/* Floating-point operations of one step, a multiply and an add being two: per token 2 for each weight a product meets
 * (forward), 2 more for the gradient of its input, 2 more for that of a trained weight, and for attention 2 T D a layer
 * forward (causal: half of the square) and twice that backward; recomputation is not counted. */
double obi_train_operations(const obi_train_options *options, const obi_config *config, bool teacher);

#endif

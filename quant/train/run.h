/* run: a training run from its options to its model.gguf: what is read, the loop of steps, evaluations and checkpoints, the
 * log, stopping and going on. */
#ifndef OBI_QUANT_TRAIN_RUN_H
#define OBI_QUANT_TRAIN_RUN_H

#include "quant/train/estimate.h"
#include "quant/train/plan.h"

typedef struct obi_run_plan {   /* known before the first step */
    uint64_t steps, first_step; /* of the whole run; where it goes on */
    uint64_t parameters, trained;
    uint64_t train_tokens, held_out_tokens;
    uint64_t model_bytes, teacher_bytes, work_bytes; /* on the device */
} obi_run_plan;

typedef struct obi_generate_progress { /* of the stage generate */
    uint64_t first, done, samples;      /* samples that were there at the start; that are there; wanted */
    uint64_t tokens;                    /* made since the start, those of samples that are not done yet included */
    double seconds;                     /* since the start */
    uint64_t device_bytes;              /* of model and working buffers */
} obi_generate_progress;

typedef struct obi_run_hooks {
    void (*memory)(const obi_memory_plan *plan, void *user); /* before anything is made on the device */
    void (*plan)(const obi_run_plan *plan, void *user);
    void (*step)(uint64_t step, uint64_t steps, const obi_step_report *report, double seconds, void *user);
    void (*evaluation)(uint64_t step, double nll, double kl, bool best, void *user);
    /* At the end, if set: GPU time by kernel, longest first, of `steps` steps (not the first, unless it is the only one) and of
     * the evaluations between them, and the seconds they took by the clock. No rows: the device has no timestamps. */
    void (*profile)(const obi_profile_row *rows, uint32_t count, uint64_t steps, double seconds, void *user);
    void (*estimate)(const obi_estimate *estimate, uint64_t peak_bytes, void *user); /* the end of a dry run; device memory taken */
    void (*generated)(const obi_generate_progress *progress, void *user); /* generate: after each token of all sequences */
    bool (*save)(void *user); /* asked between steps: true saves a checkpoint and goes on */
    bool (*stop)(void *user); /* asked between steps: true saves and ends with OBI_ERROR_CANCELLED */
    void *user;
    const obi_ranks *ranks; /* NULL: this process alone. `stop` and `save` are asked on every rank, the others on rank 0 */
} obi_run_hooks; /* any may be NULL */

/* Runs it. Options must have been checked. OUTPUT/ then holds resolved.yaml, log.jsonl, checkpoints and model.gguf. A
 * directory that another run holds is OBI_ERROR_ARGUMENT. */
obi_status obi_train_run(obi_device *device, const obi_train_options *options, const obi_run_hooks *hooks);

#endif

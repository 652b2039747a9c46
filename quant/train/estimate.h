/* estimate: how long a whole run will take, from a step and an evaluation that are timed. */
#ifndef OBI_QUANT_TRAIN_ESTIMATE_H
#define OBI_QUANT_TRAIN_ESTIMATE_H

#include "quant/train/trainer.h"

#define OBI_ESTIMATE_BYTES_PER_SECOND 2e8 /* assumed of writing checkpoints: a dry run writes nothing */

typedef struct obi_estimate {
    uint64_t steps, evaluations, checkpoints;
    double step_seconds, evaluation_seconds, checkpoint_seconds; /* of one */
    double seconds;                                              /* of all */
    uint64_t checkpoint_bytes;
} obi_estimate;

/* Takes one more step and some batches of an evaluation with a trainer that has taken a step, so that its pipelines are made.
 * held_out may have no blocks. eval_blocks: how many an evaluation looks at, at most. */
obi_status obi_estimate_run(obi_trainer *trainer, const obi_dataset *held_out, uint64_t eval_blocks, obi_estimate *out);

#endif

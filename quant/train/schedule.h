/* schedule: the learning rate's factor at a step. */
#ifndef OBI_QUANT_TRAIN_SCHEDULE_H
#define OBI_QUANT_TRAIN_SCHEDULE_H

#include "quant/train/options.h"

/* Steps over which the factor rises from 0 to 1: warmup_steps or warmup_ratio of `steps`, the fewer when both are given. */
uint64_t obi_schedule_warmup(const obi_train_options *options, uint64_t steps);

/* The factor of step 0 .. steps-1, as Hugging Face's schedulers give it: step s of the warm-up has s / warmup, and then cosine
 * and linear fall to 0 at `steps`. */
double obi_schedule_factor(const obi_train_options *options, uint64_t step, uint64_t steps);

#endif

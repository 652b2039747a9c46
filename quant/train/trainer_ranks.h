/* trainer_ranks: what the trainers of all ranks do together: one model, one batch size, one gradient. Collective, as ranks.h
 * says; a trainer that has joined nobody does nothing here. */
#ifndef OBI_QUANT_TRAIN_TRAINER_RANKS_H
#define OBI_QUANT_TRAIN_TRAINER_RANKS_H

#include "quant/train/trainer.h"

/* Once, before the first step: from here on a step is made by all ranks, each with its share of the step's sequences. The
 * ranks are borrowed. obi_trainer_share must follow. */
obi_status obi_trainer_join(obi_trainer *trainer, const obi_ranks *ranks);

/* Every rank takes rank 0's parameters, optimiser state, step and best evaluation, and the smallest batch of all ranks. */
obi_status obi_trainer_share(obi_trainer *trainer);

/* As many sequences at once on each rank as fit on all. */
obi_status obi_trainer_agree_batch(obi_trainer *trainer);

/* The gradient becomes the sum over the ranks, and the report's losses and tokens too. */
obi_status obi_trainer_sum_gradient(obi_trainer *trainer, obi_step_report *report);

#endif

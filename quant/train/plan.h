/* plan: what a run will take of the device's memory, from shapes alone, before anything is made there. */
#ifndef OBI_QUANT_TRAIN_PLAN_H
#define OBI_QUANT_TRAIN_PLAN_H

#include "quant/train/trainer.h"

typedef struct obi_memory_plan { /* bytes */
    uint64_t weights;            /* f32, and the packed signs of a 1-bit model with the two copies that flips are counted by, or levels */
    uint64_t gradients, optimiser;
    uint64_t activations; /* of a micro-batch, kept for the backward pass, and its scratch */
    uint64_t logits;      /* one tile, of the teacher too */
    uint64_t teacher, teacher_activations;
    uint64_t other;     /* losses, reductions */
    uint64_t transfers; /* what loading or saving takes for a moment beyond all this */
    uint64_t total;     /* of the above: the peak */
} obi_memory_plan;

/* `model` as it will be trained, `teacher` or NULL. A batch that the device cannot bind is
 * planned with half the sequences, as the trainer then takes it. */
obi_status obi_plan_memory(obi_device *device, const obi_train_options *options, const obi_config *model, const obi_config *teacher,
                           obi_memory_plan *out);

#endif

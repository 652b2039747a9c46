/* trainer: one model learning, step by step. Everything that changes from step to step is in the model's parameters and in
 * `step`, and what evaluations found in `best` and `without_better`: a trainer made anew with them goes on with the same
 * bits. One thread. */
#ifndef OBI_QUANT_TRAIN_TRAINER_H
#define OBI_QUANT_TRAIN_TRAINER_H

#include "quant/train/dataset.h"
#include "quant/train/exchange.h"
#include "quant/train/flips.h"
#include "quant/train/pass.h"

typedef struct obi_step_report {
    double loss;          /* what was minimised, mean over the step's tokens */
    double nll;           /* next-token loss of the student; pretrain only */
    double kl, hidden;    /* kd only: KL to the teacher per token, and the hidden-state term summed over layers */
    double gradient_norm; /* before clipping */
    double factor;        /* of the learning rate */
    uint64_t tokens;      /* of the step */
    uint64_t trained;     /* those of them that have a target: the loss is their mean; with none nothing is updated */
    uint64_t signs;       /* of a 1-bit model, else 0: how many there are, */
    uint64_t flipped;     /* how many of them this step turned over, */
    uint64_t moved;       /* and how many are not what the run began with */
    bool distilled;       /* there is a teacher: kl and hidden are given */
    bool skipped;         /* the gradient was not finite: nothing was updated */
} obi_step_report;

typedef struct obi_trainer {
    obi_device *device;
    const obi_train_options *options;
    const obi_train_model *teacher; /* kd; borrowed */
    obi_train_model *model;         /* borrowed */
    const obi_dataset *data;
    obi_pass *pass, *teacher_pass;
    obi_cmd *cmd;
    obi_flips *flips;               /* NULL: no signs */
    const obi_ranks *ranks;         /* NULL: alone; borrowed (trainer_ranks.h) */
    obi_exchange *exchange;         /* NULL: alone */
    uint32_t sequences, batches;    /* at once, and how many such batches make this rank's part of a step: the options', or
                                       as memory allows */
    uint32_t tile;                  /* rows of logits at once */
    obi_buffer *logits, *teacher_logits; /* (tile, V) */
    obi_buffer *targets;            /* (N) u32, host-visible; 0xFFFFFFFF = no target */
    obi_buffer *token_loss;         /* (N, 2) */
    obi_buffer *token_loss_host;
    obi_buffer *hidden_loss, *hidden_loss_host; /* L times N + 1, padded to 64 */
    obi_buffer *scratch;            /* of reductions */
    obi_buffer *plan;               /* which tokens each row of the embedding gets; host-visible */
    obi_buffer *sums, *sums_host;   /* sum of squares of the gradient, and how many of its values are not finite */
    bool measuring;                 /* buffers are counted, not made */
    uint64_t measured;              /* bytes */
    uint64_t step, steps;           /* done, and of the whole run */
    double best;                    /* smallest held-out result so far, infinity before the first */
    uint32_t without_better;        /* evaluations since */
} obi_trainer;

/* What a trainer takes on the device beyond the models' own. */
typedef struct obi_work_bytes {
    uint64_t activations, teacher_activations; /* with gradients and scratch of a pass */
    uint64_t logits;                           /* one tile, of the teacher too */
    uint64_t other;                            /* losses, reductions, targets */
} obi_work_bytes;

/* The same from shapes, without a trainer: `model` and `teacher` (or NULL) need their config, device, and the shapes of their
 * params. OBI_ERROR_MEMORY when one of its buffers could not be bound. */
obi_status obi_trainer_measure(const obi_train_options *options, obi_train_model *model, const obi_train_model *teacher,
                               obi_work_bytes *out);

/* Buffers for a run of `steps` steps. The pieces are borrowed and must outlive the trainer. Where device memory does not
 * hold them, here or later, the trainer takes fewer sequences at once and more batches: the same tokens in the same order make
 * a step, and its gradient is the same up to the order of the sums. OBI_ERROR_MEMORY: one sequence is too much too. */
obi_status obi_trainer_create(obi_device *device, const obi_train_options *options, obi_train_model *model, const obi_train_model *teacher,
                              const obi_dataset *data, uint64_t steps, obi_trainer **out);
void obi_trainer_destroy(obi_trainer *trainer); /* NULL is allowed */

/* Sequences of a step, all ranks together. */
uint64_t obi_trainer_step_sequences(const obi_trainer *trainer);

/* Goes on with `sequences` at once; they must divide this rank's part of a step. For a run that was stopped after it had to. */
obi_status obi_trainer_set_batch(obi_trainer *trainer, uint32_t sequences);

/* One optimiser step: forward, backward and accumulation of every batch of it, clipping, update. */
obi_status obi_trainer_step(obi_trainer *trainer, obi_step_report *report);

/* Mean next-token NLL of the model, and the mean KL to the teacher if there is one (else NaN), over the first `blocks` blocks. */
obi_status obi_trainer_evaluate(obi_trainer *trainer, const obi_dataset *held_out, uint64_t blocks, double *nll, double *kl);

/* Bytes on the device beyond the models' own. */
uint64_t obi_trainer_bytes(const obi_trainer *trainer);

#endif

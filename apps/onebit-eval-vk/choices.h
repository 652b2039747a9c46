/* choices: the log-likelihoods of an item's choices. What their beginnings share is fed once, and what follows it side by side. */
#ifndef ONEBIT_EVAL_CHOICES_H
#define ONEBIT_EVAL_CHOICES_H

#include "onebit/onebit.h"
#include "task.h"

/* The tokens of one choice: the first `given` are only given, the rest predicted. given >= 1, count > given. */
typedef struct eval_sequence { uint32_t *ids; size_t count, given; } eval_sequence;

/* Context and continuation are encoded each by itself, and the model sees at most `most` tokens: the first go. The last is only predicted,
 * so a sequence has most + 1 at most. An empty context is the model's eos, as in the harness. `path` and the item's line are for messages.
 * Returns APP_GO_ON or the exit code, and has said why; ids are to be freed with free() in either case. */
int eval_sequence_make(eval_sequence *sequence, const ob_model *model, const ob_model_info *info, const eval_choice *choice, bool bos,
                       size_t most, const char *path, size_t line);

/* likelihood[i] = ln p(what sequence i predicts | what it gives), nats. `logits` is room for a vocabulary, `nll` for all sequences.
 * *fed grows by the tokens that went through the model. */
ob_status eval_choices_score(ob_session *session, const ob_model_info *info, const eval_sequence *sequences, uint32_t count, float *logits,
                             double *nll, double *likelihood, uint64_t *fed);

#endif

/* view: what a person sees of a training run: a line that is rewritten in a terminal, and one now and then elsewhere. The
 * functions with `user` are the callbacks of ob_train_desc; `user` is the train_view. */
#ifndef ONEBIT_TRAIN_VIEW_H
#define ONEBIT_TRAIN_VIEW_H

#include "common/term.h"
#include "onebit/onebit_train.h"
#include "pace.h"

typedef struct train_view {
    app_progress progress;
    train_pace pace;
    bool dry_run;
    uint64_t planned;       /* bytes of device memory */
    double tokens, seconds; /* of the last steps, fading: the speed shown */
} train_view;

void train_view_start(train_view *view);
void train_view_memory(const ob_train_memory *memory, void *user);
void train_view_plan(const ob_train_plan *plan, void *user);
void train_view_step(const ob_train_step *step, void *user);
void train_view_evaluation(uint64_t step, double nll, double kl, bool best, void *user);
void train_view_estimate(const ob_train_estimate *estimate, void *user);
void train_view_generated(const ob_generate_progress *progress, void *user);
void train_view_end(train_view *view); /* leaves the last line on the screen */

#endif
